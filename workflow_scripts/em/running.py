"""Who runs in a folder: a killed Snakemake's lock is known from a living one's, and its stages do not outlive it.

Snakemake's lock stays when it is killed, and does not say whose it was. So every Snakemake holds a file of its own
locked while it lives; the kernel lets go of that however the process ends.
"""

import atexit
import fcntl
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from workflow_scripts.em.errors import UserError

WORKFLOW = "EMTRACE_WORKFLOW"  # the environment variable that tells a stage Snakemake's process id
_HELD: list[IO] = []  # a lock goes with its open file


def sign_in(folder: Path) -> list[str]:
    """Sign this process in, and return who else may be running: `<host>-<process id>` each.

    The dead of this machine are signed out. Of another machine's nothing is known: many network file systems show such
    a lock on its own machine only.
    """
    place, host = folder / "running", socket.gethostname()
    place.mkdir(parents=True, exist_ok=True)
    own = place / f"{host}-{os.getpid()}"
    new = own.with_name(f".{own.name}")
    _HELD.append(open(new, "w"))  # noqa: SIM115  (held while we live)
    with suppress(OSError):  # a file system without locks: then all are taken to be alive
        fcntl.flock(_HELD[-1], fcntl.LOCK_EX)
    # Only now, or it could be seen without its lock.
    os.replace(new, own)
    atexit.register(own.unlink, missing_ok=True)
    others = []
    for path in sorted(place.glob("[!.]*")):
        if path.name.rpartition("-")[0] == host and _let_go(path):
            path.unlink(missing_ok=True)
        elif path != own:
            others.append(path.name)
    return others


def _let_go(path: Path) -> bool:
    """Whether nobody holds a file locked."""
    try:
        with open(path, "r+") as handle:  # network file systems want it so
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def drop_dead_lock(folder: Path) -> bool:
    """Remove the lock of Snakemakes that were killed; returns whether there was one. Only when nobody else runs."""
    locks = folder / "locks"
    dead = any(locks.glob("*.lock"))
    shutil.rmtree(locks, ignore_errors=True)
    return dead


def forget_others(folder: Path, others: list[str]) -> None:
    """Sign out who is of another machine: the user says that none runs there."""
    for name in others:
        if name.rpartition("-")[0] != socket.gethostname():
            (folder / "running" / name).unlink(missing_ok=True)


def hold_study(folder: Path, study: str) -> None:
    """Hold a study for this process. Raises UserError when another Snakemake runs it.

    Snakemake's own lock is not enough: it is removed when any Snakemake ends in the folder, one of another study too.
    """
    path = folder / "studies" / study
    path.parent.mkdir(parents=True, exist_ok=True)
    _HELD.append(open(path, "a+"))  # noqa: SIM115  (held while we live)
    try:
        fcntl.flock(_HELD[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = path.read_text(encoding="utf-8") or "one that has just begun"
        raise UserError(f"study {study}: another Snakemake ({who}) runs it; wait for its end, or stop it") from None
    except OSError:  # a file system without locks: Snakemake's own has to do
        return
    _HELD[-1].truncate(0)
    print(f"process {os.getpid()} on {socket.gethostname()}", end="", file=_HELD[-1], flush=True)


@contextmanager
def alone_on(folder: Path, study: str, others: list[str]) -> Iterator[bool]:
    """Whether no Snakemake is at work on a study; none of this machine begins to within the block.

    `others`: who else may be running in the folder, as `sign_in` tells. Those of another machine may be at work on it.
    """
    path = folder / "studies" / study
    path.parent.mkdir(parents=True, exist_ok=True)
    free = all(name.rpartition("-")[0] == socket.gethostname() for name in others)
    with open(path, "a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        except OSError:  # a file system without locks: all who have signed in count
            free = not others
        yield free


def end_with_workflow() -> None:
    """Have this stage end when the Snakemake that started it has ended: a killed one leaves its stages running.

    Such a stage would go on beside the one that the next Snakemake starts, and hold a GPU. What was done is kept:
    journals and training checkpoints are written as work goes.
    """
    workflow = int(os.environ.get(WORKFLOW) or 0)  # 0: of no process here, as for a stage in a container
    if workflow:
        threading.Thread(target=_end_with, args=[workflow], daemon=True).start()


def _end_with(process: int) -> None:
    while alive(process):
        time.sleep(0.5)
    os._exit(1)


def alive(process: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # One that nobody has waited for is still listed, as in a container whose first process does not.
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return True
