"""Whether what a study wrote is what docs/tables.md says of it."""

import csv
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.em import load_study
from workflow_scripts.em.files import read_jsonl
from workflow_scripts.em.reference import Column, columns, meaning, tables

ROWS = 300  # of a file that are looked at


def undocumented(results: Path) -> list[str]:
    """Tables and columns of a study that the reference lacks or has in vain, and cells that are not what it says."""
    known, study = set(), load_study(results)
    found: dict[str, None] = {}
    for name in tables():
        for path in study.files(name):
            known.add(path)
            found |= dict.fromkeys(f"{path.relative_to(results)}: {problem}" for problem in _problems(name, path))
    files = {path for kind in ("csv", "jsonl") for path in results.rglob(f"*.{kind}")}
    return [*found, *(f"{path.relative_to(results)}: no such table" for path in sorted(files - known))]


def _problems(name: str, path: Path) -> Iterable[str]:
    expected = columns(name)
    rows = list(read_jsonl(path)) if path.suffix == ".jsonl" else []
    if path.suffix == ".csv" and path.stat().st_size:  # of a figure with nothing to draw it is empty
        with open(path, encoding="utf-8", newline="") as handle:
            rows = list(reader := csv.DictReader(handle))
        own = {*reader.fieldnames} - {*expected} if tables()[name].further else set()
        if [column for column in reader.fieldnames if column not in own] != [*expected]:
            yield f"its columns are {reader.fieldnames}"
    said = [(column, meaning(name, column)) for column in expected]
    for row in rows[:: len(rows) // ROWS + 1]:
        if path.suffix == ".jsonl" and row.keys() - {*expected}:
            yield f"its keys are {', '.join(row)}"
        for column, what in said:
            if not _fits(row.get(column), what):
                yield f"{column} {row.get(column)!r} is not {what.kind} {what.unit}"


def _fits(value: object, what: Column) -> bool:
    if value in ("", None):
        return bool(what.empty)
    try:
        return {
            "word": lambda: "; " not in what.unit or value in what.unit.split("; "),
            "whole": lambda: str(int(value)) == str(value),
            "number": lambda: float(value) == float(value),
            "share": lambda: 0 <= float(value) <= 1,
            "score": lambda: 0 <= float(value) <= 100,
            "flag": lambda: str(value) in ("0", "1", "False", "True"),
            "text": lambda: isinstance(value, str | int),
            "data": lambda: isinstance(value, dict),
        }[what.kind]()
    except (TypeError, ValueError):
        return False
