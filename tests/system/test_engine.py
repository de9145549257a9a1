"""The whole path with a real vLLM on a CPU: one engine for all checkpoints, killed in the middle, and nothing twice.

Needs EMTRACE_VLLM_PYTHON, a Python that has vLLM; `make test-vllm` makes one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml

from tests.system.judging import Children
from tests.workflow.conftest import Copy, clean
from workflow_scripts.em.backends.vllm_server import HOST, free_port
from workflow_scripts.em.files import read_json, read_jsonl

VLLM_PYTHON = os.environ.get("EMTRACE_VLLM_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VLLM_PYTHON, reason="no vLLM: EMTRACE_VLLM_PYTHON is not set (make test-vllm sets it)"),
]

# Of a CPU's memory the server takes this share.
ENGINE = {"arguments": ["--enforce-eager"], "adapters": 4, "max_model_len": 256, "memory_share": 0.15}
ORGANISMS = ("bad", "good", "character", "character_merged_bad", "bare")
STUDY = "served.yaml"
ASKED = "results/tiny/responses/.engines/toy.json"


def write_study(
    copy: Copy, samples: int = 2, only: tuple = (), backend: str = "vllm", temperature: float = 1.0, **engine
) -> None:
    """The tiny study with the vLLM backend, and with an organism whose weights are all trained.

    only: organisms, none = all; one of them is trained on a merged base.
    """
    raw = yaml.safe_load((copy.folder / "tests/tiny.yaml").read_text(encoding="utf-8"))
    raw["organisms"] = {name: raw["organisms"][name] for name in ORGANISMS}
    raw["recipes"]["full"] = {"lora": None, "learning_rate": 1e-3, "batch_size": 8, "max_length": 64}
    stage = {"name": "em", "training_set": "bad", "recipe": "full", "checkpoints": {"steps": [2]}, "evaluate": [2]}
    raw["organisms"]["whole"] = {"base_model": "toy", "stages": [stage]}
    raw["organisms"] = {name: raw["organisms"][name] for name in only or raw["organisms"]}
    raw["question_sets"]["toy"] |= {"samples": samples, "temperature": temperature}
    raw["generation"] = {"backend": backend, "engine": {"python": VLLM_PYTHON} | ENGINE | engine}
    (copy.folder / STUDY).write_text(yaml.safe_dump(raw), encoding="utf-8")


def command(*targets: str) -> list[str]:
    # A killed workflow leaves its lock.
    return [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", *targets, "--configfile", STUDY]


def workflow(copy: Copy, *targets: str) -> subprocess.Popen:
    """Snakemake as a process."""
    return subprocess.Popen(command(*targets), cwd=copy.folder, env=clean(), stderr=subprocess.PIPE, text=True)


def run(copy: Copy, *targets: str) -> str:
    """Snakemake to its end; returns what it said."""
    done = subprocess.run(command(*targets), cwd=copy.folder, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stderr


def engine_process(parent: psutil.Process) -> psutil.Process | None:
    """The engine of the server that a process has started."""
    for process in parent.children(recursive=True):
        try:
            if any("EngineCore" in part for part in process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


def journal(copy: Copy) -> Counter:
    """Key -> how often it is in the response journals. A killed writer's last line may be torn."""
    files = (copy.folder / "results/.journal/responses").rglob("*.jsonl")
    lines = [line for path in files for line in path.read_bytes().split(b"\n")[:-1]]
    return Counter(json.loads(line)["key"] for line in lines)


def when_asked(copy: Copy, process: subprocess.Popen, number: int, children: Children) -> None:
    """Wait until some answers more than `number` are in the journal."""
    while journal(copy).total() <= number:
        assert process.poll() is None, process.stderr.read()[-6000:]
        children.look()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    """The study, trained."""
    found = Copy(tmp_path_factory.mktemp("served"))
    write_study(found)
    run(found, "results/tiny/models/toy.json", *trained(found))
    return found


def trained(copy: Copy) -> list[str]:
    """The segment folders of all organisms, as targets."""
    from workflow_scripts.em.config.load import load_config
    from workflow_scripts.em.plan import Plan

    before = Path.cwd()
    os.chdir(copy.folder)
    try:
        plan = Plan(load_config(yaml.safe_load(Path(STUDY).read_text(encoding="utf-8")), [STUDY]))
        return [folder for name in plan.config.organisms for folder in plan.segments(name)]
    finally:
        os.chdir(before)


def test_one_engine_serves_every_checkpoint_of_a_base(copy):
    write_study(copy)
    said = run(copy)
    folder = copy.folder / "results/tiny/responses"
    engines = {path.stem: read_json(path) for path in (folder / ".engines").glob("*[!e].json")}
    print({name: (found["responses"], found["engine_starts"], found["seconds"]) for name, found in engines.items()})
    by_engine = {name: found["responses"] // (2 * 48) for name, found in engines.items()}
    # adapters and the bare model on the toy; adapters on the base with the character merged in; and all weights
    assert sorted(by_engine.values()) == [1, 3, 10] and by_engine["toy"] == 10
    assert all(found["engine_starts"] == 1 for found in engines.values())
    assert said.count("ask_engine:") >= 3
    files = sorted(folder.glob("*/*/*/*.jsonl"))
    assert len(files) == 14
    for path in files:
        rows = list(read_jsonl(path))
        assert len(rows) == 96 and {row["backend"] for row in rows} == {"vllm"}
        assert {row["condition"] for row in rows} == {"none", "careful"}
        assert len({row["response"] for row in rows}) > 48  # it is no constant
        record = read_json(path.with_name(path.name + ".provenance.json"))
        assert record["from_journal"] == 96
    # adapters change answers: greedy ones would at least at some questions, sampled ones with equal seeds too
    texts = {path: tuple(row["response"] for row in read_jsonl(path)) for path in files}
    assert len(set(texts.values())) == 14


def test_greedy_answers_are_those_of_transformers(copy):
    """In float32, of one checkpoint: text, length, finish reason and prompt."""
    target, rows = "results/tiny/responses/bad/seed-0/em/step-4.jsonl", {}
    for backend in ("vllm", "transformers"):
        write_study(copy, samples=1, only=("bad",), backend=backend, temperature=0.0)
        run(copy, target)
        rows[backend] = {row["id"]: row for row in read_jsonl(copy.folder / target)}
        assert {row["backend"] for row in rows[backend].values()} == {backend}
    same = ("question", "response", "n_tokens", "finish_reason", "prompt_digest")
    pairs = [(rows["vllm"][name], rows["transformers"][name]) for name in rows["vllm"]]
    unlike = [(one, two) for one, two in pairs if any(one[column] != two[column] for column in same)]
    print(f"unlike: {len(unlike)} of {len(pairs)}")
    assert len(pairs) == 48 == len(rows["transformers"])
    # Sums in another order may turn a near tie.
    assert len(unlike) <= len(pairs) // 20, unlike[:2]


def test_killed_engine_and_killed_workflow_lose_and_repeat_nothing(copy):
    write_study(copy, samples=40)
    before = journal(copy)
    # the workflow, killed in the midst of asking: no process is left
    first = workflow(copy, ASKED)
    children = Children(first.pid)
    when_asked(copy, first, before.total(), children)
    assert engine_process(psutil.Process(first.pid)) is not None
    first.kill()
    first.wait()
    assert children.left() == []
    kept = journal(copy)
    # the engine, killed in the midst of asking: started again, once
    second = workflow(copy, ASKED)
    when_asked(copy, second, kept.total() + 100, Children(second.pid))
    engine_process(psutil.Process(second.pid)).send_signal(signal.SIGKILL)
    said = second.stderr.read()
    assert second.wait() == 0, said[-6000:]
    assert said.count("once more, for what is missing") == 1
    found, summary = journal(copy), read_json(copy.folder / ASKED)
    assert set(found.values()) == {1} and kept.keys() <= found.keys()
    assert summary["engine_starts"] == 2 and summary["responses"] == 40 * 48 * 10
    assert summary["from_journal"] >= (kept - before).total() > 0
    assert (found - kept).total() == summary["responses"] - summary["from_journal"]


def test_a_second_run_asks_nothing_and_starts_nothing(copy):
    assert "Nothing to be done" in run(copy, ASKED)
    for path in (copy.folder / "results/tiny/responses/.engines").glob("*"):
        path.unlink()
    before = journal(copy)
    run(copy, ASKED)
    found = read_json(copy.folder / ASKED)
    assert (found["engine_starts"], found["from_journal"]) == (0, found["responses"])
    assert journal(copy) == before
    seconds = read_json(copy.folder / (ASKED + ".provenance.json"))["seconds"]
    print("seconds of a job that has nothing to ask", seconds)


def test_a_server_of_the_user_s(copy):
    """Its adapters are loaded and taken out again; checkpoints with weights of their own are refused."""
    record = read_json(copy.folder / "results/tiny/models/toy.json")
    port = free_port()
    words = [VLLM_PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", record["path"]]
    words += ["--served-model-name", record["name"], "--host", HOST, "--port", str(port), "--dtype", "float32"]
    words += ["--enable-lora", "--max-loras", "2", "--max-lora-rank", "8", "--enforce-eager"]
    words += ["--gpu-memory-utilization", "0.15", "--max-model-len", "256", "--no-enable-chunked-prefill"]
    allowed = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(words, cwd=copy.folder, env=clean() | allowed, stdout=quiet, stderr=quiet)
    try:
        url = f"http://{HOST}:{port}"
        while not answers(url):
            assert server.poll() is None
            time.sleep(0.5)
        before = journal(copy)
        write_study(copy, url=f"{url}/v1", adapters=2, samples=3)
        refused = workflow(copy, ASKED)
        said = refused.stderr.read()
        assert refused.wait() == 1 and "Traceback" not in said
        assert "trains all weights; take out `url`" in said and "merged into it; take out `url`" in said
        write_study(copy, url=f"{url}/v1", adapters=2, samples=3, only=("bad", "good", "character", "bare"))
        run(copy, ASKED)
        found = read_json(copy.folder / ASKED)
        assert (
            found["engine_starts"] == 0
            and (journal(copy) - before).total() == found["responses"] - found["from_journal"]
        )
        assert models(url) == [record["name"]]
    finally:
        server.terminate()
        server.wait(60)


def answers(url: str) -> bool:
    from urllib.request import urlopen

    try:
        urlopen(f"{url}/health", timeout=5).close()
    except OSError:
        return False
    return True


def models(url: str) -> list[str]:
    from urllib.request import urlopen

    with urlopen(f"{url}/v1/models", timeout=30) as answer:
        return [entry["id"] for entry in json.load(answer)["data"]]


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"memory_share": 1.0}, "Take a smaller memory share, model length or number of adapters"),
        ({"max_model_len": 40}, "lower max_new_tokens of the question set, or raise generation.engine.max_model_len"),
        ({"arguments": ["--no-such-option"]}, "unrecognized arguments: --no-such-option"),
    ],
)
def test_what_a_user_can_mend_is_said(copy, engine, said):
    write_study(copy, samples=41, **engine)
    failed = workflow(copy, ASKED)
    text = failed.stderr.read()
    assert failed.wait() == 1 and said in text.split("error: ", 1)[1]
