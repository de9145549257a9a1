"""`plan` before a run: a dry run read, jobs timed by records or estimates, disk and answers still to be paid for."""

import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.test_environment import CODE as FILES
from tests.unit.test_environment import imports
from workflow_scripts import plan as command
from workflow_scripts.em import start_check, to_buy
from workflow_scripts.em.amounts import evaluations, jobs, model_name
from workflow_scripts.em.amounts_disk import kinds, still
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.dry_run import CODE, FOLLOWS, PARAMS, DryJob, grouped, parse, reasons
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json, write_json
from workflow_scripts.em.gpu_schedule import Rates, gpu_jobs
from workflow_scripts.em.measured import Measured
from workflow_scripts.em.model_sizes import sized
from workflow_scripts.em.param_changes import changed
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_tables import told
from workflow_scripts.em.remaining import disk_left, needed, time_left
from workflow_scripts.em.start_check import PACKAGES

# As Snakemake 9.27 prints them.
SCORES = """[Sun Nov 22 05:32:44 2026]
rule scores:
    input: results/s/a.jsonl, results/s/b.jsonl
    output: results/s/scores/{name}.csv, results/s/scores/{name}.json
    log: results/s/logs/scores/{name}.log
    jobid: {id}
    reason: {reason}
    wildcards: organism={name}, text=a=b
    resources: tmpdir=/tmp
Shell command: python -m workflow_scripts.scores --out results/s/scores/{name}.csv > log 2>&1

"""
STATS = "Job stats:\njob       count\n------  -------\nscores        {}\nall           1\ntotal         {}\n\n"
ALL = "rule all:\n    input: results/s/scores/o.csv\n    jobid: 0\n    reason: {0}: results/s/scores/o.csv\n\n"
UPDATED = "Input files updated by another job"
CHANGED = (
    "Params have changed since last execution: Union of exclusive params before and now across all output: "
    "before: {} now: {} "
)
OLD, NEW = "'0123456789abcdef'", "'fedcba9876543210'"


def printed(*said: str) -> str:
    """What a dry run prints whose jobs have these reasons."""
    blocks = [SCORES.format(name=f"o{i}", id=i, reason=reason) for i, reason in enumerate(said, 1)]
    stats = STATS.format(len(said), len(said) + 1)
    return "Building DAG of jobs...\n" + stats + "".join(blocks) + ALL.format(UPDATED) + stats


def test_a_dry_run_is_read():
    first, second = parse(printed("Missing output files: results/s/scores/o1.csv", f"{UPDATED}: results/s/a.jsonl"))
    assert (first.rule, first.stage) == ("scores", "scores")
    assert first.inputs == ("results/s/a.jsonl", "results/s/b.jsonl")
    assert first.outputs == ("results/s/scores/o1.csv", "results/s/scores/o1.json")
    assert first.wildcards == {"organism": "o1", "text": "a=b"}
    assert first.reasons == {"not there": "results/s/scores/o1.csv"} and list(second.reasons) == [FOLLOWS]
    assert (
        parse("Building DAG of jobs...\nNothing to be done (all requested files are present and up to date).\n") == []
    )


@pytest.mark.parametrize("broken", [("    jobid: 1", "\tjobid: 1"), ("rule scores:", "Job 1: scoring"), (")", ")")])
def test_a_dry_run_in_another_form_is_not_half_read(broken):
    text = printed("Forced execution").replace(*broken, 1)
    if broken[0] == broken[1]:
        assert len(parse(text)) == 1
        return
    with pytest.raises(UserError, match="another form"):
        parse(text)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Code has changed since last execution", ["command changed"]),
        (f"Updated input files: a, b; {CHANGED.format('x; y', 'z')}", ["input changed", PARAMS]),
        (CHANGED.format(OLD, NEW), [CODE]),
        (CHANGED.format(f"{OLD},{OLD}", "<nothing exclusive>"), [CODE]),
        (CHANGED.format(f"{OLD},'30'", f"{NEW},'40'"), [PARAMS]),
        ("Incomplete output files: a; Set of input files has changed since last execution",
         ["left half done", "other inputs"]),
        ("The moon is full", ["The moon is full"]),
    ],
)  # fmt: skip
def test_reasons(said, found):
    assert list(reasons(said)) == found


def test_jobs_are_grouped_and_changed_params_shown():
    missing = f"Missing output files: x; {UPDATED}: y"
    said = [missing, missing, f"{UPDATED}: y", CHANGED.format(f"{OLD},'30'", f"{NEW},'{'4' * 500}'")]
    rows = grouped(parse(printed(*said)))
    assert [(row["jobs"], row["why"]) for row in rows] == [(2, ["not there"]), (1, [FOLLOWS]), (1, [PARAMS])]
    assert rows[0]["files"] == ["results/s/scores/o1.csv", "results/s/scores/o2.csv"]
    assert rows[2]["changed"].startswith("30 -> 444") and len(rows[2]["changed"]) < 200
    (text,) = told({"to_run": rows, "problems": []})
    assert "4 jobs: 2 make what is not there, 1 only follow from others, 1 stale by themselves" in text
    assert "nothing to do" in next(told({"to_run": [], "problems": []}))


@pytest.mark.parametrize(
    ("before", "now", "told_as"),
    [
        ('\'{"a":{"x":30.0,"y":1},"b":2}\'', f"'{{\"a\":{{\"x\":25.0,\"y\":1}},\"b\":2}}',{NEW}", "a.x: 30.0 -> 25.0"),
        ('\'{"a":1}\'', '\'{"a":1,"b":[2]}\'', "b: null -> [2]"),
        ("'--path old'", "'--path new'", "--path old -> --path new"),
        ("'1','2'", "'3'", '["1", "2"] -> ["3"]'),
        ("<TBD>, it's", "'3'", "<TBD>, it's -> 3"),
        ("<nothing exclusive>", NEW, ""),
    ],
)  # fmt: skip
def test_params_that_differ_are_told_by_key(before, now, told_as):
    assert changed(reasons(CHANGED.format(before, now)).get(PARAMS, "")) == told_as


@pytest.fixture
def plan(raw):
    return Plan(load_config(raw, ["study"]))


def facts(name):
    return sized(1e9)


def dry(rule: str, inputs: tuple = (), outputs: tuple = (), **wildcards: str) -> DryJob:
    return DryJob(rule, rule, inputs, outputs, wildcards, {})


BAD = {"organism": "bad", "stage": "em", "last": "4"}


def test_only_jobs_that_would_run_are_timed(plan):
    work = gpu_jobs(plan, facts, Rates())
    found = needed([dry("train", seed="1", **BAD), dry("ask_models", seed="1", **BAD), dry("scores")], work)
    assert set(found) == {"train bad 1 em 4", "ask bad 1 em 4"}
    assert found["train bad 1 em 4"].after == [] and found["ask bad 1 em 4"].after == ["train bad 1 em 4"]
    every = [dry("train", seed=name.split()[2], organism=name.split()[1], stage=name.split()[3], last=name.split()[4])
             for name in work if name.startswith("train")]  # fmt: skip
    assert len(needed(every, work)) == jobs(plan)["train"]


def test_an_engine_is_known_by_its_model(raw):
    raw["generation"] = {"backend": "vllm"}
    plan = Plan(load_config(raw, ["study"]))
    found = needed([dry("ask_engine", ("results/tiny/models/toy.json",), engine="toy")], gpu_jobs(plan, facts, Rates()))
    assert set(found) == {"ask results/tiny/models/toy.json None"}


def train_record(plan: Plan, folder: Path, number: int, **changed) -> None:
    """A record of the tiny study's training: 2 steps of 8 rows of 64 tokens in 10 seconds."""
    recipe = plan.config.recipes["constant"].plain()
    write_json(folder / "other/models/m.json", {"name": model_name(plan, "toy")})
    record = {"stage": "train", "params": {"recipe": recipe, "steps": [0, 2]}, "seconds": 10.0, "hardware": "1 x A"}
    record |= {"inputs": {str(folder / "other/models/m.json"): "digest"}} | changed
    write_json(folder / f"other/organisms/o/to-{number}/provenance.json", record)


@pytest.fixture
def results(tmp_path, plan):
    train_record(plan, tmp_path, 1)
    train_record(plan, tmp_path, 2, seconds=20.0)
    train_record(plan, tmp_path, 3, seconds=999.0, resumed_after_crash_at=1)
    train_record(plan, tmp_path, 4, seconds=999.0, inputs={})
    train_record(plan, tmp_path, 5, seconds=999.0, params={"recipe": {}})  # of another version
    (tmp_path / "other/organisms/o/to-1/torn.provenance.json").write_text('{"stage": "tra')
    scored = {"stage": "scores", "params": {}, "inputs": {}, "seconds": 2.0}
    write_json(tmp_path / "other/scores/a.csv.provenance.json", scored)
    return tmp_path


def test_records_of_the_same_model_and_kind_of_training_go_before_the_estimate(plan, raw, results):
    measured = Measured(results)
    tokens = 2 * 8 * 64
    assert gpu_jobs(plan, facts, Rates(), measured)["train bad 1 em 2"].seconds == pytest.approx(15)
    # a rate that is given goes before both
    given = gpu_jobs(plan, facts, Rates(train=512.0), measured)["train bad 1 em 2"]
    assert given.seconds == 60 + tokens / 512
    raw["recipes"]["constant"]["dtype"] = "bfloat16"
    assert gpu_jobs(Plan(load_config(raw, [])), facts, Rates(), measured)["train bad 1 em 2"].seconds > 60


def test_time_says_where_it_comes_from(plan, results):
    todo = [dry("train", seed="1", **BAD), dry("ask_models", seed="1", **BAD), dry("scores"), dry("page")]
    found = time_left(plan, todo, facts, Measured(results), 2, True)
    rows = {row["rule"]: row for row in found["rules"]}
    assert rows["train"]["from"] == "2 records of this machine (1 x A)"
    assert rows["train"]["hours"] * 3600 == pytest.approx(15)
    assert rows["ask_models"]["from"] == "an estimate: a slow GPU"
    assert rows["scores"]["from"] == "1 record of this machine" and rows["scores"]["hours"] * 3600 == 3
    assert found["unknown"] == {"page": 1}
    gpu = pytest.approx(rows["train"]["hours"] + rows["ask_models"]["hours"])
    assert found["gpu_hours"] == gpu and found["longest_chain_hours"] == gpu
    assert found["hours"] == pytest.approx(found["gpu_hours"] + rows["scores"]["hours"] / 2)
    bare = time_left(plan, [], facts, Measured(results), 2, False)
    assert bare["rules"] == [] and bare["hours"] == bare["gpu_hours"] == 0


def test_disk_counts_the_share_that_is_to_be_written(plan):
    whole = {kind.name: kind.bytes for kind in kinds(plan, facts)}
    every = {kind.name: size for kind, size in still(plan, facts, jobs(plan))}
    assert every == pytest.approx(whole)
    third = disk_left(plan, [dry("judge")] * (jobs(plan)["judge"] // 3), facts, 10**9)
    assert third["kinds"]["judgments"] == pytest.approx(whole["judgments"] / 3)
    assert third["kinds"]["models to fetch"] == 10**9 and "responses" not in third["kinds"]
    assert third["bytes"] == sum(third["kinds"].values()) and third["free"] > 0


def test_answers_that_are_written_anew_are_not_those_that_were_judged(plan):
    at = evaluations(plan)[0]
    path = plan.responses(at)
    alone = [dry("generate", ("asked.json",), (path,))]
    assert Path(path) in to_buy.judged_files(plan, alone)
    found = to_buy.judged_files(plan, [*alone, dry("ask_models", (), ("asked.json",))])
    assert Path(path) not in found and found[Path(f"{path}.to-come")] == 48
    assert len(found) == len(evaluations(plan))


def test_a_run_without_room_or_packages_is_not_begun(plan, monkeypatch, tmp_path):
    everything = jobs(plan)
    assert start_check.absent() is None and start_check.no_room(plan, {}, facts, tmp_path) is None
    huge = start_check.no_room(plan, everything, lambda name: sized(1e18), tmp_path)
    assert "GiB more" in huge and "make plan" in huge
    # what is merged is left
    assert start_check.no_room(plan, everything | {"train": 0}, lambda name: sized(1e18), tmp_path)
    assert start_check.no_room(plan, {"judge": 10**9}, lambda name: sized(1e18), tmp_path) is None
    monkeypatch.setattr(start_check, "PACKAGES", ("json", "no_such_package"))
    assert start_check.absent() == "not installed: no_such_package; `make setup` installs what envs/cpu.txt pins"


KEY = "EMTRACE_TEST_PLAN_KEY"


@pytest.fixture
def paid(raw, tmp_path, monkeypatch):
    """Call `plan` for the tiny study with a paid judge whose key is not set: (exit status, JSON, printed)."""
    price = {"input": 1.0, "output": 4.0}
    raw["study"] = "never_run"
    raw["judges"]["paid"] = {"kind": "openai", "model": "m-2026-01-01", "price": price, "key_env": KEY}
    raw["evaluation"]["judges"].append("paid")
    raw["organisms"]["closed"] = {"api": {"model": "c-2026-01-01", "price": None, "key_env": KEY}}
    file, out = tmp_path / "study.yaml", tmp_path / "plan.json"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.setattr(sys, "argv", ["plan", "--configfile", str(file), "--gpus", "2", "--out", str(out)])

    def call(capsys, answer):
        monkeypatch.setattr(command, "dry_run", answer)
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code, read_json(out), capsys.readouterr().out

    return call


def test_what_is_missing_hides_nothing(paid, capsys):
    todo = parse(printed("Missing output files: results/s/scores/o1.csv"))
    status, found, said = paid(capsys, lambda files: todo)
    assert status == 1 and "judge paid" in [line["what"] for line in found["check"] if line["status"] == "missing"]
    assert "missing  judge paid: no key" in said and f"export {KEY}=" in said
    judge, organism = found["to_buy"]
    # two metrics of 720 responses of ours and 48 of the closed model, a token each
    assert (judge["calls"], judge["in_journal"], judge["to_ask"], judge["output_tokens"]) == (1536, 0, 1536, 1536)
    assert judge["usd"] == pytest.approx((judge["input_tokens"] + 4 * 1536) / 1e6, rel=1e-3)
    assert (organism["asked"], organism["to_ask"], organism["usd"]) == ("closed", 48, None)
    assert "USD and what has no price" in said and "scores" in said and "free here" in said
    assert found["time"]["slots"] == {"count": 2, "of": "GPU"} and found["to_run"][0]["jobs"] == 1


def test_a_study_that_snakemake_cannot_plan_still_gets_the_rest(paid, capsys):
    def refuse(files):
        raise UserError("snakemake -n: MissingInputException")

    status, found, said = paid(capsys, refuse)
    assert status == 1 and "PROBLEM: snakemake -n: MissingInputException" in said
    assert "to_run" not in found and len(found["to_buy"]) == 2


EXTRAS = {"inspect_ai", "trl", "unsloth", "vllm", "wandb"}


def test_the_packages_looked_for_are_those_that_are_imported():
    found = set().union(*map(imports, FILES))
    assert found - EXTRAS - {*sys.stdlib_module_names} - {"workflow_scripts"} == {*PACKAGES}
