"""Provenance records of all studies, the newest of each kind: a large study has tens of thousands."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.em.provenance import RECORD

EACH = 200  # of a study and kind of output


def newest(folder: Path) -> Iterator[dict[str, Any]]:
    """Of every study in `folder`, and of every kind of output, the newest records."""
    found: dict[tuple, list[tuple[float, str]]] = {}
    for place, folders, files in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in (".journal", ".before")]
        kind = Path(place).relative_to(folder).parts[:2]
        for name in files:
            if name.endswith(RECORD):
                path = os.path.join(place, name)
                with suppress(OSError):  # gone again: a study may be running
                    found.setdefault(kind, []).append((os.stat(path).st_mtime, path))
    for each in found.values():
        for _, path in sorted(each, reverse=True)[:EACH]:
            record = read(Path(path))
            if record and {"stage", "params", "inputs", "seconds"} <= record.keys():
                yield record


def read(path: Path) -> dict[str, Any] | None:
    """A file's JSON object; None where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # being written, or a crash's: one of many
    return found if isinstance(found, dict) else None
