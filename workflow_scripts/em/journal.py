"""Append-only journals: each finished item is kept at once, so a killed job continues where it was.

A journal is a folder of JSON lines files, one a writer (no locks, so many processes and network file systems are
fine), merged on read. An item is a JSON object with a `key`, the digest of everything that determines it.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import dumps

_PREFIX = b'{"key":"'
_SYNC_S = 1.0
# Clients of a network file system ask its server so seldom what a folder holds (NFS: acdirmax, 60 s by default).
LATE_S, LOOK_S = 90.0, 2.0


def late_s(sign: str | Path | None) -> float:
    """For how many seconds still what was written before a file, maybe on another machine, may not be seen on this."""
    return 0.0 if sign is None else min(LATE_S, max(0.0, LATE_S - (time.time() - Path(sign).stat().st_mtime)))


class Journal:
    """A journal folder. Memory holds places of items, never their contents."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._places: dict[str, tuple[Path, int]] = {}
        self._own: Path | None = None
        self._handle: Any = None
        self._synced = 0.0

    def __contains__(self, key: str) -> bool:
        """Whether `find` or `append` has seen a key."""
        return key in self._places

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, keys: Iterable[str], wait_s: float = 0.0, spared: float = 0.0) -> set[str]:
        """The keys that are in the journal already. Only these can be read back with `get`.

        Where they are known to have been written it is waited for so many seconds, until no more than the share
        `spared` of them is missing.
        """
        wanted, end, told = set(keys), time.monotonic() + wait_s, False
        while True:
            for path, place, key, _ in self._lines():
                # Of a key that two writers wrote the first counts, here as in `items`.
                if key in wanted and key not in self._places:
                    self._places[key] = (path, place)
            found = wanted & self._places.keys()
            if len(wanted) - len(found) <= spared * len(wanted) or time.monotonic() >= end:
                return found
            if not told:
                print(f"{self.folder}: waiting for what another machine wrote", file=sys.stderr, flush=True)
                told = True
            time.sleep(LOOK_S)

    def items(self) -> Iterator[dict[str, Any]]:
        """Every item, whichever writer wrote it; a key that two writers wrote comes once."""
        seen = set()
        for _, _, key, line in self._lines():
            if key not in seen:
                seen.add(key)
                yield json.loads(line)

    def _lines(self) -> Iterator[tuple[Path, int, str, bytes]]:
        for path in sorted(self.folder.glob("*.jsonl")):
            with open(path, "rb") as handle:
                place = 0
                for line in handle:
                    # A line torn by a crash lacks its end: it is the last one, and is ignored. So is one with a hole: a
                    # machine that loses power may leave zeros where a file had grown.
                    if line.startswith(_PREFIX) and line.endswith(b"}\n") and b"\0" not in line:
                        yield path, place, line[len(_PREFIX) :].partition(b'"')[0].decode(errors="replace"), line
                    place += len(line)

    def append(self, items: list[dict[str, Any]]) -> None:
        """Write items (each with a `key`), so that they outlive this process; within a second, this machine too.

        Handing them to the operating system is enough for a killed process. Forcing each to disk would make a fast
        judge wait for it.
        """
        self.open()
        try:
            for item in items:
                place = self._handle.tell()
                rest = dumps({name: value for name, value in item.items() if name != "key"})
                self._handle.write(_PREFIX + item["key"].encode() + b'",' + rest[1:].encode() + b"\n")
                self._places[item["key"]] = (self._own, place)
            self._handle.flush()
            if time.monotonic() - self._synced > _SYNC_S:
                os.fsync(self._handle.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise UserError(f"{self._own}: the journal cannot be written ({error.strerror}); make room") from None

    def drop(self, keys: set[str]) -> None:
        """Make the lines with these keys no items, whoever wrote them. For when nobody else reads here."""
        for path, place, key, _ in list(self._lines()):
            if key in keys:
                self._places.pop(key, None)
                with open(path, "r+b") as handle:
                    handle.seek(place)
                    handle.write(b"-")  # in the place of the brace, so that all else stays where it is
                    handle.flush()
                    os.fsync(handle.fileno())

    def open(self) -> None:
        """Make this writer's file. Raises UserError when that is impossible, so call it before anything is bought."""
        if self._handle is not None:
            return
        # The time comes first, so that files are read in the order in which they were begun.
        self._own = self.folder / f"{time.time_ns():x}-{socket.gethostname()}-{os.getpid()}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._handle = open(self._own, "ab")  # noqa: SIM115  (closed by `close`)
        except OSError as error:
            raise UserError(f"{self.folder}: no journal can be written here ({error.strerror})") from None

    def close(self) -> None:
        """Force what was appended to disk. Appending again opens a new file."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            # What could not be written was said by `append`.
            with suppress(OSError):
                os.fsync(handle.fileno())
                handle.close()

    def get(self, key: str) -> dict[str, Any]:
        """Read one item back. Raises KeyError when `find` or `append` has not seen it."""
        path, place = self._places[key]
        with open(path, "rb") as handle:
            handle.seek(place)
            return json.loads(handle.readline())
