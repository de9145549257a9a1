"""What the report's template is filled with: tables, figures, cards, costs, methods. All text is escaped there."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.em.files import read_json
from workflow_scripts.em.page.about import byline, counts
from workflow_scripts.em.page.columns import Responses, block
from workflow_scripts.em.page.costs import asked, jobs, records_of, versions
from workflow_scripts.em.page.glossary import TERMS
from workflow_scripts.em.page.headline import headline, percent
from workflow_scripts.em.page.interval_constants import interval_constants
from workflow_scripts.em.page.methods import definition, has_alignment, methods
from workflow_scripts.em.page.runs import FEW, few, shared_starts, with_questions
from workflow_scripts.em.page.sources import cited, entries
from workflow_scripts.em.page.warning import WARNING
from workflow_scripts.em.provenance import RECORD
from workflow_scripts.em.reference import tables as known_tables
from workflow_scripts.em.stats.findings import RUN
from workflow_scripts.em.stats.tables import read_table
from workflow_scripts.em.training_details import read_run

# What the browser needs of rates.csv.
RATES = (
    "organism", "seed", "stage", "step", "condition", "question_set", "judge", "scope", "definition",
    "n_questions_counted", "n_denominator", "n_events", "em_rate", "these_questions_low", "these_questions_high",
    "such_questions_low", "such_questions_high", "n_coherent", "n_coherence_scored", "coherent_share_of_scored",
    "coherent_these_questions_low", "coherent_these_questions_high", "mean_alignment", "mean_coherence",
)  # fmt: skip
LARGEST = 2_000_000  # bytes of an SVG: a larger one is shown as PNG


def content(told: dict[str, Any], found: Responses, results: Path, given: dict[str, list[Path]]) -> dict[str, Any]:
    """The template's values. `results`: the study's folder; `given`: paths by name (see the stage's options)."""
    tables = {path.name: list(read_table(path)) for path in given["tables"]}
    records = records_of([*_segments(told, results), *_asking(results), *given["responses"], *given["judgments"]])
    models = {path.stem: read_json(path) for path in given["models"]}
    cards = {path.stem: read_json(path) for path in given["cards"]}
    runs, tools = _runs(told, results), versions(records)
    scorers = sum("alignment" in metrics for metrics in found.judges.values())
    findings = with_questions(tables.get("findings.csv", []), tables.get("rates.csv", []))
    keys = cited(told, [run["recipe"] for run in runs if run["recipe"]], scorers)
    return {
        **{name: told[name] for name in ("study", "title", "description", "toy")},
        "byline": byline(told, found, records),
        "headline": headline(findings, *(tables.get(f"{name}.csv", []) for name in ("contrasts", "shares"))),
        "counts": counts(told, found),
        "findings": findings,
        "few_questions": FEW,
        "few": few,
        "any_few": any(few(row, at) for row in findings for at in ("baseline", "last")),
        "shared_starts": shared_starts(told, findings),
        "told_apart": _told_apart(findings),
        "percent": percent,
        "terms": TERMS,
        "warning": WARNING,
        "figures": [_figure(path, results) for path in given["figures"]],
        "files": [
            *(_file(path.with_suffix(".csv"), results) for path in given["figures"]),
            *(_file(path, results) for path in given["tables"]),
        ],
        "agreement": tables.get("agreement.csv", []),
        "definitions": {name: definition(rule) for name, rule in told["definitions"].items()},
        "has_alignment": has_alignment(found),
        "judges": list(found.judges),
        "cards": cards,
        "models": models,
        "details": {path.stem: path.read_text(encoding="utf-8") for path in given["details"]},
        "jobs": jobs(records),
        "asked": asked(records, {name for name, entry in told["organisms"].items() if "api" in entry}),
        "tools": tools,
        "commits": tools.get("emtrace (git commit)", []),
        "methods": methods(told, models, runs, found, tools),
        "bibtex": "\n".join(entries()[key] for key in keys),
        "with_texts": bool(found.texts.values),
        "data": block(_data(told, found, tables)),
        "responses": block(found.told()),
        "texts": [block(piece) for piece in found.text_blocks()],
    }


def _stages(told: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Trained stages, each with every training seed."""
    for entry in told["organisms"].values():
        for stage in entry.get("stages", ()):
            yield from ((stage, seed) for seed in entry["seeds"])


def _runs(told: dict[str, Any], results: Path) -> list[dict[str, Any]]:
    names = ("organism", "stage", "training_set", "start", "combine")
    return [
        {name: stage[name] for name in names} | {"seed": seed} | read_run(results / "organisms", stage, seed)
        for stage, seed in _stages(told)
    ]


def _segments(told: dict[str, Any], results: Path) -> list[Path]:
    """Folders of training jobs."""
    return [
        results / "organisms" / stage["organism"] / f"seed-{seed}" / stage["stage"] / f"to-{end}"
        for stage, seed in _stages(told)
        for end in stage["ends"]
    ]


def _asking(results: Path) -> list[Path]:
    """What the jobs wrote that asked many checkpoints: in process, or with an engine."""
    found = [path for place in (".asked", ".engines") for path in (results / "responses" / place).rglob("*.json")]
    return sorted(path for path in found if not path.name.endswith(RECORD))


def _told_apart(rows: list[dict]) -> dict[str, Any]:
    """Of what a run is called by: the columns that differ, and the value of each that does not."""
    values = {name: list(dict.fromkeys(row[name] for row in rows)) for name in RUN[1:]}
    return {
        "differ": [name for name, found in values.items() if len(found) > 1],
        "same": {name: found[0] for name, found in values.items() if len(found) == 1},
    }


def _figure(path: Path, results: Path) -> dict[str, str]:
    """A figure as an image that is in the page: what is in an SVG cannot reach the page from there."""
    svg = path.with_suffix(".svg")
    small = svg.stat().st_size <= LARGEST
    kind, source = ("svg+xml", svg) if small else ("png", path)
    image = base64.b64encode(source.read_bytes()).decode("ascii")
    numbers = _below(path.with_suffix(".csv"), results)
    return {"name": path.stem, "image": f"data:image/{kind};base64,{image}", "numbers": numbers}


def _file(path: Path, results: Path) -> dict[str, str]:
    """A CSV of the page: its place in the study's folder, what it is, and its text."""
    name = _below(path, results)
    rows = {table.path: table.row for table in known_tables().values()}
    what = f"a row: {rows[name].replace('`', '')}" if name in rows else "a table of this study"
    if name.startswith("figures/"):
        what = f"numbers of the figure {path.stem.replace('_', ' ')}"
    return {"name": name, "what": what, "csv": block(path.read_text(encoding="utf-8"))}


def _below(path: Path, results: Path) -> str:
    """A path from the study's folder on; its name alone where it is elsewhere."""
    return path.relative_to(results).as_posix() if path.is_relative_to(results) else path.name


def _data(told: dict[str, Any], found: Responses, tables: dict[str, list[dict]]) -> dict[str, Any]:
    rates = [[row[name] for name in RATES] for row in tables.get("rates.csv", ())]
    shared = {name: told[name] for name in ("study", "definitions", "definition", "scope", "shown")}
    most = max((len({key[1] for key in found.questions}), 2))
    return shared | {
        "few_questions": FEW,
        "rates": {"columns": RATES, "rows": rates},
        "intervals": interval_constants(most) if has_alignment(found) else None,
    }
