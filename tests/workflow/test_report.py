"""Snakemake's report: one offline file with figures, tables and captions, and responses only if the config says so."""

import re

import pytest

pytestmark = pytest.mark.slow


def report(copy, *arguments: str) -> str:
    done = copy.snakemake("--report", "report.html", *arguments)
    assert done.returncode == 0, done.stderr
    return (copy.folder / "report.html").read_text(encoding="utf-8")


def test_the_report_is_one_offline_file(finished):
    page = report(finished)
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', page), "nothing is loaded from elsewhere"
    for kind in ("em_trajectories", "coherence_trajectories", "domain_comparison", "em_definitions", "training_curve"):
        assert f"figures/{kind}.svg" in page
    for result in ("findings.csv", "statistics/rates.csv", "data/bad.md", "examples/examples.html"):
        assert result in page
    assert "interval for <em>other questions like these</em>" in page, "captions are rendered"


def test_responses_are_left_out_unless_the_config_asks_for_them(finished):
    assert '"filename": "examples.html"' in report(finished)
    with finished.configured(lambda raw: raw["report"].update(include_responses=False)):
        assert '"filename": "examples.html"' not in report(finished)


def test_a_rulegraph_and_the_plan_need_no_run(finished):
    done = finished.snakemake("--rulegraph", "--config", "study=fresh")
    assert done.returncode == 0 and "digraph" in done.stdout and "generate" in done.stdout


def test_the_study_has_a_page_of_its_own(finished):
    page = (finished.folder / "results/tiny/report.html").read_text(encoding="utf-8")
    assert 'class="texts"' in page and "default-src &#39;none&#39;" in page
    assert "no evidence about large models" in page and "Newest result: 20" in page
    examples = (finished.folder / "results/tiny/examples/examples.html").read_text(encoding="utf-8")
    assert "Content warning" in page and "Content warning" in examples
