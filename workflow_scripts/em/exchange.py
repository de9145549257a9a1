"""Journals as one file: what was exported comes in whole, once."""

import gzip
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file, dumps
from workflow_scripts.em.journal import Journal

# Of journals and keys: neither a path nor anything that JSON would have to quote.
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def export(root: Path, out: Path, only: list[str], keys: Collection[str] | None = None) -> int:
    """Write all items of the journals under `root` (of those in `only`, if any) to a .jsonl.gz; returns how many.

    With `keys`, only the items with one of these.
    """
    folders = [root / name for name in only] or sorted(path for path in root.iterdir() if path.is_dir())
    absent = [str(folder) for folder in folders if not folder.is_dir()]
    if absent or not folders:
        raise UserError(f"{absent[0] if absent else root}: no journal here")
    written = 0
    with atomic_file(out, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as handle:
        for folder in folders:
            for item in Journal(folder).items():
                if keys is None or item["key"] in keys:
                    handle.write((dumps({"journal": folder.name, **item}) + "\n").encode())
                    written += 1
    return written


def take_in(root: Path, source: Path) -> tuple[int, int]:
    """Add the items of an exported file that the journals lack; returns (added, known before)."""
    added = known = 0
    journals: dict[str, Journal] = {}
    for name, item in _items(source):
        if name not in journals:
            journals[name] = Journal(root / name)
            journals[name].find(key for other, key in _keys(source) if other == name)
        if item["key"] in journals[name]:
            known += 1
        else:
            journals[name].append([item])
            added += 1
    for journal in journals.values():
        journal.close()
    return added, known


def _keys(source: Path) -> Iterator[tuple[str, str]]:
    return ((name, item["key"]) for name, item in _items(source))


def _items(source: Path) -> Iterator[tuple[str, dict]]:
    number = 0
    try:
        with gzip.open(source, "rt", encoding="utf-8") as handle:
            for number, line in enumerate(handle, start=1):  # noqa: B007  (named in the message)
                item = json.loads(line, parse_constant=_no_number)
                if not (_NAME.fullmatch(name := item.pop("journal")) and _NAME.fullmatch(item["key"])):
                    raise ValueError("no journal item")
                yield name, item
    except FileNotFoundError:
        raise UserError(f"{source}: no such file") from None
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{source}:{number}: not a whole export of journals ({error}); fetch it again") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
