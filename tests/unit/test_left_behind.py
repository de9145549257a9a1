"""Stages that a killed Snakemake leaves are ended by the next; those of a living one, and other folders', are not."""

import os
import subprocess
import sys

from workflow_scripts.em.left_behind import end_left_stages
from workflow_scripts.em.running import WORKFLOW, alive


def stage(folder, workflow: int | None) -> subprocess.Popen:
    environment = os.environ | ({} if workflow is None else {WORKFLOW: str(workflow)})
    command = [sys.executable, "-c", "print(flush=True); import time; time.sleep(300)"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    process.stdout.readline()  # its environment is its own from then on
    return process


def test_stages_of_the_dead_are_ended_and_no_others(tmp_path):
    (tmp_path / "other").mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = stage(tmp_path, dead.pid)
    others = [stage(tmp_path, os.getpid()), stage(tmp_path / "other", dead.pid), stage(tmp_path, None)]
    try:
        assert end_left_stages(tmp_path) == [left.pid]
        assert not alive(left.pid) and all(process.poll() is None for process in others)
        assert end_left_stages(tmp_path) == []
    finally:
        for process in (left, *others):
            process.kill()
            process.wait()
