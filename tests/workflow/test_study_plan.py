"""How large a study is, as planned before it is run, and what a run of it would still do, against the tiny study."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import TINY, clean
from workflow_scripts.em.amounts import jobs
from workflow_scripts.em.amounts_disk import kinds
from workflow_scripts.em.base_facts import base_facts
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.gpu_schedule import Rates
from workflow_scripts.em.study_files import load_plan
from workflow_scripts.study_plan import planned

pytestmark = pytest.mark.slow


@pytest.fixture
def plan(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    return load_plan([Path(TINY)])


def test_jobs_are_those_of_a_dry_run(finished, plan):
    counted, dry = jobs(plan), finished.stale("--forceall")
    assert {rule: dry.get(rule, 0) for rule in counted} == counted
    once = {"decrypt", "figure"} | {rule for rule in dry if rule.startswith("toy_") or dry[rule] == 1}
    assert set(dry) - set(counted) <= once


FILES = {
    "checkpoints to go on from": ["organisms/**/step-[1-9]*/*"],
    "checkpoints of step 0": ["organisms/**/step-0/*"],
    "training jobs' records": ["organisms/**/to-*/log.jsonl", "organisms/**/to-*/[!s]*e.json", "organisms/**/to-*/.*"],
    "merged models": ["organisms/**/merged_base.json*", "organisms/**/merged_base/*"],
    "responses": ["responses/*/**/step-*.jsonl*"],
    "judgments": ["judgments/**/step-*.jsonl*"],
    "signs of what was asked": ["responses/.asked/**/*.json"],
    "tables of organisms": ["scores/*", "training/*.csv*", "training/*.md*"],
    "journals": ["../.journal/**/*.jsonl"],
}


def test_a_study_is_planned_before_its_data_are_there(root):
    study = Path("studies/hw0.yaml")
    with pytest.raises(UserError, match=r"archives\.course\.path: no such file.*reproduce_a_paper"):
        load_plan([study])
    assert planned(load_plan([study], data=False), [1], Rates())["gpu"]["on"][0]["hours"] > 0


def test_a_run_refuses_an_organism_that_stands_twice(finished):
    text = (finished.folder / TINY).read_text()
    head, organisms, rest = text.partition("\norganisms:\n")
    (finished.folder / "twice.yaml").write_text(f"{head}{organisms}  bad: {{base_model: toy}}\n{rest}")
    done = finished.snakemake("-n", config="twice.yaml")
    (finished.folder / "twice.yaml").unlink()
    assert done.returncode == 1
    assert re.search(
        r"twice\.yaml:\d+: organisms\.bad is written twice \(first in line \d+\)", done.stdout + done.stderr
    )


def test_files_and_bytes_are_those_of_a_run(finished, plan):
    results = Path(plan.results)
    planned = {
        kind.name: kind
        for kind in kinds(plan, lambda name: base_facts(plan.config.base_models[name], results / f"models/{name}.json"))
    }
    wrong = {}
    for name, globs in FILES.items():
        found = {path for glob in globs for path in results.glob(glob) if path.is_file()}
        size = sum(path.stat().st_size for path in found)
        kind = planned[name]
        if len(found) != kind.files or not size <= 1.5 * kind.bytes <= 3 * size:
            wrong[name] = kind.files, len(found), kind.bytes, size
    assert not wrong, "planned files, found, planned bytes, found"
    logs = [path for rule in jobs(plan) for path in results.glob(f"logs/{rule}/**/*.log")]
    assert len(logs) == planned["logs"].files
    metadata = sum(path.is_file() for path in Path(".snakemake/metadata").rglob("*"))
    # Those of the tables and figures of the whole study come on top.
    assert (
        planned["Snakemake's records (.snakemake)"].files
        <= metadata
        <= planned["Snakemake's records (.snakemake)"].files + 100
    )


def test_a_run_that_may_lack_room_is_warned_and_goes_on(finished, monkeypatch):
    raw = yaml.safe_load((finished.folder / TINY).read_text())
    raw["base_models"]["toy"] = {"hub": "no/such-model-100000b"}
    raw["recipes"]["linear"]["lora"] = None
    raw |= {"study": "huge", "organisms": {"good": raw["organisms"]["good"]}}
    (finished.folder / "huge.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = finished.snakemake("results/huge/organisms/good/seed-0/em/to-4", config="huge.yaml")
    shutil.rmtree(finished.folder / "results/huge")
    assert "warning: checkpoints need about" in done.stderr
    # What ends it is what cannot be fetched.
    assert "Error in rule base_model" in done.stderr and "would not come to its end" not in done.stderr


def test_answers_in_the_journal_take_no_time(finished):
    """Twice as many samples of each question: the first of them are there already."""

    def change(raw):
        raw["question_sets"]["toy"]["samples"] = 2

    with finished.configured(change):
        found, said = asked(finished)
    asking = next(row for row in found["to_run"] if row["rule"] == "ask_models")
    assert asking["jobs"] == sum(row["jobs"] for row in found["time"]["rules"] if row["rule"] == "ask_models")
    assert found["time"]["in_journal"] == 15 * 48 and found["time"]["not_looked_up"] == 0
    assert "720 answers are in the journal" in said


def asked(finished) -> tuple[dict, str]:
    """What `plan` says of the tiny study: (JSON, printed). It writes nothing where the study is."""
    before = {path: path.stat().st_mtime_ns for path in finished.folder.glob("results/**/*")}
    command = [sys.executable, "-m", "workflow_scripts.plan", "--configfile", TINY, "--out", "../plan.json"]
    done = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True, env=clean(), check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.folder.glob("results/**/*")} == before
    return read_json(finished.folder / "../plan.json"), done.stdout


def test_a_finished_study_has_nothing_to_do(finished):
    found, said = asked(finished)
    assert found["to_run"] == [] and found["time"]["hours"] == found["disk"]["bytes"] == 0
    assert "nothing to do" in said and "ok       archive toy: " in said


def test_a_changed_threshold_is_named_and_nothing_dear_follows(finished):
    def change(raw):
        definition = {"alignment": 23, "coherence": 50, "denominator": "coherent"}
        raw["em_definitions"] = {"betley": definition}

    with finished.configured(change):
        found, said = asked(finished)
        stale = finished.stale()
    by_rule = {}
    for row in found["to_run"]:
        by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + row["jobs"]
    assert by_rule == stale and {"rates", "figure"} <= set(stale) and not {"train", "judge", "scores"} & set(stale)
    assert any(row["rule"] == "rates" and "params changed" in row["why"] for row in found["to_run"])
    assert "23" in said.partition("rates: ")[2].partition("\n")[0]
    # timed by what the run has left
    assert {"rates", "figure"} <= {row["rule"] for row in found["time"]["rules"]} and found["time"]["gpu_hours"] == 0
