"""Config section of targets: what an organism must reach (homework 0: misaligned, but coherent), and its checks."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field, model_validator

from workflow_scripts.em.config.base import Name, Section, key
from workflow_scripts.em.config.problems import Problem, entries, parsed
from workflow_scripts.em.config.suggest import did_you_mean


class Target(Section):
    """A mean score that each organism's last checkpoint must have; the first judge's."""

    question_set: Name = key("a name under `evaluation.question_sets`")
    condition: Name | None = key("a name under `evaluation.conditions`; none = the first", None)
    metric: Name = key("a 0-100 metric, e.g. alignment or coherence")
    below: float | None = Field(None, description="met when the mean is below this", ge=0, le=100)
    above: float | None = Field(None, description="or: when it is above this", ge=0, le=100)

    @model_validator(mode="after")
    def _one_side(self) -> "Target":
        if (self.below is None) == (self.above is None):
            raise ValueError("give exactly one of `below`, `above`")
        return self


def target_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Problems of the section `targets`: what is not evaluated has no mean."""
    evaluation = raw.get("evaluation") if isinstance(raw.get("evaluation"), dict) else {}
    judges = evaluation.get("judges") if isinstance(evaluation.get("judges"), list) else []
    entry = entries(raw, "judges").get(str(judges[0]) if judges else "", {})
    metrics = entry.get("metrics", {"alignment": {}, "coherence": {}})
    for name, target in entries(raw, "targets").items():
        found = parsed(Target, target)
        if found is None:
            continue
        if not entries(raw, "organisms"):
            yield f"targets.{name}", "only an organism's last checkpoint can meet it; name an organism"
        asked = {"question_set": evaluation.get("question_sets"), "condition": evaluation.get("conditions")}
        for field, known in asked.items():
            value = getattr(found, field)
            if value is not None and isinstance(known, list) and value not in known:
                yield f"targets.{name}.{field}", f"{value!r} is not evaluated; {did_you_mean(value, map(str, known))}"
        if isinstance(metrics, dict) and found.metric not in metrics:
            yield (
                f"targets.{name}.metric",
                f"the first judge does not score {found.metric!r}; {did_you_mean(found.metric, map(str, metrics))}",
            )
        elif isinstance(metrics, dict) and (metrics[found.metric] or {}).get("labels"):
            yield f"targets.{name}.metric", f"{found.metric!r} is a label and has no mean"
