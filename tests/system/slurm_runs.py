"""Runs of Snakemake on the tests' SLURM cluster, and what can be seen and done to their jobs from outside."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import yaml

from tests.system.slurm_cluster import said
from tests.workflow.conftest import ROOT, clean

STUDY = "tests/system/slurm.yaml"
TABLES = ("scores", "rates", "metrics", "examples", "threshold_surface")


def write_profile(folder: Path) -> None:
    """profiles/own: profiles/slurm for a cluster of ours alone, and with a minute for the first try of a training."""
    profile = yaml.safe_load((folder / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    profile["set-resources"]["train"] = profile["set-resources"]["train"] | {"runtime": "attempt"}
    # A job takes many seconds, most of them to start Snakemake twice.
    profile["groups"] = dict.fromkeys(TABLES, "tables")
    profile |= {"slurm-status-command": "squeue", "slurm-init-seconds-before-status-checks": 1, "latency-wait": 10}
    profile |= {"seconds-between-status-checks": 1, "max-status-checks-per-second": 2}
    (folder / "profiles/own").mkdir()
    (folder / "profiles/own/config.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")


@contextmanager
def cluster() -> Iterator[Path]:
    """A running cluster's folder; this process has its configuration in the environment for the block."""
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "tests.system.slurm_cluster", folder]
        server = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        before = dict(os.environ)
        os.environ |= {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{os.environ['PATH']}"}
        try:
            word = server.stdout.readline().strip()
            logs = "".join(path.read_text(errors="replace")[-2000:] for path in Path(folder).glob("*.log"))
            assert word == "ready", f"{word}\n{logs}"
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ |= before
            server.stdin.close()
            server.wait(60)


def records(cluster: Path) -> list[dict[str, str]]:
    """What SLURM wrote down of the jobs that are over, one after the other: JobId, Name, JobState, TimeLimit, ..."""
    return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in (cluster / "jobs.txt").read_text().splitlines()]


def gpus_given() -> dict[str, str]:
    """Job id -> the GPUs that it asked for, as SLURM writes them, empty where it asked for none."""
    lines = said("scontrol", "-o", "show", "job").splitlines()
    found = {re.search(r"JobId=(\d+)", line)[1]: re.search(r"TresPerJob=(\S+)", line) for line in lines}
    return {job: asked[1] if asked else "" for job, asked in found.items()}


def queue() -> dict[str, tuple[str, str, str]]:
    """Job id -> (state, node, name) of the jobs that are not over."""
    rows = (line.split("|") for line in said("squeue", "-h", "-o", "%A|%T|%N|%j").splitlines())
    return {job: (state, node, name) for job, state, node, name in rows}


class Head:
    """A Snakemake that sends the study's jobs to the cluster; it dies with the test."""

    def __init__(self, folder: Path, log: Path):
        self.folder, self.log = folder, log
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "snakemake"]
        command += ["--workflow-profile", "profiles/own", "--configfile", STUDY]
        with open(log, "w") as handle:
            self.process = subprocess.Popen(command, cwd=folder, stdout=handle, stderr=handle, env=clean())

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, what: str, done: Callable[[], object], seconds: float = 180):
        """What `done` returns as soon as it is true; fails when time or the head is over before."""
        end = time.monotonic() + seconds
        while not (found := done()):
            assert time.monotonic() < end and self.process.poll() is None, f"{what} did not come\n{self.text()[-8000:]}"
            time.sleep(0.2)
        return found

    def stage(self, out: str) -> psutil.Process | None:
        """The stage that makes `out` (below results/slurm), where it runs in a job."""
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = process.info["cmdline"] or []
            if f"results/slurm/{out}" in words and process.info["cwd"] == str(self.folder) and words[1:2] == ["-m"]:
                return process
        return None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def job_of(process: psutil.Process) -> str:
    """The SLURM job that a process belongs to; empty where it has just ended."""
    with suppress(psutil.Error):
        return process.environ().get("SLURM_JOB_ID", "")
    return ""


def kill_all(job: str) -> None:
    """Kill what runs for a SLURM job, parents first, so that nothing of it sees another part end."""
    mine = [process for process in psutil.process_iter(["create_time"]) if job_of(process) == job]
    for process in sorted(mine, key=lambda process: process.info["create_time"]):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def steps_of(job: str) -> list[psutil.Process]:
    """SLURM's own processes for a job on the nodes."""
    title = f"slurmstepd: [{job}."
    return [process for process in psutil.process_iter(["cmdline"]) if title in " ".join(process.info["cmdline"] or [])]
