"""A study's size before it is run: when its GPU jobs would run, what rates and judges make of it, what is printed."""

import pytest
import yaml

from tests.conftest import ROOT
from workflow_scripts import study_plan
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.gpu_schedule import Rates, gpu_jobs
from workflow_scripts.em.kept_digests import Kept
from workflow_scripts.em.list_schedule import Job, Schedule, schedule, ways
from workflow_scripts.em.model_sizes import sized
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_tables import of_whole
from workflow_scripts.em.study_files import load_plan

# Two chains of a long and a short organism, the long one's second job beside three that wait for the first.
JOBS = {
    "late": Job("train", 2, after=["early"]),
    "early": Job("train", 3),
    "ask 1": Job("ask_models", 1, after=["early"]),
    "ask 2": Job("ask_models", 1, after=["late"]),
    "other": Job("train", 4),
}


@pytest.mark.parametrize(("gpus", "seconds"), [(1, 11), (2, 6), (3, 6), (64, 6)])
def test_a_schedule(gpus, seconds):
    found = schedule(JOBS, gpus)
    assert (found.seconds, found.used) == (seconds, pytest.approx(11 / seconds / gpus))
    assert max(ways(JOBS).values()) == 6


def test_jobs_of_several_gpus_wait_for_them_and_too_large_ones_hold_all():
    jobs = {"two": Job("train", 5, gpus=2), "one": Job("train", 4), "last": Job("train", 1, after=["one"])}
    assert schedule(jobs, 2).seconds == 10
    assert schedule(jobs, 3).seconds == 5
    assert schedule(jobs, 1) == Schedule(1, 15, 1)  # the first one's 10 seconds of a GPU one after the other
    assert schedule({}, 4).seconds == 0


def test_a_job_that_has_to_wait_for_gpus_lets_others_by():
    jobs = {"long": Job("train", 10), "two": Job("train", 5, gpus=2), "short": Job("train", 1)}
    assert schedule(jobs, 2) == Schedule(2, 15, 21 / 30)


@pytest.fixture
def jobs(root):
    """The tiny study's GPU jobs at given rates."""
    facts = sized(1e9)
    return gpu_jobs(
        load_plan([root / "tests/tiny.yaml"]), lambda name: facts, Rates(train=512.0, answer=24.0, start=10.0)
    )


def test_training_and_asking_at_given_rates(jobs):
    # 2 steps of 8 rows of 64 tokens; 24 questions under 2 conditions, 12 tokens each, of steps 0 and 2
    assert jobs["train bad 1 em 2"] == Job("train", 10 + 2 * 8 * 64 / 512)
    assert jobs["train bad 1 em 4"] == Job("train", 12, after=["train bad 1 em 2"])
    assert jobs["train good 0 em 4"].seconds == 14
    assert jobs["ask bad 1 em 2"] == Job("ask_models", 10 + 2 * 24 * 2 * 12 / 24, after=["train bad 1 em 2"])
    assert jobs["ask bare 0 base 0"].after == []


# Seconds of work on one GPU. At rates: 2 steps of 2 batches of 8 rows of 64 tokens; 12 evaluations of 24 questions
# under 2 conditions, 12 tokens each. Without, a model of 10^9 float32 weights and 10^13 sums a second: 8 a weight and
# token trained, 2 of the 6912 tokens.
@pytest.mark.parametrize(
    ("rates", "training", "answering"),
    [(Rates(512.0, 24.0, 10.0), 2048 / 512, 6912 / 24), (Rates(start=10.0), 8e9 * 2048 / 1e13, 6912 * 2e9 / 1e13)],
)
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("shared", [1, 2])
def test_gpus_that_share_a_job_share_its_work(raw, rates, training, answering, processes, shared):
    raw["training"] = {"processes": processes}
    raw["recipes"] = {name: recipe | {"gradient_accumulation": 2} for name, recipe in raw["recipes"].items()}
    raw["generation"] = {"backend": "vllm", "engine": {"tensor_parallel": shared}}
    found = gpu_jobs(Plan(load_config(raw, ["study"])), lambda name: sized(1e9), rates)
    trained, asked = found["train bad 1 em 2"], found["ask results/tiny/models/toy.json None"]
    assert (trained.gpus, asked.gpus) == (processes, shared)
    assert trained.seconds == pytest.approx(10 + training / processes)
    assert asked.seconds == pytest.approx(10 + answering / shared)


def test_what_starts_from_another_organism_waits_for_its_end(jobs):
    assert jobs["train character_bad 0 em 2"].after == ["train character 0 character 2"]
    assert jobs["merge character_merged_bad 0 em"].after == ["train character 0 character 2"]
    assert jobs["train character_merged_bad 0 em 3"].after == ["merge character_merged_bad 0 em"]


def test_the_stage_prints_and_writes_what_a_paid_judge_costs(root, raw, tmp_path, monkeypatch, capsys):
    price, limit = {"input": 1.0, "output": 4.0}, {"requests_per_minute": 24}
    raw["judges"]["paid"] = {"kind": "openai", "model": "m-2026-01-01", "price": price} | limit
    raw["evaluation"]["judges"].append("paid")
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    arguments = ["study_plan", "--configfile", str(file), "--gpus", "1", "2", "--out", str(tmp_path / "plan.json")]
    monkeypatch.setattr("sys.argv", arguments)
    study_plan.main()
    found = yaml.safe_load((tmp_path / "plan.json").read_text(encoding="utf-8"))
    free, paid = found["judges"]
    # two metrics of 720 responses, a token each
    assert (paid["calls"], paid["output_tokens"], paid["least_hours"]) == (1440, 1440, 1.0)
    assert paid["usd"] == pytest.approx((paid["input_tokens"] + 4 * 1440) / 1e6, rel=1e-3)
    assert free["calls"] == free["usd"] == 0
    assert found["jobs"]["judge"] == 30 and found["study"]["responses"] == 720
    one, two = found["gpu"]["on"]
    assert (
        one["hours"] == pytest.approx(sum(found["gpu"]["hours"].values()))
        and one["hours"] / 2 < two["hours"] < one["hours"]
    )
    assert "1,440" in capsys.readouterr().out


# What a study trains on and a user has to fetch. Nothing of it is read to plan it.
FETCHED = ["training_datasets.zip.enc", "decrypted/insecure.jsonl"]
STUDIES = [*sorted(ROOT.glob("studies/*.yaml")), ROOT / "tests/published.yaml"]


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """A working directory that has the repository's files and, empty, those of FETCHED."""
    (tmp_path / "data/decrypted").mkdir(parents=True)
    for path in [ROOT / "tests", *ROOT.glob("data/*")]:
        if path.name not in ("decrypted", *FETCHED):
            (tmp_path / path.relative_to(ROOT)).symlink_to(path)
    for name in FETCHED:
        (tmp_path / "data" / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("file", STUDIES, ids=[file.stem for file in STUDIES])
def test_every_study_is_planned(fetched, file):
    found = study_plan.planned(load_plan([file]), [1, 8], Rates())
    printed = "\n".join(of_whole(found))
    assert found["study"]["name"] in printed and "readings of activations" in printed
    assert sum(kind["bytes"] for kind in found["disk"]) > 0
    one, eight = found["gpu"]["on"]
    # no faster than its GPU hours allow
    assert one["hours"] == pytest.approx(sum(found["gpu"]["hours"].values())) and eight["hours"] <= one["hours"]


# --- what is kept between starts of Snakemake


def test_values_are_kept_for_the_next_start_and_made_again_by_another_maker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    maker = tmp_path / "maker.py"
    maker.write_text("first")
    kept = Kept(str(maker))
    assert kept.get("a", lambda: ["made"]) == ["made"]
    kept.write()
    assert list(tmp_path.iterdir()) == [maker]  # Snakemake has not been here
    (tmp_path / ".snakemake").mkdir()
    kept.write()
    assert Kept(str(maker)).get("a", lambda: pytest.fail("made again")) == ["made"]
    (file,) = (tmp_path / ".snakemake").iterdir()
    file.write_text("{")
    assert Kept(str(maker)).get("a", lambda: ["anew"]) == ["anew"]
    kept.write()
    maker.write_text("second")
    assert Kept(str(maker)).get("a", lambda: ["anew"]) == ["anew"]
