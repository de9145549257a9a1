"""A figure drawn anew by hand: it begins as one of the study's, and what it is told is checked against its tables."""

import json
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.plots.style import SELECTORS, parse
from workflow_scripts.em.provenance import record_path


class Drawn(NamedTuple):
    """How a figure was drawn: its kind, its tables and its style."""

    kind: str
    tables: list[Path]
    style: dict


def drawn(figure: Path, out: str) -> Drawn:
    """What the record beside a figure's PNG tells.

    Raises UserError where there is none, a table is gone, or `out` is the study's own figure.
    """
    if figure.with_suffix("").resolve() == Path(out).resolve():
        raise UserError(f"--out {out}: that is the study's own figure, which a run would not make again; name another")
    path = record_path(figure)
    record = read_json(path) if path.is_file() else None
    if not isinstance(record, dict) or record.get("stage") != "figures":
        raise UserError(f"{figure}: not a figure of a study; name the PNG of one, as results/<study>/figures/onset.png")
    tables = [Path(path) for path in record["inputs"]]
    for path in tables:
        if not path.is_file():
            raise UserError(f"{path}: the table of {figure} is not there; run from the folder that holds results/")
    return Drawn(record["params"]["kind"], tables, record["params"]["style"])


def told(text: str) -> dict:
    """The style of the command line. Raises UserError for what is no JSON, and as `parse` does."""
    try:
        style = json.loads(text)
    except ValueError as error:
        raise UserError(f"--style is not JSON: keys and words need double quotes ({error})") from error
    parse(style)
    return style


def merged(study: dict, by_hand: dict) -> dict:
    """A figure's style with what is changed by hand; a palette that comes with organisms is in their order."""
    listed = by_hand.get("organism")
    order = {"order": listed} if "palette" in by_hand and isinstance(listed, list) else {}
    return study | order | by_hand


def ordered(style: dict, rows: list[dict]) -> dict:
    """The style with an order of organisms: its own, else that of the tables, which is the config's."""
    there = list(dict.fromkeys(row["organism"] for row in rows if row.get("organism")))
    return style if style.get("order") else style | {"order": there or None}


def require_names(rows: list[dict], style: dict) -> None:
    """Raises UserError for a definition, organism, condition, ... of a style that no row has."""
    for key in ("definition", *SELECTORS):
        there = dict.fromkeys(row[key] for row in rows if row.get(key))
        given = style.get(key) or []
        for name in [given] if isinstance(given, str) else given:
            if there and name not in there:
                raise UserError(f"figure style: no row has {key} {name!r}; {did_you_mean(name, there)}")
