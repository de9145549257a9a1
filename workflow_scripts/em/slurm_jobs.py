"""Jobs of SLURM that a killed Snakemake left behind: the next one ends them, or each would be done twice at once."""

import re
import subprocess
import sys
import time
from pathlib import Path

from workflow_scripts.em.errors import UserError

# All that is not over; a job that SLURM starts again waits as PENDING.
UNFINISHED = "PENDING,CONFIGURING,RUNNING,SUSPENDED,STOPPED,COMPLETING"
WAIT_S = 300  # SLURM itself gives a cancelled job 30, and its epilog may take long


def left_behind(lines: str, prefix: str, folder: Path) -> list[str]:
    """Ids of jobs of earlier runs in a folder, from lines `id|name|folder`; a name is the prefix and the run's UUID."""
    name = re.compile(re.escape(prefix) + r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    rows = (line.split("|", 2) for line in lines.splitlines())
    return [job for job, told, place in rows if name.fullmatch(told) and Path(place).resolve() == folder.resolve()]


def end_left_behind(prefix: str, folder: Path) -> None:
    """Cancel the jobs of earlier runs in this folder and wait until they are gone.

    To be called with the study's lock held and before a job is submitted. What those jobs had done is in journals,
    checkpoints and the folder of unfinished segments. Raises UserError where SLURM does not answer or jobs stay.
    """
    jobs = unfinished(prefix, folder)
    if not jobs:
        return
    print(f"SLURM jobs of an earlier run are cancelled: {' '.join(jobs)}", file=sys.stderr)
    _told("scancel", *jobs)
    end = time.monotonic() + WAIT_S
    while jobs := unfinished(prefix, folder):
        if time.monotonic() > end:
            raise UserError(f"SLURM jobs of an earlier run do not end: {' '.join(jobs)}; see `squeue --me`")
        time.sleep(2)


def unfinished(prefix: str, folder: Path) -> list[str]:
    """Ids of the jobs of runs in this folder that are not over. Raises UserError where SLURM does not answer."""
    return left_behind(_told("squeue", "--me", "-h", "-t", UNFINISHED, "-o", "%A|%j|%Z"), prefix, folder)


def _told(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{command[0]}: {done.stderr.strip()}; start again when SLURM answers")
    return done.stdout
