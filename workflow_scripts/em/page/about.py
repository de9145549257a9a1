"""What a study is, in a line and in a few numbers: for the top of the report."""

from typing import Any

from workflow_scripts.em.page.columns import Responses
from workflow_scripts.em.page.methods_training import listed

NAMED = 6  # so many organisms are called by name in the line


def byline(told: dict[str, Any], found: Responses, records: list[dict[str, Any]]) -> str:
    """Organisms, base models, questions, judges, and the day (UTC) on which the newest of `records` began."""
    names, bases = _organisms(found), _bases(told)
    parts = [_many(len(names), "organism") + (f" ({', '.join(names)})" if len(names) <= NAMED else "")]
    parts += [f"base model{'s' if len(bases) > 1 else ''} {listed(bases)}"] if bases else []
    parts += [_many(len(list(found.questions)), "question")]
    judges = list(found.judges)
    parts += [f"judge{'s' if len(judges) > 1 else ''} {listed(judges)}"] if judges else []
    days = [record["started"][:10] for record in records if "started" in record]
    return f"{'; '.join(parts)}." + (f" Newest result: {max(days)}." if days else "")


def counts(told: dict[str, Any], found: Responses) -> list[tuple[str, str]]:
    """What was trained, asked and judged: names with values."""
    cells, size = list(found.cells), len(found.columns["cell"])
    organisms = _organisms(found)
    trained = [name for name in organisms if told["organisms"].get(name, {}).get("stages")]
    return [
        ("Organisms", f"{len(organisms)} evaluated, {len(trained)} of them trained here"),
        ("Base models", ", ".join(_bases(told)) or "none of this study"),
        ("Checkpoints asked", f"{len({cell[:4] for cell in cells}):,}, step 0 counted for each run"),
        ("Conditions", ", ".join(dict.fromkeys(cell[4] for cell in cells))),
        ("Questions", f"{len(list(found.questions)):,} in {', '.join(dict.fromkeys(cell[5] for cell in cells))}"),
        ("Judged responses", f"{size:,}"),
        ("Judges", ", ".join(found.judges)),
    ]


def _organisms(found: Responses) -> list[str]:
    return list(dict.fromkeys(cell[0] for cell in found.cells))


def _bases(told: dict[str, Any]) -> list[str]:
    return sorted({entry["base_model"] for entry in told["organisms"].values() if "base_model" in entry})


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
