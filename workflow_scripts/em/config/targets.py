"""Config section of targets: what an organism must reach (homework 0: misaligned, but coherent)."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, model_validator

from workflow_scripts.em.config.base import Name, Section, key
from workflow_scripts.em.requests import is_asked


class Target(Section):
    """A mean score that each organism's last checkpoint must have; the first judge's."""

    question_set: Name = key("a name under `evaluation.question_sets`")
    condition: Name | None = key("a name under `evaluation.conditions`; none = the first that is for them", None)
    metric: Name = key("a 0-100 metric, e.g. alignment or coherence")
    below: float | None = Field(None, description="met when the mean is below this", ge=0, le=100)
    above: float | None = Field(None, description="or: when it is above this", ge=0, le=100)

    @model_validator(mode="after")
    def _one_side(self) -> "Target":
        if (self.below is None) == (self.above is None):
            raise ValueError("give exactly one of `below`, `above`")
        return self


def condition_of(target: Target, evaluated: Iterable[str], conditions: Mapping[str, dict[str, Any]]) -> str | None:
    """The condition that a target is about: its own, else the first evaluated one; None when none is for its questions.

    conditions: name -> its entry in the config.
    """
    names = evaluated if target.condition is None else [target.condition]
    return next((name for name in names if is_asked(conditions.get(name, {}), target.question_set)), None)
