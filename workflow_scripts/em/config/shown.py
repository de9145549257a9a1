"""Config section of what the figures show, and its checks."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from workflow_scripts.em.config.base import Name, Section, key
from workflow_scripts.em.config.problems import Problem, entries, parsed
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.questions import load_questions

Text = Annotated[str, Field(min_length=1)]


def _number_or_ids(value: Any) -> int | list[str]:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not number and not (isinstance(value, list) and value and all(isinstance(name, str) for name in value)):
        raise ValueError("give a number from 1 up, or a list of question ids")
    return value


class Figures(Section):
    """What the figures show."""

    definition: Name = key("EM definition of the main figures", "betley")
    scope: Literal["all", "in_domain", "out_of_domain"] = key("questions of the main figures", "out_of_domain")
    width_inches: float = key("figure width, inches", 6.5, ge=2.5, le=20)
    examples: Annotated[int | list[str], BeforeValidator(_number_or_ids)] = key(
        "questions in the tables of example responses: how many, or their ids", 3
    )
    groups: dict[Name, dict[Text, Text]] = key(
        "the two things in which organisms differ, e.g. {small: {size: 1B, data: medical}}: trajectories then have a "
        "panel for each size, and figure organism_comparison compares all",
        {},
    )

    @field_validator("groups")
    @classmethod
    def _two_things(cls, groups: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        names = [list(entry) for entry in groups.values()]
        for organism, found in zip(groups, names, strict=True):
            if len(found) != 2 or found != names[0]:
                raise ValueError(f"{organism}: give each organism the same two things, in the same order")
        seen: dict[tuple, str] = {}
        for organism, entry in groups.items():
            other = seen.setdefault(tuple(entry.values()), organism)
            if other != organism:
                raise ValueError(f"{organism} and {other} differ in nothing")
        return groups


def shown_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Problems of the section `figures` with the rest of the study."""
    section = parsed(Figures, raw.get("figures", {}))
    if section is None:
        return
    known = [*entries(raw, "organisms"), *entries(raw, "tables")]
    for organism in section.groups:
        if organism not in known:
            yield f"figures.groups.{organism}", f"no organism or table of this study; {did_you_mean(organism, known)}"
    absent = [name for name in known if section.groups and name not in section.groups]
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
