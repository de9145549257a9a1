"""What a steered condition does to hidden states: vectors from a direction's file. No torch here.

Adding a direction is activation addition (Turner et al. 2023, arXiv 2308.10248; Rimsky et al. 2024, arXiv 2312.06681);
taking the component along it out is directional ablation (Arditi et al. 2024, arXiv 2406.11717), and to keep it at a
mean instead is mean ablation. A random direction of the same length is the control: what any move of that size does.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.em.activation_files import Held, read_tensors
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.layers import middle
from workflow_scripts.em.steered import needed_layers


class Move(NamedTuple):
    """What becomes of the hidden states h of a layer: h + `vector`; or, with `component`, h - (h·u - component) u.

    `vector`: float32 (hidden size,); with `component` it is the unit vector u.
    """

    vector: np.ndarray
    component: float | None

    def digest(self) -> str:
        """Of its exact numbers."""
        return hashlib.sha256(self.vector.tobytes() + repr(self.component).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Steering:
    """A steered condition's entry of the config (`spec`, with `file`, the direction's), and what it does."""

    spec: dict[str, Any]
    convention: str
    moves: dict[int, Move]

    @property
    def answer_only(self) -> bool:
        """Whether only positions from which the answer is written are steered."""
        return self.spec["positions"] == "response"

    @cached_property
    def identity(self) -> list:
        """All that decides an answer: places and numbers, whatever the file's name and the rest of what it holds."""
        return [self.convention, self.answer_only, [[layer, move.digest()] for layer, move in self.moves.items()]]


def read_steering(spec: dict[str, Any]) -> Steering:
    """The steering of a condition. Raises UserError when the direction has no such layer, or no length there.

    What is read of the file: the vectors of the layers, or of `from_layer` for all of them; to hold the component at
    side b's mean, that mean of each layer itself, for hidden states grow from layer to layer.
    """
    held = read_tensors(spec["file"])
    where = f"direction {spec['direction']} ({spec['file']})"
    if not held.layers:
        raise UserError(f"{where} could not be made, so nothing is steered by it: {held.about['reason']}")
    layers = steered_layers(spec, held)
    if absent := sorted(needed_layers(layers, spec["from_layer"], spec["ablate"]) - set(held.layers)):
        raise UserError(
            f"{where}: no layer {absent[0]}; its reading has layers {', '.join(map(str, held.layers))}: name some of "
            "these as `layers` (or `from_layer`) of the condition's `steering`"
        )
    return Steering(spec, held.about["convention"], {layer: _move(spec, held, layer, where) for layer in layers})


def steered_layers(spec: dict[str, Any], held: Held) -> list[int]:
    """The layers that a condition steers: those it names, else the middle one of its direction's."""
    return sorted(spec["layers"] or [middle(held.layers)])


def _move(spec: dict[str, Any], held: Held, layer: int, where: str) -> Move:
    source = layer if spec["from_layer"] is None else spec["from_layer"]
    vector = held.layer(source).astype(np.float32)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length) or length == 0:
        state = "is zero" if length == 0 else "is no finite number"
        raise UserError(
            f"{where}: its length at layer {source} {state}, so it leads nowhere: its sides are the same there, or a "
            "model is broken; steer by another layer or direction"
        )
    if spec["random"]:
        vector = _random(spec["direction"], source, len(vector), length)
    if spec["ablate"] is None:
        return Move(np.float32(spec["add"]) * vector, None)
    unit = (vector / length).astype(np.float32)
    if spec["ablate"] == "zero":
        return Move(unit, 0.0)
    return Move(unit, float(held.tensors[f"mean_b.layer.{layer}"].astype(np.float64) @ unit.astype(np.float64)))


def _random(name: str, layer: int, size: int, length: float) -> np.ndarray:
    """A direction that is alike in all ways (Gaussian), of this length: the same each time for a name and layer."""
    seed = int.from_bytes(hashlib.sha256(f"{name}/{layer}".encode()).digest()[:8])
    drawn = np.random.default_rng(seed).normal(size=size)
    return (drawn * (length / np.linalg.norm(drawn))).astype(np.float32)
