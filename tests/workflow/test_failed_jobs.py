"""A job that fails or is killed leaves what it was to replace as it was: nothing is lost, and it stays stale."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.workflow.conftest import TINY, Copy, Finished, built_once, clean
from workflow_scripts.em.files import digest_tree

ADAPTERS = "results/tiny/organisms/good"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Finished:
    """A finished study of this module's own: its jobs are made to fail."""
    return built_once(tmp_path_factory, Copy, TINY)


def too_many(raw: dict) -> None:
    raw["training_sets"]["good"]["mixture"][0]["count"] = 100_000


def faster(raw: dict) -> None:
    raw["recipes"]["linear"]["learning_rate"] = 2.0e-3


def test_a_failed_job_stays_stale_and_its_old_output_is_there(study):
    rows = study.folder / "data/decrypted/tiny/training_sets/good"
    before = digest_tree(rows)
    with study.configured(too_many):
        for _ in range(2):
            done = study.snakemake()
            assert done.returncode == 1 and "logs/training_set/good.log" in done.stderr
            assert "Put back as it was, for what was to replace it was not made: data/decrypted/tiny/" in done.stderr
            assert digest_tree(rows) == before
        stale = study.stale()
        assert stale["training_set"] == 1 and stale["train"] == 1 and stale["page"] == 1
    assert study.stale() == {}, "the config of before is back, and so is all that was made of it"


def test_what_a_killed_run_was_training_anew_is_not_lost(study):
    before = digest_tree(study.folder / ADAPTERS)
    with study.configured(faster):
        # Not the warm one, whose Snakemake is a process that the signal does not reach.
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", TINY]
        run = subprocess.Popen(command, cwd=study.folder, env=clean(), start_new_session=True)
        try:
            while (study.folder / ADAPTERS / "seed-0/em/to-4").exists():
                assert run.poll() is None, "it ended before anything was trained"
                time.sleep(0.01)
        finally:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        assert not (study.folder / ADAPTERS / "seed-0/em/to-4").exists()
        assert study.stale()["train"] == 1, "a dry run sees it too"
        assert digest_tree(study.folder / ADAPTERS) == before
    assert study.stale() == {}
    with study.configured(faster):
        done = study.snakemake("--until", "train")
        assert done.returncode == 0, done.stderr
        assert digest_tree(study.folder / ADAPTERS) != before
    assert not list(study.folder.rglob(".before")), "what was replaced is let go"


def test_without_old_outputs_a_failed_job_is_as_ever(study):
    shutil.rmtree(study.folder / "data/decrypted/tiny/training_sets/good")
    with study.configured(too_many):
        done = study.snakemake("data/decrypted/tiny/training_sets/good")
        assert done.returncode == 1 and "Put back" not in done.stderr
