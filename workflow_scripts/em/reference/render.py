"""The reference of tables as a page: docs/tables.md."""

from collections.abc import Iterator

from workflow_scripts.em.reference import columns, meaning, tables

TYPES = {"whole": "whole number", "share": "0 to 1", "score": "0 to 100", "flag": "1 or 0", "data": "JSON"}
HEAD = """# Every column of every table

Written by `make config` from `workflow_scripts/em/reference/`: edit that. Paths are below `results/<study>/`.

- CSV tables are UTF-8 with a header; numbers have six significant digits. A missing value is an empty cell; the last
  column here says when there is one (if it does not: never). JSON lines leave such a key out, or hold `null`.
- Scores are from 0 to 100, rates and shares from 0 to 1. Intervals are 95% intervals; their name or the column
  `estimand` says what they speak of. [methods.md](methods.md) has the formulas.
- In Python, `em.load_study` reads all of these as typed pandas frames: [notebooks](notebooks.md).
- `snakemake --cores 2 results/<study>/<file>` makes a file that is not there yet. `logs/`, `results/.journal/` and
  `*.provenance.json` are no tables.
"""


def render() -> str:
    """The page: a list of the tables, then each with its columns."""
    rows = [f"| [`{name}`](#{_anchor(name)}) | `{table.path}` | {table.row} |" for name, table in tables().items()]
    listed = "\n".join(["| table | file | a row is |", "|---|---|---|", *rows])
    return "\n".join([HEAD, listed, *("\n".join(_section(name)) for name in tables())]) + "\n"


def _anchor(name: str) -> str:
    return name.replace("/", "")


def _section(name: str) -> Iterator[str]:
    table = tables()[name]
    yield f"\n## {name}\n"
    yield f"`{table.path}`, a row: {table.row}.{f' Made with {table.needs}.' if table.needs else ''}\n"
    if table.columns in tables():
        yield f"Columns as in [`{table.columns}`](#{_anchor(table.columns)})."
        return
    yield "| column | type | unit or values | meaning | empty when |"
    yield "|---|---|---|---|---|"
    for column in columns(name):
        found = meaning(name, column)
        yield f"| `{column}` | {TYPES.get(found.kind, found.kind)} | {found.unit} | {found.meaning} | {found.empty} |"
    if table.further:
        yield f"\nBesides: {table.further}."
