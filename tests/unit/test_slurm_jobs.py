"""Jobs that a killed Snakemake left behind: which they are, and that they are ended."""

import os

import pytest

from workflow_scripts.em import slurm_jobs
from workflow_scripts.em.errors import UserError

RUN = "66dcc132-2c1c-4d1e-9ee6-702a928c15a2"


def test_only_jobs_of_this_study_in_this_folder_are_left_behind(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    lines = [
        f"1|emtrace-a_{RUN}|{tmp_path}",
        f"2|emtrace-a_{RUN}|{tmp_path}/link",
        f"3|emtrace-a_{RUN}|{tmp_path}/other",
        f"4|emtrace-a_b_{RUN}|{tmp_path}",
        f"5|emtrace-b_{RUN}|{tmp_path}",
        f"6|{RUN}|{tmp_path}",
        f"7|emtrace-a_|{tmp_path}",
        f"8|my job|{tmp_path}|odd",
    ]
    assert slurm_jobs.left_behind("\n".join(lines) + "\n", "emtrace-a_", tmp_path) == ["1", "2"]
    assert slurm_jobs.left_behind("", "emtrace-a_", tmp_path) == []


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder of programs that stand for SLURM's: one job, which needs two looks to be gone once it is cancelled."""
    programs = {
        "squeue": f'if [ -s jobs ]; then echo "5|emtrace-a_{RUN}|$PWD"; fi; if [ -e ended ]; then mv ended going;'
        " elif [ -e going ]; then : > jobs; fi",
        "scancel": 'echo "$@" >> cancelled; : > ended',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "jobs").write_text("5\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm_jobs.time, "sleep", lambda seconds: None)
    return tmp_path


def test_what_was_left_behind_is_cancelled_once_and_waited_for(slurm, capsys):
    slurm_jobs.end_left_behind("emtrace-a_", slurm)
    assert (slurm / "cancelled").read_text() == "5\n"
    assert not (slurm / "jobs").read_text()
    assert "cancelled: 5" in capsys.readouterr().err


def test_nothing_is_cancelled_for_another_study(slurm):
    slurm_jobs.end_left_behind("emtrace-b_", slurm)
    assert not (slurm / "cancelled").exists()


def test_jobs_that_stay_and_a_silent_slurm_are_told(slurm, monkeypatch):
    (slurm / "scancel").write_text("#!/bin/sh\n", encoding="utf-8")
    monkeypatch.setattr(slurm_jobs, "WAIT_S", 0)
    with pytest.raises(UserError, match="do not end: 5"):
        slurm_jobs.end_left_behind("emtrace-a_", slurm)
    (slurm / "squeue").write_text("#!/bin/sh\necho Unable to contact slurm controller >&2; exit 1\n", encoding="utf-8")
    with pytest.raises(UserError, match="Unable to contact slurm controller; start again"):
        slurm_jobs.end_left_behind("emtrace-a_", slurm)
