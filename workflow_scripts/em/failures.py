"""What failed in a run, in the words of the stages: said once more at its end, whatever `--quiet` has left out."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SHOWN = 5  # jobs; what fails at the same time mostly fails for the same reason
TAIL = 20_000  # bytes of a log that are looked at
LINES = 8
ERROR, INTERRUPTED = "error:", "interrupted"  # what stages say, last of all


class Reason(NamedTuple):
    """Why a job failed: its own words, or else the last thing it said."""

    text: str = ""
    is_error: bool = False


def failures(jobs: Iterable[tuple[str, str | None]], since: float) -> Iterator[str]:
    """A text a failed job, given by its rule and its log (some have none), of a run that began at `since`.

    Of a group of jobs Snakemake names all, also those that ended well or never began: one whose log has an error comes
    first, and is all that is told where there is one. A job that was interrupted has not failed.
    """
    found = [(rule, log, reason(Path(log), since) if log else Reason()) for rule, log in jobs]
    found = [(rule, log, why) for rule, log, why in found if why.text != INTERRUPTED]
    found = [told for told in found if told[2].is_error] or found
    for rule, log, why in found[:SHOWN]:
        yield f"{rule} failed: {why.text or 'it says nothing of why'}" + (f"\n    whole log: {log}" if log else "")
    if len(found) > SHOWN:
        yield f"{len(found) - SHOWN} more failed"


def reason(log: Path, since: float) -> Reason:
    """The end of a log from its last `error:` on, or its last line; empty where this run wrote none."""
    try:
        with open(log, "rb") as handle:
            if os.fstat(handle.fileno()).st_mtime < since:
                return Reason()
            handle.seek(max(0, handle.seek(0, 2) - TAIL))
            lines = handle.read().decode(errors="replace").rstrip().splitlines()
    except OSError:
        return Reason()
    at = next((at for at in reversed(range(len(lines))) if lines[at].startswith(ERROR)), None)
    if at is None:
        return Reason("\n".join(lines[-1:]).strip())
    return Reason("\n".join(lines[at:][:LINES]).removeprefix(ERROR).strip(), is_error=True)
