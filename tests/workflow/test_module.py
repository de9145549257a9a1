"""emtrace as a module of another workflow, in a folder of its own: docs/module.md."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ROOT, clean

pytestmark = pytest.mark.slow

FILE = re.compile(r"<!-- file: Snakefile -->\n```python\n(.*?)```", re.DOTALL)
(DOCUMENTED,) = FILE.findall((ROOT / "docs/module.md").read_text(encoding="utf-8"))
TWO = """
module first:
    snakefile: "emtrace/Snakefile"
    config: config

module second:
    snakefile: "emtrace/Snakefile"
    config: config | {"study": "second"}

use rule * from first as first_*
use rule * from second exclude toy_corpus, toy_tokenizer, toy_pretrain, toy_tune as second_*
use rule rates from second as second_* with:
    priority: 3

rule both:
    default_target: True
    input: rules.first_all.input, rules.second_all.input, rules.second_rates.output.rates
"""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=clean(), check=False)


def jobs(folder: Path, *arguments: str) -> dict[str, int]:
    """Rule -> jobs of a dry run."""
    done = snakemake(folder, "-n", *arguments)
    assert done.returncode == 0, done.stderr[-4000:]
    stats = (done.stdout + done.stderr).partition("Job stats:")[2].partition("total")[0]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", stats, re.M)}


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def mine(tmp_path) -> Path:
    """A user's folder: the documented Snakefile, a study, and emtrace beside it."""
    os.symlink(ROOT, tmp_path / "emtrace")
    (tmp_path / "Snakefile").write_text(DOCUMENTED, encoding="utf-8")
    shutil.copy2(ROOT / "tests/tiny.yaml", tmp_path / "study.yaml")
    return tmp_path


def test_a_rule_of_the_users_goes_on_from_a_table_of_ours(mine):
    study = yaml.safe_load((ROOT / "tests/published.yaml").read_text(encoding="utf-8"))
    shutil.copytree(ROOT / "tests/published", mine / "tests/published")
    (mine / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    done = snakemake(mine, "highest", "--workflow-profile", "emtrace/profiles/default")
    assert done.returncode == 0, done.stderr[-4000:]
    rates = table(mine / "results/published/statistics/rates.csv")
    rates = [row for row in rates if (row["definition"], row["scope"]) == ("betley", "all") and row["em_rate"]]
    highest = table(mine / "highest.csv")
    assert len(highest) == 3
    assert float(highest[0]["em_rate"]) == max(float(row["em_rate"]) for row in rates)
    # Whose grammar is the repository's.
    assert "toy" in {row["judge"] for row in rates}
    # `emtrace.onstart()` has held the study
    assert "process" in (mine / ".snakemake/studies/published").read_text(encoding="utf-8")
    assert {path.name for path in mine.iterdir()} == {
        *("Snakefile", "emtrace", "study.yaml", "tests", "highest.csv", "results", ".snakemake")
    }


def test_the_whole_study_is_laid_out_in_an_empty_folder(mine):
    found = jobs(mine)
    assert found["mine"] == found["highest"] == found["page"] == found["toy_pretrain"] == 1
    assert (found["train"], found["judge"]) == (9, 15)


def test_a_study_that_was_made_in_a_clone_is_not_stale_for_a_module(finished):
    own = finished.folder / "own.smk"
    own.write_text(
        DOCUMENTED.replace("emtrace/Snakefile", "Snakefile").replace("study.yaml", "tests/tiny.yaml"), encoding="utf-8"
    )
    try:
        assert jobs(finished.folder, "--snakefile", "own.smk") == {"mine": 1, "highest": 1}
    finally:
        own.unlink()


def test_two_studies_are_two_modules_with_renamed_rules(mine):
    (mine / "Snakefile").write_text(f'configfile: "study.yaml"\n{TWO}', encoding="utf-8")
    found = jobs(mine)
    assert found["first_train"] == found["second_train"] == 9
    assert found["first_toy_tune"] == found["second_rates"] == found["both"] == 1
    assert "second_toy_tune" not in found


def refusal(mine, text: str) -> str:
    """What Snakemake says of a Snakefile that it does not run."""
    (mine / "Snakefile").write_text(text, encoding="utf-8")
    done = snakemake(mine, "-n")
    assert done.returncode == 1
    return done.stdout + done.stderr


def test_a_prefix_is_refused(mine):
    text = DOCUMENTED.replace("    config:", '    prefix: "sub"\n    config:')
    assert "emtrace as a module takes no `prefix`" in refusal(mine, text)


def test_a_remote_module_says_what_to_do_instead(mine):
    """What Snakemake does for github(...) it does for a git repository on this machine."""
    remote = mine / "remote"
    remote.mkdir()
    shutil.copy2(ROOT / "Snakefile", remote)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=remote, check=True)
    subprocess.run(["git", "tag", "v1"], cwd=remote, check=True)
    text = DOCUMENTED.replace('"emtrace/Snakefile"', 'gitfile("remote", path="Snakefile", tag="v1")')
    assert "brings no stages: import a clone by its path (docs/module.md)" in refusal(mine, text)


def test_the_file_that_the_workflow_catalog_looks_for_is_the_whole_workflow(mine):
    (mine / "Snakefile").unlink()
    found = jobs(mine, "--snakefile", "emtrace/workflow/Snakefile", "--configfile", "study.yaml")
    assert found["study"] == found["page"] == 1
    assert (ROOT / "config/config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
