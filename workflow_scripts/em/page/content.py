"""What the report's template is filled with: tables, figures, cards, costs, methods. All text is escaped there."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.em.files import read_json
from workflow_scripts.em.page.columns import Responses, block
from workflow_scripts.em.page.costs import asked, jobs, records_of, versions
from workflow_scripts.em.page.headline import headline, percent
from workflow_scripts.em.page.interval_constants import interval_constants
from workflow_scripts.em.page.methods import definition, has_alignment, methods
from workflow_scripts.em.page.sources import cited, entries
from workflow_scripts.em.provenance import RECORD
from workflow_scripts.em.stats.findings import RUN
from workflow_scripts.em.stats.tables import read_table
from workflow_scripts.em.training_details import read_run

# What the browser needs of rates.csv.
RATES = (
    "organism", "seed", "stage", "step", "condition", "question_set", "judge", "scope", "definition", "n_questions",
    "n_denominator", "n_events", "em_rate", "these_questions_low", "these_questions_high", "such_questions_low",
    "such_questions_high", "n_coherent", "n_coherence_scored", "coherent_share_of_scored",
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
    keys = cited(told, [run["recipe"] for run in runs if run["recipe"]], scorers)
    return {
        "study": told["study"],
        "headline": headline(*(tables.get(f"{name}.csv", []) for name in ("findings", "contrasts", "shares"))),
        "counts": _counts(told, found),
        "findings": tables.get("findings.csv", []),
        "told_apart": _told_apart(tables.get("findings.csv", [])),
        "percent": percent,
        "figures": [_figure(path) for path in given["figures"]],
        "tables": {path.name: block(path.read_text(encoding="utf-8")) for path in given["tables"]},
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


def _counts(told: dict[str, Any], found: Responses) -> list[tuple[str, str]]:
    """What was trained, asked and judged, for the top of the page."""
    cells, size = list(found.cells), len(found.columns["cell"])
    organisms = {cell[0] for cell in cells}
    trained = {name for name, entry in told["organisms"].items() if entry.get("stages")}
    bases = {entry["base_model"] for entry in told["organisms"].values() if "base_model" in entry}
    rows = [
        ("Organisms", f"{len(organisms)} evaluated, {len(trained & organisms)} of them trained here"),
        ("Base models", ", ".join(sorted(bases)) or "none of this study"),
        ("Model states", f"{len({cell[:4] for cell in cells}):,} (organism, seed, stage and step)"),
        ("Conditions", ", ".join(dict.fromkeys(cell[4] for cell in cells))),
        ("Questions", f"{len(list(found.questions)):,} in {', '.join(dict.fromkeys(cell[5] for cell in cells))}"),
        ("Judged responses", f"{size:,}"),
        ("Judges", ", ".join(found.judges)),
    ]
    return rows


def _told_apart(rows: list[dict]) -> dict[str, Any]:
    """Of what a run is called by: the columns that differ, and the value of each that does not."""
    values = {name: list(dict.fromkeys(row[name] for row in rows)) for name in RUN[1:]}
    return {
        "differ": [name for name, found in values.items() if len(found) > 1],
        "same": {name: found[0] for name, found in values.items() if len(found) == 1},
    }


def _figure(path: Path) -> dict[str, str]:
    """A figure as an image that is in the page: what is in an SVG cannot reach the page from there."""
    svg, table = path.with_suffix(".svg"), path.with_suffix(".csv")
    small = svg.stat().st_size <= LARGEST
    kind, source = ("svg+xml", svg) if small else ("png", path)
    image = base64.b64encode(source.read_bytes()).decode("ascii")
    text = table.read_text(encoding="utf-8")
    return {"name": path.stem, "image": f"data:image/{kind};base64,{image}", "csv": block(text)}


def _data(told: dict[str, Any], found: Responses, tables: dict[str, list[dict]]) -> dict[str, Any]:
    rates = [[row[name] for name in RATES] for row in tables.get("rates.csv", ())]
    shared = {name: told[name] for name in ("study", "definitions", "definition", "scope", "shown")}
    most = max((len({key[1] for key in found.questions}), 2))
    return shared | {
        "rates": {"columns": RATES, "rows": rates},
        "intervals": interval_constants(most) if has_alignment(found) else None,
    }
