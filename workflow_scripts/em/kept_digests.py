"""What a module finds in files of code, kept for the next start of Snakemake: parsing them all takes a second."""

import atexit
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.em.files import atomic_file

# Snakemake's own folder, in the working directory; where there is none, nothing is kept.
FOLDER = ".snakemake"
MOST = 2000  # files' contents; with more, only what was asked for is kept


class Kept:
    """Values by key, for as long as the module `maker` (its .py file), which makes them, stays as it is.

    They are written when Python ends. A folder that cannot be written, or a broken file, costs time only.
    """

    def __init__(self, maker: str):
        self._file = Path(FOLDER).absolute() / f"emtrace_{Path(maker).stem}.json"
        self._by = hashlib.sha256(Path(maker).read_bytes()).hexdigest()
        self._asked: set[str] = set()
        self._new = False
        self._values: dict[str, Any] = self._read()
        atexit.register(self.write)

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return found["values"] if found["by"] == self._by else {}
        except (OSError, ValueError, LookupError, TypeError):
            return {}

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The value of a key (what JSON can hold), made where there is none."""
        self._asked.add(key)
        if key not in self._values:
            self._values[key], self._new = make(), True
        return self._values[key]

    def write(self) -> None:
        """Keep what was found."""
        if not self._new or not self._file.parent.is_dir():
            return
        kept = self._values if len(self._values) <= MOST else {key: self._values[key] for key in self._asked}
        try:
            # A name of its own: many jobs may start at once.
            with atomic_file(self._file) as handle:
                json.dump({"by": self._by, "values": kept}, handle)
        except OSError:
            return
