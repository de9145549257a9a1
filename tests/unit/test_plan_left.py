"""What is left of a study: time of its jobs by records or estimates, disk, and answers still to be asked for."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from workflow_scripts.em import saved_weights, to_buy
from workflow_scripts.em.amounts import evaluations, jobs, model_name
from workflow_scripts.em.amounts_disk import PROVENANCE, kinds, still
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.dry_run import DryJob
from workflow_scripts.em.files import dumps, read_json, write_json
from workflow_scripts.em.gpu_schedule import Rates, gpu_jobs
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.measured import Measured
from workflow_scripts.em.model_sizes import sized
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.remaining import disk_left, needed, time_left, would_run
from workflow_scripts.em.saved_weights import free_bytes, saved, to_save
from workflow_scripts.em.spending import judge_to_count
from workflow_scripts.em.spending import plan as spending


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
    todo = [dry("train", seed="1", **BAD), dry("ask_models", seed="1", **BAD), dry("scores")]
    found = needed(would_run(plan, todo), work)
    assert set(found) == {"train bad 1 em 4", "ask bad 1 em 4"}
    assert found["train bad 1 em 4"].after == [] and found["ask bad 1 em 4"].after == ["train bad 1 em 4"]
    every = [dry("train", seed=name.split()[2], organism=name.split()[1], stage=name.split()[3], last=name.split()[4])
             for name in work if name.startswith("train")]  # fmt: skip
    assert len(needed(would_run(plan, every), work)) == jobs(plan)["train"]


def test_an_engine_is_known_by_who_reads_its_sign(raw):
    raw["generation"] = {"backend": "vllm"}
    raw["recipes"]["whole"] = raw["recipes"]["constant"] | {"lora": None}
    raw["organisms"]["bad"]["stages"][0]["recipe"] = "whole"
    plan = Plan(load_config(raw, ["study"]))
    work = gpu_jobs(plan, facts, Rates())
    engines, readers = [], []
    for number, (organism, seed, stage, step) in enumerate(at for at in evaluations(plan) if at[0] == "bad"):
        sign, inputs = f"engine-{number}.json", ("results/tiny/models/toy.json", "folder")
        engines.append(dry("ask_engine", inputs, (sign,), engine=str(number)))
        address = {"organism": organism, "seed": f"{seed}", "stage": stage, "step": f"{step}"}
        readers.append(dry("generate", (*inputs, sign), **address))
    # Fully fine-tuned, each checkpoint is a model of its own, though all have the record of the base.
    (one,) = needed(would_run(plan, [*engines[:1], *readers]), work)
    assert len(engines) > 1 and one == f"ask results/tiny/models/toy.json {evaluations(plan)[0]}"
    assert len(needed(would_run(plan, [*engines, *readers]), work)) == len(engines)
    assert needed(would_run(plan, engines), work) == {}


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
    # nor does this say what it goes on from
    goes_on = {"recipe": plan.config.recipes["constant"].plain(), "steps": [4]}
    train_record(plan, tmp_path, 6, seconds=999.0, params=goes_on)
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


def test_a_segment_that_goes_on_is_timed_by_its_own_steps(plan, tmp_path):
    recipe = plan.config.recipes["constant"].plain()
    for number, steps in (1, [4]), (2, [3, 4]):
        train_record(plan, tmp_path, number, params={"recipe": recipe, "steps": steps}, seconds=20.0)
        path = tmp_path / f"other/organisms/o/to-{number}/provenance.json"
        record = read_json(path)
        record["inputs"] |= {"results/other/organisms/o/to-2/step-2": "digest"}
        write_json(path, record)
    # 2 steps each, whichever of them are saved
    assert gpu_jobs(plan, facts, Rates(), Measured(tmp_path))["train bad 1 em 2"].seconds == pytest.approx(20)


def test_records_count_for_as_many_gpus_and_not_for_others_than_gpus(plan, raw, tmp_path):
    train_record(plan, tmp_path, 1)
    train_record(plan, tmp_path, 2, seconds=500.0, hardware="CPU, 2 threads")
    train_record(plan, tmp_path, 3, seconds=5.0, hardware="2 x A")
    assert gpu_jobs(plan, facts, Rates(), Measured(tmp_path))["train bad 1 em 2"].seconds == pytest.approx(255)
    on_gpu = Measured(tmp_path, gpu=True)
    assert gpu_jobs(plan, facts, Rates(), on_gpu)["train bad 1 em 2"].seconds == pytest.approx(10)
    raw["training"] = {"processes": 2}
    for recipe in raw["recipes"].values():
        recipe |= {"gradient_accumulation": 2, "batch_size": 4}
    shared = Plan(load_config(raw, []))
    assert gpu_jobs(shared, facts, Rates(), on_gpu)["train bad 1 em 2"].seconds == pytest.approx(5)


def test_where_hours_come_from_is_said_of_one_thread_as_of_several(plan, tmp_path):
    train_record(plan, tmp_path, 1, hardware="CPU, 1 threads")
    measured, todo = Measured(tmp_path), [dry("train", seed="1", **BAD)]
    (row,) = time_left(plan, todo, facts, measured, 1, False)["rules"]
    assert row["from"].startswith("1 record of this machine (CPU, 1 thread)")


def test_a_record_that_does_not_say_its_hardware_is_not_of_a_gpu(plan, tmp_path):
    """Of an earlier version: `ask_models` and `ask_engine` said nothing."""
    write_json(tmp_path / "s/models/toy.json", {"name": model_name(plan, "toy")})
    sets = {"toy": {"max_new_tokens": 12}}
    record = {"stage": "ask_models", "params": {"dtype": "float32", "question_sets": sets}, "seconds": 24.0}
    record |= {"inputs": {str(tmp_path / "s/models/toy.json"): "digest"}, "responses": 10, "from_journal": 8}
    write_json(tmp_path / "s/responses/.asked/old.json.provenance.json", record)
    write_json(tmp_path / "s/scores/a.provenance.json", {"stage": "scores", "params": {}, "inputs": {}, "seconds": 1.0})
    name = model_name(plan, "toy")
    assert Measured(tmp_path).took("ask_models", name, "float32").work == 24
    on_gpu = Measured(tmp_path, gpu=True)
    assert on_gpu.took("ask_models", name, "float32") is None and on_gpu.took("scores").records == 1
    write_json(tmp_path / "s/responses/.asked/new.json.provenance.json", record | {"hardware": "1 x A"})
    assert Measured(tmp_path, gpu=True).took("ask_models", name, "float32").hardware == {"1 x A"}


def test_answers_of_checkpoints_that_are_made_first_are_counted_and_said(plan, results, tmp_path):
    todo = [dry("ask_models", seed="1", **BAD)]
    (tmp_path / "journal").mkdir()
    timed = [time_left(plan, todo, facts, Measured(results), 1, True, tmp_path / at) for at in ("journal", "none")]
    # one checkpoint of 48 responses; where no journal is, nothing could be in it
    assert [found["not_looked_up"] for found in timed] == [48, 0]
    assert timed[0]["hours"] == timed[1]["hours"] > 0 and timed[0]["in_journal"] == 0


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


def test_disk_counts_the_share_that_is_to_be_written(raw):
    plan = Plan(load_config(raw | {"study": "never_run"}, []))
    whole = {kind.name: kind.bytes for kind in kinds(plan, facts)}
    outputs = {each.output for each in saved(plan, facts)}
    every = {kind.name: size for kind, size in still(plan, facts, jobs(plan), outputs)}
    assert every == pytest.approx(whole)
    models = SimpleNamespace(to_fetch={"m": 10**9}, unsized=["n"])
    third = disk_left(plan, [dry("judge")] * (jobs(plan)["judge"] // 3), facts, models)
    assert third["kinds"]["judgments"] == pytest.approx(whole["judgments"] / 3)
    assert third["kinds"]["models to fetch"] == 10**9 and "responses" not in third["kinds"]
    assert third["bytes"] == sum(third["kinds"].values()) and third["free"] > 0 and third["uncounted"] == ["n"]
    # without jobs a whole run, as `check_env` asks
    assert disk_left(plan, None, facts, models)["bytes"] == pytest.approx(sum(whole.values()) + 10**9)


@pytest.mark.parametrize(("layers", "read"), [([0], 1), ("all", facts("m")["layers"])])
def test_activations_are_counted_by_what_is_read(raw, layers, read):
    first = {"organism": "bad", "step": 0}
    raw["conditions"]["steered"] = {"steering": {"direction": "d", "add": 1, "layers": [0], "organisms": ["bad"]}}
    raw["evaluation"]["conditions"].append("steered")
    raw["activations"] = {
        "readings": {"own": {"layers": layers, "organisms": ["bad"]}, "one": {"layers": [0], "responses": first}},
        "directions": {"d": {"reading": "one", "layer": 0, "a": {"organism": "bad"}, "b": first}},
    }
    plan = Plan(load_config(raw, []))
    (kind,) = (kind for kind in kinds(plan, facts) if kind.name == "activations")
    # 48 responses without steering at each: 6 checkpoints of `bad`, and all 15 of the study
    numbers = 48 * facts("m")["hidden"] * (6 * read + 15)
    assert kind.bytes == 4 * numbers + 13 * PROVENANCE and kind.count == 21
    assert jobs(plan)["read_activations"] == kind.folders == 13
    left = disk_left(plan, [dry("read_activations")], facts, SimpleNamespace(to_fetch={}, unsized=[]))
    assert left["kinds"]["activations"] == pytest.approx(kind.bytes / 13)


def test_weights_are_counted_by_the_job_that_saves_them_and_not_where_they_are(plan, raw, tmp_path, monkeypatch):
    raw["base_models"]["large"] = {"hub": "some/model-32b"}
    raw["organisms"]["large"] = raw["organisms"]["bad"] | {"base_model": "large"}
    plan = Plan(load_config(raw, []))
    monkeypatch.chdir(tmp_path)

    def sizes(name):
        return sized(32e9 if name == "large" else 0.5e9)

    of_small = {each.output for each in saved(plan, sizes) if "/large/" not in each.output}
    small = sum(each.bytes for each in saved(plan, sizes) if each.output in of_small)
    assert sum(to_save(plan, sizes, of_small).values()) == pytest.approx(small)
    assert sum(to_save(plan, sizes, {each.output for each in saved(plan, sizes)}).values()) > 1.3 * small
    for output in of_small:
        Path(output).mkdir(parents=True)
    # written over
    assert not to_save(plan, sizes, of_small)


def test_free_is_what_the_disk_of_the_results_has(tmp_path, monkeypatch):
    disks = {Path("/"): 1, tmp_path / "large": 5}
    monkeypatch.setattr(saved_weights.shutil, "disk_usage", lambda at: SimpleNamespace(free=disks[at.resolve()]))
    (tmp_path / "large").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "large")
    monkeypatch.chdir(tmp_path)
    assert free_bytes("results/not/made/yet") == 5 and free_bytes("/no-such-folder/at-all") == 1


def test_answers_that_are_written_anew_are_not_those_that_were_judged(plan):
    at = evaluations(plan)[0]
    path = plan.responses(at)
    alone = [dry("generate", ("asked.json",), (path,))]
    assert to_buy.judged_files(plan, alone)[1] == set()
    found, anew = to_buy.judged_files(plan, [*alone, dry("ask_models", (), ("asked.json",))])
    assert found[Path(path)] == 48 and anew == {Path(path)} and len(found) == len(evaluations(plan))


def test_a_judge_is_counted_before_its_model_is_here(plan, raw, tmp_path):
    spec = plan.config.judges["toy"].plain()
    assert judge_to_count(spec, None)[1] is None
    raw["judges"]["local"] = {"kind": "transformers", "base_model": "toy"}
    spec = load_config(raw, []).judges["local"].plain()
    blank, tokenizer = judge_to_count(spec, tmp_path / "none.json")
    assert tokenizer is None
    record = {"name": "m", "revision": None, "digest": "d", "path": "folder"}
    write_json(tmp_path / "m.json", record)
    judge, tokenizer = judge_to_count(spec, tmp_path / "m.json")
    assert tokenizer == "folder" and judge.identity != blank.identity
    responses = tmp_path / "r.jsonl"
    row = {"question": "q", "response": "r", "question_set": "toy", "question_id": "a"}
    responses.write_text(dumps(row) + "\n")
    journal = Journal(tmp_path / "journal")
    wanted = lambda row: blank.calls(row, {})  # noqa: E731
    there = spending(blank, journal, wanted, {responses: 1})
    anew = spending(blank, journal, wanted, {responses: 1}, anew={responses})
    assert (there.responses, there.responses_to_come, anew.responses, anew.responses_to_come) == (1, 0, 0, 1)
    assert there.calls == anew.calls > 0


def test_a_table_that_is_not_read_yet_is_not_counted_as_nothing(tmp_path, monkeypatch):
    path = Path("results/s/tables/published/responses.jsonl")
    tables = {"published": SimpleNamespace(rejudge=True), "as_is": SimpleNamespace(rejudge=False)}
    plan = SimpleNamespace(config=SimpleNamespace(tables=tables), table_responses=lambda name: str(path))
    monkeypatch.chdir(tmp_path)
    (said,) = to_buy.unread(plan, [Path("s.yaml")])
    assert "table published: not read yet" in said and f"snakemake --cores 1 {path} --configfile s.yaml" in said
    path.parent.mkdir(parents=True)
    path.touch()
    assert to_buy.unread(plan, [Path("s.yaml")]) == []
