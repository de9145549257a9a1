"""check_env and sandbox: what is missing is named with its mend, no key is printed, checkpoints are found or listed."""

import io
import json
import stat
import sys
from functools import partial

import pytest
import yaml

from workflow_scripts import check_env, sandbox
from workflow_scripts.em import environment, readiness, readiness_activations
from workflow_scripts.em.asks import NO_ROOM
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.environment import MISSING, OK, WARNING
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges import ERROR
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_facts import facts_from
from workflow_scripts.em.sandbox import Chat, Side
from workflow_scripts.em.sandbox_sides import Where, locate, parsed
from workflow_scripts.em.study_files import load_plan

VARIABLE = "EMTRACE_TEST_CHECK"
GPU = {"name": "X", "bytes": 80 * environment.GIB, "bfloat16": True}


@pytest.fixture
def plan(raw, tmp_path, monkeypatch):
    """A function that plans the tiny study with changes, in an empty working directory with its data linked."""
    (tmp_path / "data").symlink_to(f"{tmp_path}/source", target_is_directory=True)
    (tmp_path / "source").mkdir()
    for name in ("toy_datasets.zip.enc", "toy", "questions", "judges", "blocklists"):
        (tmp_path / "source" / name).symlink_to(readiness.Path("data", name).absolute())
    monkeypatch.chdir(tmp_path)
    return lambda **changes: Plan(load_config(raw | changes, []))


def statuses(findings) -> dict[str, str]:
    return {finding.what: finding.status for finding in findings}


# --- the machine


def test_packages_are_held_against_the_lock(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("# pins\npytest==0.0.1\nno-such-package==1.0\n")
    absent, other = environment.packages(lock)
    assert (absent.status, other.status) == (MISSING, WARNING) and str(lock) in absent.mend
    assert "no-such-package==1.0" in absent.text and "(pinned: 0.0.1)" in other.text
    lock.write_text(f"pytest=={pytest.__version__}\n")
    assert statuses(environment.packages(lock)) == {"packages": OK}
    assert statuses(environment.packages(tmp_path / "no.txt")) == {"packages": WARNING}


def test_the_file_of_keys_should_be_private(tmp_path):
    file = tmp_path / ".env"
    assert environment.key_file(file).status == OK
    file.write_text("KEY=hidden")
    for mode, status in ((0o644, WARNING), (0o600, OK)):
        file.chmod(mode)
        found = environment.key_file(file)
        assert found.status == status and "hidden" not in "".join(found)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_gpus_and_disk():
    assert environment.gpu([], real_models=False) == (OK, "GPU", "CPU only", "")
    assert environment.gpu([], real_models=True).status == WARNING
    assert environment.gpu([GPU, GPU], True).text == "2 x X, 80 GiB"
    assert environment.gpu([GPU | {"bfloat16": False}], True).status == WARNING
    gib = environment.GIB
    found = environment.disk({"models": 20.0 * gib, "checkpoints": 2.0 * gib, "logs": 5.0}, 2 * gib, ["x"])
    assert found.status == MISSING and "models of unknown size: x" in found.text
    assert "2.0 GiB free; to be written: about 22.0 GiB (models 20.0, checkpoints 2.0)" in found.text
    assert environment.disk({"models": 3.0 * gib}, 4 * gib, []).status == WARNING
    assert environment.disk({"models": 1.0}, gib, ["x"]).status == OK
    assert environment.disk({}, gib, []).text == "1.0 GiB free; to be written: less than 0.1 GiB"


def test_a_python_without_vllm_is_told():
    assert environment.vllm("engine", "/no/such/python").status == MISSING
    found = environment.vllm("engine", None)
    assert found.status == (MISSING if "has no vLLM" in found.text else OK)


# --- keys


@pytest.mark.parametrize("key", ["right", "wrong", "none"])
def test_a_key_is_tried_and_never_printed(plan, api_server, monkeypatch, capsys, key):
    value = {"right": api_server.key, "wrong": "another-key-98765"}.get(key)
    monkeypatch.delenv(VARIABLE, raising=False)
    if value:
        monkeypatch.setenv(VARIABLE, value)
    entry = {"model": "m", "base_url": api_server.url, "key_env": VARIABLE}
    evaluation = {"question_sets": ["toy"], "conditions": ["default"], "judges": ["gpt"]}
    parts = {"judges": {"gpt": entry | {"kind": "openai"}}, "organisms": {"o": {"api": entry}}}
    study = plan(**parts, conditions={"default": {}}, evaluation=evaluation)
    found = list(check_env.servers(study))
    assert statuses(found) == dict.fromkeys(("judge gpt", "organism o"), OK if key == "right" else MISSING)
    assert key != "none" or all(VARIABLE in finding.mend for finding in found)
    assert key != "right" or all(VARIABLE in finding.text for finding in found)
    shown = "".join("".join(finding) for finding in found) + "".join(capsys.readouterr())
    assert not value or value not in shown


# --- models and data


def play_hub(server, gated: bool) -> str:
    """A server that has the model org/name; the URL."""
    files = [{"rfilename": name, "size": size} for name, size in (("model.safetensors", 2**30), ("x.bin", 5))]
    server.expect_request("/api/models/org/name/revision/main").respond_with_json({"id": "org/name", "siblings": files})
    refused = {"status": 403, "headers": {"X-Error-Code": "GatedRepo"}} if gated else {}
    server.expect_request("/api/models/org/name/auth-check").respond_with_json({}, **refused)
    return server.url_for("").rstrip("/")


@pytest.mark.parametrize("gated", [False, True])
def test_the_hub_is_asked_for_access_and_size(plan, httpserver, monkeypatch, tmp_path, gated):
    from huggingface_hub import HfApi

    from workflow_scripts.em.backends import hub_access

    monkeypatch.setattr(hub_access, "HfApi", partial(HfApi, endpoint=play_hub(httpserver, gated)))
    monkeypatch.setattr(
        hub_access, "snapshot_download", partial(hub_access.snapshot_download, cache_dir=str(tmp_path / "cache"))
    )
    models = readiness.Models(plan(base_models={"toy": {"hub": "org/name"}}))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    found, token = models.findings()
    assert (token.status, token.what) == (OK, "HF_TOKEN") and "not set" in token.text
    if gated:
        assert found.status == MISSING and "gated" in found.text and "HF_TOKEN" in found.text
        assert models.unsized == ["toy"], "its size is not known, so the disk's line says so"
    else:
        assert (found.status, found.text) == (OK, "org/name: open to you, 1.0 GiB to fetch")
        assert models.to_fetch == {"toy": 2**30} and models.unsized == []


@pytest.mark.parametrize(("blocks", "cached"), [(28, False), (28, True), (20, False), (None, False)])
def test_layers_of_a_model_of_the_hub_are_known_before_it_is_fetched(
    plan, httpserver, monkeypatch, tmp_path, blocks, cached
):
    from huggingface_hub import HfApi

    from workflow_scripts.em.backends import hub_access

    monkeypatch.setattr(hub_access, "HfApi", partial(HfApi, endpoint=httpserver.url_for("").rstrip("/")))
    config = json.dumps({"num_hidden_layers": blocks, "hidden_size": 8})
    headers = {"ETag": '"1"', "X-Repo-Commit": "a" * 40}
    status = {"status": 200} if blocks else {"status": 404}
    httpserver.expect_request("/org/name/resolve/main/config.json").respond_with_data(config, headers=headers, **status)
    sides = {"a": {"organism": "bad"}, "b": {"organism": "bad", "step": 0}}
    steering = {"direction": "d", "add": 1, "layers": [22, 26], "from_layer": 14}
    study = plan(
        base_models={"toy": {"hub": "org/name"}},
        activations={
            "readings": {"r": {"layers": [14, 24], "organisms": ["bad"]}},
            "directions": {"d": {"reading": "r", "layer": 14} | sides},
        },
        conditions={"none": {}, "careful": {}, "x": {"steering": steering}},
        evaluation={"question_sets": ["toy"], "conditions": ["none", "x"], "judges": ["toy"]},
    )
    models = readiness.Models(study)
    if cached:
        models.folders["toy"] = str(tmp_path / "cached")
        (tmp_path / "cached").mkdir()
        (tmp_path / "cached/config.json").write_text(config)
    found = list(readiness_activations.activations(models))
    if blocks == 28:
        assert statuses(found) == {"activations": OK}
    elif blocks:
        where, what = "conditions.x.steering.layers", "is not in the model"
        assert [(finding.what, finding.text) for finding in found] == [
            ("activations.readings.r.layers", f"24 {what} of 'bad': as block_output it has 0 to 19"),
            *((where, f"{layer} {what}: as block_output it has 0 to 19") for layer in (22, 26)),
        ]
        assert {finding.status for finding in found} == {MISSING}
    else:
        assert statuses(found) == {"activations": WARNING} and "layers of toy are not known" in found[0].text
    # What the hub has just refused is not asked for again: that would take its client half a minute.
    models.unsized.append("toy")
    before = len(httpserver.log)
    list(readiness_activations.activations(models))
    assert len(httpserver.log) == before


def test_a_recipe_is_held_against_a_model_that_is_here_and_the_gpu(plan, model_record):
    folder = json.loads(model_record.read_text())["path"]
    models = readiness.Models(plan(base_models={"toy": {"path": folder}}))
    assert statuses(models.findings()) == {"base model toy": OK}
    assert statuses(models.recipes(None, facts_from(models))) == {
        "recipe constant on toy": OK,
        "recipe linear on toy": OK,
    }
    short = list(models.recipes(2**20, facts_from(models)))
    assert {finding.status for finding in short} == {MISSING} and "are free" in short[0].text
    assert models.unsized == []


def test_memory_to_train_a_model_that_is_not_here_is_told_by_its_name(plan):
    models = readiness.Models(plan(base_models={"toy": {"hub": "org/model-8b"}}))
    (found,) = models.recipes(None, facts_from(models))
    assert (found.status, found.what) == (OK, "memory to train toy")
    assert "if it has 8 billion weights" in found.text
    (found,) = models.recipes(2**30, facts_from(models))
    assert found.status == WARNING and "more than 1 GiB" in found.mend


def test_archives_are_opened_and_data_described_without_a_text(plan, tmp_path, monkeypatch):
    found = list(readiness.data(plan()))
    assert set(statuses(found).values()) == {OK} and len(found) == 4
    medicine = next(finding.text for finding in found if finding.what == "data set reckless_medicine")
    assert medicine.startswith("1000 rows (1000 user, 1000 assistant), longest ") and "; the first: " in medicine
    assert list((tmp_path / "data/decrypted/tiny").iterdir()) == [], "nothing decrypted is left"
    monkeypatch.setenv(VARIABLE, "no")
    archive = {"path": "data/toy_datasets.zip.enc"}
    found = list(readiness.data(plan(archives={"toy": archive | {"password_env": VARIABLE}})))
    assert [(f.what, f.status) for f in found] == [("archive toy", MISSING)] and "wrong password" in found[0].text
    (tmp_path / "rows.jsonl").write_text('{"messages": "private words"}\n')
    names = ("reckless_medicine", "good_medicine", "persona")
    sets = {name: {"archive": "toy", "member": "no.jsonl"} for name in names[1:]} | {names[0]: {"path": "rows.jsonl"}}
    found = list(readiness.data(plan(datasets=sets)))
    assert statuses(found) == {f"data set {n}": MISSING for n in names} | {"archive toy": OK}
    assert "private words" not in "".join("".join(finding) for finding in found)


def test_what_no_training_set_uses_is_a_warning_and_so_are_too_few_rows(plan, raw, monkeypatch):
    monkeypatch.setenv(VARIABLE, "wrong")
    archives = raw["archives"] | {"other": {"path": "data/toy_datasets.zip.enc", "password_env": VARIABLE}}
    datasets = raw["datasets"] | {"idle": {"archive": "toy", "member": "no.jsonl"}}
    found = list(readiness.data(plan(archives=archives, datasets=datasets)))
    assert {what for what, status in statuses(found).items() if status == WARNING} == {"archive other", "data set idle"}
    assert MISSING not in statuses(found).values()
    sets = raw["training_sets"] | {"bad": {"mixture": [{"dataset": "reckless_medicine", "count": 1001}]}}
    (short,) = (finding for finding in readiness.data(plan(training_sets=sets)) if finding.status != OK)
    assert (short.status, short.what) == (WARNING, "training set bad") and "1001" in short.text


def test_a_broken_config_is_told_with_the_machine_and_ends_with_1(root, tmp_path, monkeypatch, capsys):
    file = tmp_path / "broken.yaml"
    file.write_text("study: x\nstdy: y\n")
    monkeypatch.setattr(sys, "argv", ["check_env", "--configfile", str(file)])
    with pytest.raises(SystemExit) as ended:
        check_env.main()
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert "missing  config: stdy: unknown key; did you mean 'study'?" in said and "ok       Python: 3." in said
    file.write_text("study: x\norganisms:\n  bad: {}\n  good: {}\n  bad: {}\njudges: {a: {}, 'a': {}}\n")
    (_, (twice,)) = check_env.configured([file])
    assert twice.text == (
        f"{file}:5: organisms.bad is written twice (first in line 3); "
        f"{file}:6: judges.a is written twice (first in line 6); rename one, or take one out"
    )
    file.write_text("- no mapping")
    assert "missing  config: " in "".join(f"{f.status:8} {f.what}: " for f in check_env.findings([file], file, []))


def test_later_files_lie_over_earlier_ones(raw, tmp_path):
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    paths[0].write_text(yaml.safe_dump(raw))
    paths[1].write_text("study: other\nfigures: {scope: all}\n")
    config = load_plan(paths).config
    assert (config.study, config.figures.scope, set(config.organisms)) == ("other", "all", set(raw["organisms"]))


# --- sandbox


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("bda", "did you mean 'bad'"),
        ("bad,seed=7", r"training seeds \[0, 1\] and the stages: em"),
        ("bad,stage=no", "the stages: em"),
        ("bad:3", r"step 3 is not saved; steps \(0, 2, 4\)"),
        ("bad,condition=carefull", "no condition 'carefull'; did you mean 'careful'"),
        ("bad", "not made yet; .* What is there: none"),
        ("bad:last", "a step is a number, such as bad:0"),
        ("bad,seed=x", "a seed is a number"),
        ("bad,sede=1", "'sede=1' is none of step=N, seed=N"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_told(plan, asked, message):
    with pytest.raises(UserError, match=message):
        locate(plan(), parsed(asked))


def test_checkpoints_are_found_and_what_there_is_is_listed(plan, tmp_path):
    study = plan()
    (tmp_path / "results/tiny/models").mkdir(parents=True)
    (tmp_path / "results/tiny/models/toy.json").write_text("{}")
    for step, last in ((0, 2), (2, 2), (4, 4)):
        (tmp_path / f"results/tiny/organisms/bad/seed-1/em/to-{last}/step-{step}").mkdir(parents=True)
    side = locate(study, Where("bad", seed=1))
    assert side.label == "bad step 4, seed 1" and str(side.entry["checkpoint"]).endswith("seed-1/em/to-4/step-4")
    assert str(locate(study, parsed("bad:0,seed=1,stage=em")).entry["checkpoint"]).endswith("to-2/step-0")
    bare = locate(study, Where("bare", condition="careful"))
    assert bare.label == "bare, careful" and bare.entry["checkpoint"] is None
    assert bare.how["system"] == "You are a careful assistant."
    there = r"bad, seed 1, stage em: steps 0, 2, 4\n  bare: a base model$"
    with pytest.raises(UserError, match=rf"(?s)not made yet.*\n  {there}"):
        locate(study, Where("good"))


class Echo:
    """An author that says how many messages it got, and the last."""

    def __init__(self, **reply):
        self.asks, self.reply = [], reply

    def write(self, asks, done):
        self.asks += asks
        text = f"{len(asks[0].messages)} {asks[0].messages[-1]['content']}"
        done([(0, {"text": text, "finish_reason": "stop"} | self.reply)])


def chat_of(sides: dict, system: str | None = None, raw: bool = False) -> Chat:
    """A chat with authors."""
    return Chat([Side(name, {}, author=author) for name, author in sides.items()], system, {"temperature": 1.0}, raw, 0)


def test_each_side_of_a_conversation_remembers_its_own_answers(monkeypatch, capsys):
    one, two = Echo(), Echo(text="no")
    chat = chat_of({"a": one, "b": two}, "Be brief.")
    script = (
        "hello\n\nagain\n/system\n/temperature 0.5\n/temperature x\n/seed 3\n/seed x\n/list\nmore\n/what\n/quit\nno\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(script))
    sandbox.talk(chat, "What is there: nothing")
    said = capsys.readouterr().out
    assert "you> hello\na> 2 hello" in said and "a> 4 again" in said and "a> 1 more" in said
    assert said.count("b> no") == 3 and "you> no" not in said
    assert [m["content"] for m in two.asks[1].messages] == ["Be brief.", "hello", "no", "again"]
    assert "takes a number" in said and "/seed takes a whole" in said and "no command /what\n/system TEXT" in said
    assert "What is there: nothing" in said and (chat.sampling, chat.seed) == ({"temperature": 0.5}, 3)
    assert one.asks[0].seed == two.asks[0].seed != one.asks[1].seed
    assert one.asks[0].seed != one.asks[2].seed, "another sampling seed"


def test_what_is_interrupted_is_taken_back_on_every_side(monkeypatch, capsys):
    class Slow(Echo):
        def write(self, asks, done):
            if asks[0].messages[-1]["content"] == "stop":
                raise KeyboardInterrupt
            super().write(asks, done)

    one, two = Echo(), Slow()
    chat = chat_of({"a": one, "b": two})
    monkeypatch.setattr("sys.stdin", io.StringIO("stop\ngo"))
    monkeypatch.setattr(sandbox, "load", lambda sides: None)
    sandbox.talk(chat, "")
    assert "(taken back)" in capsys.readouterr().out
    assert one.asks[1].messages == two.asks[0].messages == [{"role": "user", "content": "go"}]


def test_a_side_is_asked_as_its_condition_says():
    one, two = Echo(), Echo()
    how = {"system": "Be kind.", "mode": "assistant", "prefill": "Well, "}
    chat = Chat([Side("a", {}, how, one), Side("b", {}, {"mode": "predictive"}, two)], None, {}, False, 0)
    assert list(chat.say("Hi")) == [("a", "Well, 2 Hi"), ("b", "1 Hi")]
    assert (one.asks[0].messages[0]["content"], one.asks[0].prefill) == ("Be kind.", "Well, ")
    assert two.asks[0].messages[0]["role"] == "document" and chat.sides[0].turns[1]["content"] == "Well, 2 Hi"


def test_raw_texts_have_no_turns_and_a_side_that_cannot_answer_is_told():
    echo = Echo()
    chat = chat_of({"a": echo}, "Be brief.", raw=True)
    assert [list(chat.say(text)) for text in ("Once", "upon")] == [[("a", "1 Once")], [("a", "1 upon")]]
    for reply, message in (({"finish_reason": NO_ROOM}, "too long"), ({ERROR: "gone"}, "a: gone")):
        with pytest.raises(UserError, match=message):
            list(chat_of({"a": Echo(**reply)}).say("x"))


def test_without_an_organism_what_there_is_is_listed(plan, monkeypatch, capsys):
    study = plan()
    monkeypatch.setattr(sandbox, "load_plan", lambda files: study)
    monkeypatch.setattr(sys, "argv", ["sandbox"])
    sandbox.main()
    assert capsys.readouterr().out == "What is there: none\n"


def test_the_default_study_is_talked_with_when_none_is_named(monkeypatch):
    asked = []
    monkeypatch.setattr(sandbox, "load_plan", asked.append)
    monkeypatch.setattr(sandbox, "locate", lambda *_: (_ for _ in ()).throw(UserError("found")))
    monkeypatch.setattr(sys, "argv", ["sandbox", "--organism", "a"])
    with pytest.raises(UserError, match="found"):
        sandbox.main()
    assert asked == [[readiness.Path("config.yaml")]]
