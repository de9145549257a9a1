"""What failed in a run, in the words of the stages: said once more at its end, whatever `--quiet` has left out."""

from collections.abc import Iterable, Iterator
from pathlib import Path

SHOWN = 5  # jobs; what fails at the same time mostly fails for the same reason
TAIL = 20_000  # bytes of a log that are looked at
LINES = 8


def failures(jobs: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """A text a failed job, given by its rule and its log (some have none)."""
    jobs = list(jobs)
    for rule, log in jobs[:SHOWN]:
        said = reason(Path(log)) if log else ""
        yield f"{rule} failed: {said or 'it says nothing of why'}" + (f"\n    whole log: {log}" if log else "")
    if len(jobs) > SHOWN:
        yield f"{len(jobs) - SHOWN} other jobs failed"


def reason(log: Path) -> str:
    """The end of a log from its last `error:` on, or its last line; empty where there is none."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(0, handle.seek(0, 2) - TAIL))
            lines = handle.read().decode(errors="replace").rstrip().splitlines()
    except OSError:
        return ""
    at = next((at for at in reversed(range(len(lines))) if lines[at].startswith("error:")), len(lines) - 1)
    return "\n".join(lines[max(at, 0) :][:LINES]).removeprefix("error:").strip()
