"""Under which conditions a study's checkpoints are asked, and which directions steer them. Pure functions of data."""

from functools import cached_property
from typing import Any

from workflow_scripts.em.config.study import Config
from workflow_scripts.em.steered import is_steered, steers

# (organism, training seed, stage, step), where steered answers have a stage of their own (em/steered.py).
Address = tuple[str, int, str, int]


class Conditions:
    """The conditions of a study's evaluation, as plain data: a part of its Plan."""

    config: Config
    results: str

    @cached_property
    def conditions(self) -> dict[str, dict[str, Any]]:
        """Those without steering, which all checkpoints are asked under."""
        return {name: how for name, how in self._conditions.items() if "steering" not in how}

    @cached_property
    def steering(self) -> dict[str, dict[str, Any]]:
        """Those that steer: with the direction's own `layer` where none is named, and `file`, where it lies."""
        return {name: self._located(how) for name, how in self._conditions.items() if "steering" in how}

    @cached_property
    def _conditions(self) -> dict[str, dict[str, Any]]:
        return {name: self.config.conditions[name].plain() for name in self.config.evaluation.conditions}

    def _located(self, how: dict[str, Any]) -> dict[str, Any]:
        asked = how["steering"]
        own = self.config.activations.directions[asked["direction"]].layer
        layers = asked["layers"] or (None if own is None else [own])
        return how | {"steering": asked | {"layers": layers, "file": self.direction_file(asked["direction"])}}

    def steered(self, at: Address) -> dict[str, dict[str, Any]]:
        """Those that steer a checkpoint, by either of its addresses: one run here, of the direction's base model."""
        if self.config.organisms[at[0]].api:
            return {}
        return {
            name: how
            for name, how in self.steering.items()
            if self.leads_in(how["steering"]["direction"], at[0]) and steers(how, at[0], at[3])
        }

    def asked(self, at: Address) -> dict[str, dict[str, Any]]:
        """Those of an address: the ones that steer it, or the ones without steering."""
        return self.steered(at) if is_steered(at[2]) else self.conditions

    def leads_in(self, direction: str, organism: str) -> bool:
        """Whether a direction says something of an organism: one of its sides goes back to the same base model."""
        found = self.config.activations.directions[direction]
        return self.base_model(organism) in {self.base_model(side.organism) for side in (found.a, found.b)}

    def direction_file(self, name: str, seed: int | None = None) -> str:
        """File of a direction of a training seed; by default of the first one of the organism where it leads."""
        side = self.config.activations.directions[name].a
        seed = self.config.organisms[side.organism].seeds[0] if seed is None else seed
        return f"{self.results}/directions/{name}/seed-{seed}.safetensors"
