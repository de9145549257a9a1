"""The GPUs that are visible here, and taking some for one process. No torch: the workflow asks at every start."""

import fcntl
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from workflow_scripts.em.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
WAIT_S = 1.0
# What this process has taken: closed, and so given back, when it ends in whatever way.
_held: list[int] = []


def visible_gpus() -> list[str]:
    """Names of the NVIDIA GPUs that a process started here sees; CUDA_VISIBLE_DEVICES decides where it is set."""
    said = os.environ.get(VISIBLE)
    if said is None:
        return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]
    names = [name.strip() for name in said.split(",")]
    # CUDA sees nothing from the first name on that is none.
    end = next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:end]


def claim(number: int) -> None:
    """Take `number` of the visible GPUs for this process and what it starts; waits until so many are free.

    To be called before CUDA is started: it sets CUDA_VISIBLE_DEVICES. Without GPUs there is nothing to take, nor where
    just so many were assigned (by a cluster, or by hand). Raises UserError when fewer are visible.
    """
    seen = visible_gpus()
    if 0 < len(seen) < number:
        raise UserError(
            f"this job needs {number} GPUs and sees {len(seen)} ({VISIBLE} or the cluster decides); lower "
            "`training.processes` or `generation.engine.tensor_parallel`, or run it where there are more"
        )
    if not seen or (len(seen) == number and VISIBLE in os.environ):
        return
    folder, told = _folder(), False
    while not (taken := _taken(folder, seen, number)):
        if not told:
            print(f"waiting for {number} of {len(seen)} GPUs: other jobs hold them ({folder})", file=sys.stderr)
            told = True
        # Not in step with another that waits for as many.
        time.sleep(WAIT_S * random.uniform(0.5, 1.5))
    os.environ[VISIBLE] = ",".join(taken)


def held() -> list[int]:
    """Open files of the GPUs that are taken: a child that is given them holds the GPUs as long as it lives."""
    return list(_held)


def _folder() -> Path:
    """Where a user's processes on this machine, or in this allocation of it, say which GPUs they hold."""
    # Two allocations may each call the GPUs that they were given 0 and 1.
    allocation = os.environ.get("SLURM_JOB_ID", "") if VISIBLE in os.environ else ""
    folder = Path(tempfile.gettempdir()) / f"emtrace-gpus-{os.getuid()}{allocation and f'-{allocation}'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise UserError(f"{folder}: it is somebody else's; remove it, or set TMPDIR to a folder of this machine")
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); set TMPDIR to a folder of this machine"
        ) from None
    return folder


def _taken(folder: Path, names: list[str], number: int) -> list[str]:
    """Lock the first `number` free ones of the named GPUs and return their names; none when there are not so many.

    The kernel lets go of a lock when its process ends, killed or not.
    """
    found: dict[str, int] = {}
    for name in names:
        lock = os.open(folder / name.replace("/", "-"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        os.utime(lock)  # old files in temporary folders are removed
        found[name] = lock
        if len(found) == number:
            _held.extend(found.values())
            return list(found)
    for lock in found.values():
        os.close(lock)
    return []
