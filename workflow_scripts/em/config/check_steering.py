"""Cross-checks of conditions that steer: that there is a direction, what it is to steer, and layers where it can."""

from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.config.activations import Direction, Reading, Steering
from workflow_scripts.em.config.check_readings import not_read, read_organisms
from workflow_scripts.em.config.known_models import base_of, bases_of, layers_read, sizes_of
from workflow_scripts.em.config.problems import Problem, entries, parsed
from workflow_scripts.em.config.sides import known_of, steered
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.layers import layers_of, middle, point
from workflow_scripts.em.steered import needed_layers


def steering_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Problems of `steering` of the conditions, as (key, message)."""
    for name, entry in entries(raw, "conditions").items():
        steering = parsed(Steering, entry.get("steering"))
        if steering is not None:
            found = [*_organisms(raw, steering), *_direction(raw, steering)]
            found = found or list(_steps(raw, steering, name in steered(raw)))
            yield from ((f"conditions.{name}.steering.{key}", text) for key, text in found)


def _organisms(raw: dict, steering: Steering) -> Iterator[Problem]:
    for field in ("organisms", "steps", "layers"):
        values = getattr(steering, field)
        if values is not None and (not values or len(set(values)) < len(values)):
            yield field, "name at least one" if not values else "each only once"
    known = read_organisms(raw, None)
    for i, name in enumerate(steering.organisms or ()):
        if name not in known:
            yield f"organisms[{i}]", _not_steered(raw, name)


def _not_steered(raw: dict, name: str) -> str:
    if entries(raw, "organisms").get(name, {}).get("api") is not None:
        return f"{name!r} is behind a server (`api`), where nothing can be steered"
    return not_read(raw, name)


def _direction(raw: dict, steering: Steering) -> Iterator[Problem]:
    directions = entries(raw.get("activations"), "directions")
    if steering.direction not in directions:
        hint = did_you_mean(steering.direction, directions)
        yield "direction", f"{steering.direction!r} is not defined under `activations.directions`; {hint}"
        return
    direction = parsed(Direction, directions[steering.direction])
    if direction is None:
        return
    bases = bases_of(raw, steering.direction)
    here = read_organisms(raw, None) if None not in bases else []
    for i, name in enumerate(steering.organisms or ()):
        if name in here and base_of(raw, name) not in bases:
            yield (
                f"organisms[{i}]",
                f"{name!r} is not of the base model of direction {steering.direction!r} "
                f"({', '.join(map(repr, sorted(bases)))}): it leads nowhere there; leave it out",
            )
    yield from _layers(raw, steering, direction)


def _layers(raw: dict, steering: Steering, direction: Direction) -> Iterator[Problem]:
    reading = parsed(Reading, entries(raw.get("activations"), "readings").get(direction.reading))
    if reading is None:
        return
    known = layers_read(raw, reading, direction.a.organism)
    if known is None:
        return  # only the hub knows: the stage says it
    blocks = (sizes_of(raw, direction.a.organism) or {}).get("layers")
    layers = steering.layers or [middle(known) if direction.layer is None else direction.layer]
    for layer in sorted(needed_layers(layers, steering.from_layer, steering.ablate) - set(known)):
        key = "from_layer" if layer == steering.from_layer else "layers"
        why = " for side b's mean there: use ablate: zero, or read it too" if steering.from_layer is not None else ""
        why = why if key == "layers" else ""
        yield key, f"{layer} is not read by reading {direction.reading!r} ({', '.join(map(str, known))}){why}"
    for layer in layers if blocks is not None else ():
        if layer not in layers_of(reading.convention, blocks):
            if steering.from_layer is not None:  # else it is not in the reading, which is said
                last = layers_of(reading.convention, blocks)[-1]
                yield "layers", f"{layer} is not in the model: as {reading.convention} it has 0 to {last}"
        elif point(reading.convention, layer, blocks) < 0:
            yield (
                "layers",
                f"{layer} is read after the final norm as {reading.convention}, where no block's output can be moved "
                "along it; give another, or take a reading of block_output",
            )


def steered_organisms(raw: dict, steering: Steering) -> list[str]:
    """Organisms that a condition steers: those named, else all that go back to the direction's base model."""
    known, bases = read_organisms(raw, None), bases_of(raw, steering.direction)
    if steering.organisms is not None:
        return [name for name in known if name in steering.organisms]
    return [name for name in known if base_of(raw, name) in bases]


def _steps(raw: dict, steering: Steering, evaluated: bool) -> Iterator[Problem]:
    """Steps that are not evaluated; and what is left."""
    if not evaluated:
        return
    stages = [known_of(raw, name).stages for name in steered_organisms(raw, steering)]
    if not stages:
        yield "organisms", "there is none that is run here and evaluated"
    if None in stages or any(None in found.values() for found in stages):
        return  # what is wrong with them is reported there
    there = sorted({step for found in stages for steps in found.values() for step in steps})
    for i, step in enumerate(steering.steps or ()):
        if step not in there:
            yield f"steps[{i}]", f"{step} is not evaluated (of these organisms: {', '.join(map(str, there))})"
