"""A stage of an organism in its place: what is trained before it, and which steps it saves in which job."""

from dataclasses import dataclass
from functools import cached_property

from workflow_scripts.em.config.study import Stage
from workflow_scripts.em.config.training import Recipe


@dataclass(frozen=True)
class Chain:
    """A stage of an organism, its place after earlier stages, and the steps it saves (without 0).

    A stage that combines adapters has no recipe and no steps: its checkpoint is step 0.
    """

    organism: str
    stage: Stage
    recipe: Recipe | None
    steps: tuple[int, ...]
    horizon: int | None
    planned_rows: int | None
    before: "Chain | None"

    @cached_property
    def segments(self) -> list[tuple[int, ...]]:
        """Steps saved by each training job; the first also saves step 0."""
        if not self.steps:
            return [(0,)]
        size = self.stage.checkpoints_per_job
        parts = [self.steps[i : i + size] for i in range(0, len(self.steps), size)]
        return [(0, *parts[0]), *parts[1:]]

    @property
    def last(self) -> int:
        """The step the stage ends with."""
        return self.steps[-1] if self.steps else 0

    @property
    def lineage(self) -> "list[Chain]":
        """This chain and those before it, latest first."""
        return [self, *(self.before.lineage if self.before else [])]

    @property
    def combined(self) -> "list[Chain]":
        """The chains whose adapters this one combines, earliest first."""
        weights = self.stage.combine.weights if self.stage.combine else {}
        return [chain for chain in reversed(self.lineage[1:]) if chain.stage.name in weights]

    def segment(self, step: int) -> tuple[int, ...]:
        """The segment that holds a step."""
        return next(segment for segment in self.segments if step in segment)
