"""Config section of what the figures show."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from workflow_scripts.em.config.base import Name, Section, key

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
