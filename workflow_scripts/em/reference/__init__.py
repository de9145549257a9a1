"""The reference of a study's tables: where they lie, what a row is, what a column means. Data lie beside this file."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.em.yaml_text import parse_yaml

KINDS = ("word", "text", "whole", "number", "share", "score", "flag", "data")
HERE = Path(__file__).parent


class Column(NamedTuple):
    """A column: type (one of KINDS), meaning, unit or values (these with `; ` between), and when its cell is empty."""

    kind: str
    meaning: str
    unit: str
    empty: str


class Table(NamedTuple):
    """A kind of table, as columns.yaml and tables.yaml say it. `about`: column -> keys that differ here."""

    path: str
    row: str
    columns: str
    about: dict[str, dict[str, str]]
    needs: str
    further: str


def _load(*names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        path = HERE / f"{name}.yaml"
        read = parse_yaml(path.read_text(encoding="utf-8"), path)
        found |= read.get("tables", read)
    return found


@cache
def tables() -> dict[str, Table]:
    """Every kind of table: name -> Table."""
    blank = {"about": {}, "needs": "", "further": ""}
    return {name: Table(**blank | entry) for name, entry in _load("tables", "figures").items()}


@cache
def _meanings() -> dict[str, dict[str, str]]:
    return _load("comparisons", "columns")


def meaning(table: str, column: str) -> Column | None:
    """What a column of a table means; None for one that only this study has, such as a judge's own metric."""
    entry = tables()[table]
    about = entry.about.get(column, {})
    if not about and entry.columns in tables():
        return meaning(entry.columns, column)
    if not any(kind in about for kind in KINDS):
        about = _meanings().get(column, {}) | about
    kind = next((kind for kind in KINDS if kind in about), None)
    return Column(kind, about[kind], about.get("unit", ""), about.get("empty", "")) if kind else None


def columns(table: str) -> tuple[str, ...]:
    """The columns of a table in their order, without those that depend on the study."""
    declared = tables()[table].columns
    if declared in tables():
        return columns(declared)
    if ":" in declared:
        module, _, name = declared.partition(":")
        return tuple(getattr(importlib.import_module(module), name))
    return tuple(declared.split())
