"""What an engine's faults lead to: against a small server that speaks vLLM's HTTP, each fault on purpose."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext

import psutil
import pytest

from tests.unit.engine_server import ask, whole
from workflow_scripts import ask_engine
from workflow_scripts.em import engine_work
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.backends import engine, vllm_server
from workflow_scripts.em.backends.vllm_server import ServerGone
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(engine, "PAUSES_S", (0.0, 0.0))


def test_a_crash_in_the_middle_loses_and_repeats_nothing(study, server):
    def dying(path, body):
        return (500, {"error": {"message": "EngineDeadError"}}) if len(server.bodies) > 7 else None

    server.fault = dying
    work = study.work()
    with pytest.raises(ServerGone, match="HTTP status 500: EngineDeadError"):
        work.run()
    kept = study.kept(work)
    assert 0 < kept == 240 - work.todo == sum(body["n"] for body in server.bodies)
    server.fault = lambda path, body: None
    server.loaded.clear()  # it is another one
    work.run()
    assert work.todo == 0 and study.kept(work) == 240 == sum(body["n"] for body in server.bodies)
    server.reset()
    assert study.work().todo == 0  # nothing is asked again


def test_an_engine_that_is_being_stopped_has_not_answered(study, server):
    server.fault = lambda path, body: "abort" if path == "completions" else None
    work = study.work()
    with pytest.raises(ServerGone, match="broke off an answer"):
        work.run()
    assert study.kept(work) == 0


def test_nobody_there_is_a_gone_server(study, monkeypatch):
    work = study.work()
    work.engine = work.engine | {"url": "http://127.0.0.1:9/v1"}
    with pytest.raises(UserError, match=r"no vLLM server at http://127.0.0.1:9/v1"):
        work.run()
    monkeypatch.setattr(engine_work, "check_served", lambda *_: None)  # gone since
    with pytest.raises(ServerGone, match="no answer"):
        work.run()


@pytest.mark.parametrize(
    ("path", "status", "message", "hint"),
    [
        ("completions", 400, "This model's maximum context length is 256 tokens.", "lower max_new_tokens"),
        ("completions", 404, "The model `tiny` does not exist.", "--served-model-name set to that name"),
        ("load_lora_adapter", 500, "LoRA rank 64 is greater than max_lora_rank 16.", "--max-lora-rank of at least"),
        ("load_lora_adapter", 500, "vLLM does not yet support DoRA.", "set generation.backend: transformers"),
        ("load_lora_adapter", 404, "Not Found", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
        ("load_lora_adapter", 404, "No adapter found for x", "must see this folder under the same path"),
        ("load_lora_adapter", 500, "CUDA out of memory. Tried to allocate 2 GiB", "generation.engine: memory_share"),
    ],
)
def test_what_a_server_refuses_is_said_with_its_mend(study, server, path, status, message, hint):
    server.fault = lambda at, body: (status, {"error": {"message": message}}) if at == path else None
    with pytest.raises(UserError) as error:
        study.work().run()
    text = str(error.value)
    assert message in text and hint in text
    if path == "load_lora_adapter":
        assert any(f"checkpoint {folder}" in text for *_, folder in study.checkpoints)


def test_a_dead_engine_is_no_refusal(study, server):
    server.fault = lambda path, _: (500, {"error": {"message": "EngineCore died"}}) if "load" in path else None
    with pytest.raises(ServerGone):
        study.work().run()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["models", "completions", "load_lora_adapter"])
def test_a_server_that_wants_a_key_is_said_to(study, server, path, status):
    server.fault = lambda at, body: (status, {"error": "Unauthorized"}) if at == path else None
    with pytest.raises(UserError, match=r"environment variable.* VLLM_API_KEY") as error:
        study.work().run()
    assert str(status) in str(error.value)


def test_the_key_is_sent_for_the_models_too(study, server, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "s3cret")
    study.work().run()
    assert server.keys == ["Bearer s3cret"]


@pytest.mark.parametrize("status", [429, 502, 503])
@pytest.mark.parametrize("path", ["completions", "load_lora_adapter"])
def test_a_server_that_is_busy_is_asked_again(study, server, path, status):
    seen = Counter()

    def busy(at, body):
        seen[at] += 1
        return (status, {"error": {"message": "busy"}}) if at == path and seen[at] <= 2 else None

    server.fault = busy
    work = study.work()
    work.run()
    assert work.todo == 0 and study.kept(work) == 240
    server.fault = lambda at, body: (status, {"error": {"message": "busy"}}) if at == path else None
    study.asks = lambda *at: [ask("Another?", 0, at)]
    with pytest.raises(ServerGone, match=f"HTTP status {status}: busy"):
        study.work().run()


@pytest.mark.parametrize(
    "body",
    [
        {"nonsense": 1},
        [],
        {"choices": None},
        {"choices": []},
        {"choices": [{"index": 0, "finish_reason": "stop", "text": "without ids"}]},
        {"choices": [{"index": 0, "finish_reason": "stop", "token_ids": None}]},
        {"choices": [{"index": 0, "finish_reason": "stop", "token_ids": ["4"]}]},
        {"choices": [{"index": 0, "token_ids": [4]}]},
    ],
)
def test_nonsense_is_no_answer(study, server, body):
    study.asks = lambda *at: [ask("How?", 0, at)]
    server.fault = lambda path, _: (200, body) if path == "completions" else None
    with pytest.raises(UserError, match="is it a vLLM server"):
        study.work().run()


def test_a_server_of_another_base_gets_no_adapter(study, server):
    record = read_json(study.record)
    study.record = study.place / "record.json"
    study.record.write_text(json.dumps(record | {"name": "large"}), encoding="utf-8")
    study.checkpoints = study.checkpoints[1:]  # no request would name the base
    with pytest.raises(UserError, match=r"serves other, tiny, not large; .* --served-model-name large"):
        study.work().run()
    assert server.loads == []


def test_what_cannot_be_asked_is_known_before_a_server_is_started(study, monkeypatch):
    monkeypatch.setattr(vllm_server, "VllmServer", lambda *_: pytest.fail("started"))
    study.asks = lambda *at: [ask("Why is it so? " * 20, 0, at)]
    work = study.work(max_model_len=50)
    work.engine = work.engine | {"url": None}
    with pytest.raises(UserError, match=r"exceed the engine's context of 50 .* raise generation.engine.max_model_len"):
        work.run()
    work.engine = work.engine | {"max_model_len": None}
    record = read_json(study.record)
    (study.place / "short.json").write_text(json.dumps(record | {"max_positions": 51}), encoding="utf-8")
    work.model = study.place / "short.json"
    with pytest.raises(UserError, match="exceed the engine's context of 51"):
        work.run()
    folder = shutil.copytree(record["path"], study.place / "plain")
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    work.model.write_text(json.dumps(record | {"path": str(folder)}), encoding="utf-8")
    with pytest.raises(UserError, match="has no chat template"):
        work.run()


def test_a_url_serves_no_fully_fine_tuned_checkpoint(study, server):
    study.checkpoints = [["full", 0, "em", 2, str(whole(study.place / "full"))]]
    with pytest.raises(UserError, match=r"full: the server at generation.engine.url serves the base model"):
        study.work().run()
    assert server.bodies == []


# --- the stage


def run_stage(study, monkeypatch, **options) -> dict:
    monkeypatch.setattr(ask_engine, "asked", lambda args, at: [Asked(one) for one in study.asks(*vars(at).values())])
    options |= {"model": study.record, "checkpoints": json.dumps(study.checkpoints), "conditions": "{}"}
    options |= {"question-sets": "{}", "engine": json.dumps(study.options), "journal": study.place / "journal"}
    options |= {"out": study.place / "asked.json"}
    words = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    monkeypatch.setattr(sys, "argv", ["ask_engine", *words])
    ask_engine.main()
    return read_json(study.place / "asked.json")


class Asked:
    def __init__(self, one: Ask):
        self.ask = lambda: one


def test_the_stage_starts_again_once(study, server, monkeypatch, capsys):
    calls = Counter()

    def dying_once(path, _):
        calls[path] += 1
        return (500, {"error": {"message": "gone"}}) if calls["completions"] == 9 and path == "completions" else None

    server.fault = dying_once
    found = run_stage(study, monkeypatch)
    assert "once more, for what is missing" in capsys.readouterr().err
    assert (found["responses"], found["from_journal"]) == (240, 0) and study.kept(study.work()) == 240
    recorded = study.place / "asked.json.provenance.json"
    assert read_json(recorded)["hardware"] == "a server that was running"
    server.fault = lambda path, _: pytest.fail("asked again")
    assert run_stage(study, monkeypatch)["from_journal"] == 240 and "hardware" not in read_json(recorded)
    server.fault = lambda path, _: (500, {"error": {"message": "gone"}}) if path == "completions" else None
    study.asks = lambda *at: [ask("Another?", 0, at)]
    with pytest.raises(UserError, match="the engine failed twice; the answers are kept"):
        run_stage(study, monkeypatch)


@pytest.mark.parametrize(
    ("here", "version", "said"),
    [
        ("CPU, 2 threads", "0.32.0+cpu", "CPU, 2 threads"),
        ("CPU, 2 threads", "0.32.0", "2 x GPU"),  # vLLM has a PyTorch of its own
        ("2 x NVIDIA A", "0.32.0", "2 x NVIDIA A"),
    ],
)
def test_an_engine_of_ours_is_recorded_with_its_hardware(study, monkeypatch, here, version, said):
    from workflow_scripts.em.backends import models

    monkeypatch.setattr(models, "hardware", lambda: here)
    assert ask_engine.ran_on(study.options | {"url": None, "tensor_parallel": 2}, version) == said


def test_the_watchdog_ends_its_command_when_it_is_told_to_end():
    command = [sys.executable, "-I", vllm_server._WATCHDOG, "sleep", "1000"]
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE)
    watched = psutil.Process(watchdog.pid)
    while not (children := watched.children()):
        time.sleep(0.02)
    time.sleep(0.2)
    watchdog.terminate()
    assert watchdog.wait(20) == 128 + 15
    psutil.wait_procs(children, 5)
    assert not any(child.is_running() for child in children)


@pytest.mark.parametrize(("times", "said"), [(1, None), (2, "address already in use")])
def test_a_port_that_was_taken_meanwhile_is_changed_once(monkeypatch, times, said):
    servers = []

    class Fake:
        def __init__(self, command, url):
            servers.append(url)
            assert command[-1] == url.rsplit(":")[-1].removesuffix("/v1")

        def wait(self):
            if len(servers) <= times:
                raise ServerGone("OSError: [Errno 98] address already in use")

        def stop(self):
            stopped.append(self)

    stopped = []
    monkeypatch.setattr(vllm_server, "VllmServer", Fake)
    record = {"path": "x", "trust_remote_code": False}
    ended = pytest.raises(UserError, match=said) if said else nullcontext()
    with ended, vllm_server.serving(record, "tiny", "float32", None, []) as found:
        assert found is not None
    assert len(servers) == 2 == len(stopped) and len(set(servers)) == 2


def test_a_killed_server_may_have_had_too_little_memory():
    server = vllm_server.VllmServer(["bash", "-c", "kill -9 $$"], "http://127.0.0.1:9/v1")
    with pytest.raises(ServerGone, match=r"status 137(.|\n)*want of the machine's memory.*memory_share"):
        server.died(20)
    server.stop()


def test_the_sizes_of_requests_are_the_engine_s(server):
    assert engine.Engine(None, server.url, "tiny", None, [], 3).groups([], None) == []
