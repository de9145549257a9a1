"""A study's tables as pandas frames, each read when it is first asked for."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_jsonl
from workflow_scripts.em.kept_config import kept
from workflow_scripts.em.reference import Column, columns, meaning, tables

if TYPE_CHECKING:
    from pandas import DataFrame, Series

# What stands in a table's path for names in these sections of the config.
OF_CONFIG = {"<organism>": ("organisms", "tables"), "<judge>": ("judges",)}
FLAGS = {"1": True, "0": False, True: True, False: False}


def load_study(folder: str | Path) -> "Study":
    """A study's tables, by the folder of its results: `load_study("results/default").rates`.

    Reads nothing yet. Raises UserError when there is no such folder, or nothing of a study in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        studies = [path.name for path in beside if path.is_dir() and not path.name.startswith(".")]
        raise UserError(f"{folder}: no such study; in {folder.parent}/ {did_you_mean(folder.name, sorted(studies))}")
    study = Study(folder)
    if not (folder / "logs").is_dir() and not study.tables:
        raise UserError(f"{folder}: holds no table of a study; give the folder results/<study>")
    return study


class Study:
    """The tables of a study, which may still be running: study.rates, or by key, study["figures/onset"].

    A frame is read once; load the study again for what was written since. Whole numbers are int64 (float64 with NaN
    where a cell is empty), flags boolean, words categories in order of appearance; texts and ids stay text.
    What an earlier config made of other organisms and judges is left out. Of seeds, steps and conditions that the
    config no longer has, responses and judgments stay; `scores` has none.
    docs/tables.md says what each column means, and so does `columns`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._config = kept(folder) or {}
        self._frames: dict[str, DataFrame] = {}

    @property
    def tables(self) -> list[str]:
        """Names of the tables that there are now."""
        return [name for name in tables() if self.files(name)]

    def files(self, table: str) -> list[Path]:
        """The files of a table, steps by number."""
        if table not in tables():
            raise UserError(self._no_table(table))
        patterns = (one for path in tables()[table].path.split() for one in self._patterns(path))
        paths = {path for one in patterns for path in self.folder.glob(one)}
        return sorted(paths, key=_natural)

    def _patterns(self, path: str) -> list[str]:
        """A table's path as globs: what an earlier config made of other organisms or judges is not the study's."""
        found = [path]
        for mark, sections in OF_CONFIG.items():
            names = [name for section in sections for name in self._config.get(section) or ()]
            found = [one.replace(mark, str(name)) for one in found for name in names or ["*"]]
        return found

    def columns(self, table: str) -> "DataFrame":
        """What each column of a table means: its type, unit or values, meaning, and when it is empty."""
        import pandas as pd

        names = self[table].columns if self.files(table) else columns(table)
        return pd.DataFrame([_meaning(table, name) for name in names], index=names)

    def __getitem__(self, table: str) -> "DataFrame":
        if table not in self._frames:
            files = self.files(table)
            if not files:
                raise UserError(self._not_made(table))
            self._frames[table] = _read(table, files)
        return self._frames[table]

    def __getattr__(self, name: str) -> "DataFrame":
        if name not in tables():
            raise AttributeError(self._no_table(name))
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self.tables if name.isidentifier())]

    def __repr__(self) -> str:
        return f"study {self.folder} with the tables {', '.join(self.tables) or 'none yet'}"

    def _no_table(self, name: str) -> str:
        """What is said of an unknown name: the one that is nearest to it, else the tables that this study has."""
        near = get_close_matches(name, tables(), n=1)
        hint = did_you_mean(name, near) if near else f"there are: {', '.join(self.tables) or 'none yet'}"
        return f"no table {name!r}; {hint}"

    def _not_made(self, table: str) -> str:
        entry = tables()[table]
        target = "" if "*" in entry.path or "<" in entry.path else f" results/{self.folder.name}/{entry.path}"
        needs = f" It needs {entry.needs}." if entry.needs else ""
        return (
            f"{self.folder / entry.path}: not made yet.{needs} `snakemake --cores 2{target}` makes it (with the "
            f"study's --configfile after it). There are: {', '.join(self.tables) or 'no tables'}"
        )


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _meaning(table: str, column: str) -> Column:
    """A column's meaning; one that only this study has is a judge's metric or its status."""
    return meaning(table, column) or Column("any", "of this study's own", "", "")


def _read(table: str, files: list[Path]) -> "DataFrame":
    import pandas as pd

    if files[0].suffix == ".jsonl":
        rows = [row for path in files for row in read_jsonl(path)]
        frame = pd.DataFrame.from_records(rows, columns=columns(table)).astype(object)
    else:
        # Of figures with nothing to draw, the file is empty.
        parts = [_read_csv(path) for path in files if path.stat().st_size]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns(table), dtype=object)
    return frame.assign(**{name: _typed(_meaning(table, name).kind, frame[name]) for name in frame})


def _read_csv(path: Path) -> "DataFrame":
    """All cells as text: nothing but an empty cell is missing, so a condition may be called `NA` or `null`."""
    import pandas as pd

    return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])


def _typed(kind: str, cells: "Series") -> "Series":
    """A column's cells in the type of its kind; of one that only this study has, numbers if all are, else words."""
    import pandas as pd

    if kind == "any":
        kind = "number" if pd.to_numeric(cells, errors="coerce").count() == cells.count() else "word"
    if kind == "flag":
        return cells.map(FLAGS, na_action="ignore").astype("boolean")
    if kind in ("whole", "number", "share", "score"):
        return pd.to_numeric(cells).astype("int64" if kind == "whole" and cells.notna().all() else "float64")
    if kind == "text":
        return cells.astype("str")
    if kind == "word":
        return cells.astype(pd.CategoricalDtype(cells.dropna().unique()))
    return cells
