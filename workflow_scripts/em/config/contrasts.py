"""Config section of contrasts: which two groups of answers are compared, and what was expected before looking."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from workflow_scripts.em.config.base import Name, Section, key

# Organisms, conditions, ... of imported tables are whatever their columns say.
Text = Annotated[str, Field(min_length=1)]


class Side(Section):
    """One side of a contrast: an organism at a checkpoint, asked in one way."""

    organism: Text = key("a name under `organisms`, or what a judged table's rows are called")
    stage: Text | None = key("one of its stages; none = the last that is evaluated", None)
    step: Annotated[int, Field(ge=0)] | None = key("an evaluated step; none = the last", None)
    condition: Text | None = key("how it is asked; none = the first of `evaluation`", None)
    question_set: Text | None = key("which questions; none = the first of `evaluation`", None)
    judge: Text | None = key("who scored; none = the first of `evaluation`", None)


class Contrast(Section):
    """A difference between two sides, declared before the data are seen; Holm's correction is over all of them."""

    a: Side = key("the first side")
    b: Side = key("the side it is compared with; the difference is a - b")
    hypothesis: str | None = key("what is claimed, in words; none = the contrast's name", None)
    expect: Literal["a_higher", "b_higher", "differ"] = key("which difference would support it", "differ")
    measure: Literal["em_rate", "coherent_share", "mean_alignment", "mean_coherence"] = key(
        "what is compared; coherent_share is of all responses", "em_rate"
    )
    definition: Name | None = key("EM definition; none = that of `figures`", None)
    scope: Literal["all", "in_domain", "out_of_domain"] | None = key("questions; none = those of `figures`", None)
    paired_by_seed: bool = key("training seeds of the two sides belong together (same number, same start)", False)

    @model_validator(mode="after")
    def _two_sides(self) -> "Contrast":
        if self.a == self.b:
            raise ValueError("a and b are the same")
        return self
