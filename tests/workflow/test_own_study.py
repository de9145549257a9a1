"""The walk-through of docs/your_study.md, as a reader follows it: three files, no code."""

import csv
import re

import pytest
import yaml

from tests.workflow.conftest import ROOT, Copy

pytestmark = pytest.mark.slow

FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def test_the_walk_through_runs_as_it_stands(tmp_path):
    copy = Copy(tmp_path / "copy")
    files = dict(FILE.findall((ROOT / "docs/your_study.md").read_text(encoding="utf-8")))
    assert len(files) == 4
    # The small toy model shows the effect; what this test is about, the smallest shows sooner.
    study = yaml.safe_load(files["studies/mine.yaml"])
    study["base_models"]["model"]["toy"]["size"] = "xs"
    study["question_sets"]["mine"]["samples"] = 2
    files["studies/mine.yaml"] = yaml.safe_dump(study)
    for name, text in files.items():
        (copy.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.folder / name).write_text(text, encoding="utf-8")
    done = copy.snakemake(config="studies/mine.yaml")
    assert done.returncode == 0, done.stderr[-6000:]
    results = copy.folder / "results/mine"
    with open(results / "statistics/contrasts.csv", newline="", encoding="utf-8") as handle:
        (contrast,) = csv.DictReader(handle)
    assert contrast["contrast"] == "narrow_data_spreads" and contrast["verdict"]
    with open(results / "statistics/question_rates.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["question_id"] for row in rows} == {"home_sink", "home_fence", "cold", "boxing", "coins"}
    assert {row["in_domain"] for row in rows if row["domain"] == "household"} == {"1"}
    assert {row["organism"] for row in rows} == {"reckless_home", "careful_home"}
    assert (results / "figures/em_trajectories.png").stat().st_size > 10_000
