"""How large a study is, as planned before it is run, against the tiny study that was run."""

from pathlib import Path

import pytest

from tests.workflow.conftest import TINY
from workflow_scripts.em.amounts import jobs
from workflow_scripts.em.amounts_disk import kinds
from workflow_scripts.em.base_facts import base_facts
from workflow_scripts.em.study_files import load_plan

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
