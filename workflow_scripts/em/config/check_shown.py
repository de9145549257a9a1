"""Cross-checks of the section `figures`: its organisms and questions are those of the study."""

from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.config.problems import Problem, entries, parsed
from workflow_scripts.em.config.shown import Figures
from workflow_scripts.em.config.sides import called, known_of
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.questions import load_questions


def shown_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Problems of the section `figures` with the rest of the study."""
    section = parsed(Figures, raw.get("figures", {}))
    if section is None:
        return
    known = called(raw)
    found = {name: known_of(raw, name) for name in [*known, *section.groups]}
    for organism in section.groups:
        if found[organism] is None:
            hint = did_you_mean(organism, known)
            yield f"figures.groups.{organism}", f"neither an organism nor what a table's rows are called; {hint}"
    evaluated = [name for name in known if found[name] is not None and found[name].stages != {}]
    absent = [name for name in evaluated if section.groups and name not in section.groups]
    if absent:
        yield "figures.groups", f"{', '.join(absent)}: an organism without its two things would be in no panel"
    if isinstance(section.examples, list):
        ids = _question_ids(raw)
        for i, name in enumerate(section.examples):
            if ids is not None and name not in ids:
                yield f"figures.examples[{i}]", f"{name!r} is no question that is asked; {did_you_mean(name, ids)}"


def _question_ids(raw: dict[str, Any]) -> list[str] | None:
    """Ids of all questions that are asked; None when that is not known (a table's, or a broken file)."""
    evaluation = raw.get("evaluation") if isinstance(raw.get("evaluation"), dict) else {}
    names = evaluation.get("question_sets") if isinstance(evaluation.get("question_sets"), list) else []
    sets = entries(raw, "question_sets")
    if entries(raw, "tables") or any(name not in sets for name in names):
        return None
    try:
        asked = [load_questions(sets[name]["path"], None, sets[name].get("exclude")) for name in names]
    except (UserError, KeyError, TypeError):
        return None
    return [question.id for questions in asked for question in questions]
