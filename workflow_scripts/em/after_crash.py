"""Before a run: outputs that a power cut may have broken are set aside, and times that lie ahead are settled."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json, replace_dir
from workflow_scripts.em.provenance import RECORD, content, record_path

RECENT_S = 900.0  # disks and network file systems keep nothing back longer than that
SKEW_S = 60.0  # what clocks of machines that share files may differ


def set_broken_aside(folders: Iterable[Path]) -> list[Path]:
    """Hide what was written in the last minutes and is not what its provenance record says; returns what it was.

    Outputs are forced to disk before they take their names, but not every disk and network file system does as it is
    told: an empty or torn file under a name that counts as done would never be made again. Nothing is deleted but what
    an earlier crash had broken: what is found may be a file that somebody has edited.
    """
    found = (path for folder in folders for path in folder.rglob(f"*{RECORD}"))
    records = {}
    for path in found:
        # Training checks for itself what it goes on from. Jobs of a cluster that were left behind may still write.
        if ".inflight" not in path.parts and path.parent.suffix != ".broken":
            with suppress(FileNotFoundError):
                records[path] = path.stat().st_mtime
    newest = max(records.values(), default=0)
    recent = sorted(path for path, time in records.items() if newest - time < RECENT_S)
    broken = [output for output in map(_output, recent) if output.exists() and not _whole(output)]
    for output in broken:
        aside = output.with_name(f".{output.name}.broken")
        if output.is_dir():
            replace_dir(output, aside)
        else:
            output.replace(aside)
    return broken


def _output(record: Path) -> Path:
    return record.parent if record.name == RECORD else record.with_name(record.name.removesuffix(f".{RECORD}"))


def _whole(output: Path) -> bool:
    try:
        return read_json(record_path(output))["output_digest"] == content(output)
    except (UserError, LookupError, TypeError, OSError):
        return False


def settle_times(logs: Path, folders: Iterable[Path]) -> bool:
    """Bring times of change that lie ahead into the second before now, in their order; returns whether there were any.

    They lie ahead when the clock was set back. Snakemake fails each job whose input is of later than now. `logs` is
    the folder of its logs, whose times tell of the last run: only if they lie ahead all else is looked at.
    """
    now = time.time_ns()
    newest = max((path.stat().st_mtime_ns for path in logs.glob("*")), default=0)
    if newest < now + SKEW_S * 1e9:
        return False
    paths = [path for folder in (logs, *folders) for path in (folder, *folder.rglob("*"))]
    ahead = {path: at for path in paths if path.exists() and (at := path.stat().st_mtime_ns) > now}
    newest = max(ahead.values())
    for path, at in ahead.items():
        settled = now - (newest - at) * 10**9 // (newest - now)
        os.utime(path, ns=(settled, settled))
    return True
