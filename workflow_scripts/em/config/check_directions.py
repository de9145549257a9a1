"""Cross-checks of directions: that both sides are read, and are two sides."""

from collections.abc import Iterator

from workflow_scripts.em.config.activations import Direction, DirectionSide, Reading
from workflow_scripts.em.config.check_readings import checkpoint, not_read, read_organisms, stages_of
from workflow_scripts.em.config.known_models import layers_read, sizes_of
from workflow_scripts.em.config.problems import Problem, entries
from workflow_scripts.em.config.sides import listed, scoring_judges, unsteered
from workflow_scripts.em.config.suggest import did_you_mean

JUDGED = ("alignment", "coherence")  # what `answers` goes by


def direction_problems(raw: dict, direction: Direction, readings: dict[str, Reading | None]) -> Iterator[Problem]:
    """Problems of a direction, as (key in it, message); `readings` are the config's, None for one that is not valid."""
    found = []
    for i, name in enumerate(direction.project or ()):
        if name not in readings:
            yield f"project[{i}]", _no_reading(name, readings)
    if direction.reading not in readings:
        yield "reading", _no_reading(direction.reading, readings)
        return
    reading = readings[direction.reading]
    if reading is None:
        return
    for at, side in (("a", direction.a), ("b", direction.b)):
        found += [(f"{at}.{key}", text) for key, text in _side(raw, side, direction.reading, reading)]
    yield from found
    if not found:
        yield from _both(raw, direction)
    yield from _answers(direction, reading)
    yield from _judge(raw, direction)
    yield from _layer(raw, direction, reading)
    for i, name in enumerate(direction.project or ()):
        other = readings.get(name)
        for key in ("convention", "layers", "span", "pooling"):
            if other is not None and _same(getattr(other, key)) != _same(getattr(reading, key)):
                yield f"project[{i}]", f"{name!r} has other `{key}` than {direction.reading!r}, the direction's reading"
                break


def _no_reading(name: str, readings: dict) -> str:
    return f"{name!r} is not defined under `activations.readings`; {did_you_mean(name, readings)}"


def _side(raw: dict, side: DirectionSide, name: str, reading: Reading) -> Iterator[Problem]:
    wrong = list(checkpoint(raw, side.organism, side.stage, side.step, last=True))
    yield from wrong
    if not wrong and side.organism not in read_organisms(raw, reading):
        api = entries(raw, "organisms")[side.organism].get("api") is not None
        yield "organism", not_read(raw, side.organism) if api else f"{side.organism!r} is not read by reading {name!r}"
    for i, condition in enumerate(side.conditions or ()):
        if condition not in listed(raw, "conditions"):
            hint = did_you_mean(condition, unsteered(raw))
            yield f"conditions[{i}]", f"{condition!r} is not in `evaluation.conditions`; {hint}"
        elif condition not in unsteered(raw):
            yield f"conditions[{i}]", f"{condition!r} is steered, and directions are of unsteered responses"
        elif condition in side.conditions[:i]:
            yield f"conditions[{i}]", f"{condition!r} is named twice"


def _both(raw: dict, direction: Direction) -> Iterator[Problem]:
    """What can be said only when each side is right by itself."""
    if _resolved(raw, direction.a) == _resolved(raw, direction.b):
        yield "b", "the same as a: what a side leaves open is the last checkpoint and the first condition"
    sizes = [(sizes_of(raw, side.organism) or {}).get("hidden") for side in (direction.a, direction.b)]
    if None not in sizes and sizes[0] != sizes[1]:
        yield "b.organism", f"its model has hidden size {sizes[1]}, a's has {sizes[0]}: they have no difference"


def _resolved(raw: dict, side: DirectionSide) -> tuple:
    stages = stages_of(raw, side.organism) or {}
    stage = side.stage or next(reversed(stages), None)
    steps = stages.get(stage)
    step = steps[-1] if side.step is None and steps else side.step
    conditions = side.conditions or unsteered(raw)[:1]
    return side.organism, stage, step, sorted(conditions), side.answers


def _answers(direction: Direction, reading: Reading) -> Iterator[Problem]:
    for at, side in (("a", direction.a), ("b", direction.b)):
        if side.answers is not None and "response" not in reading.span:
            yield (
                f"{at}.answers",
                f"reading {direction.reading!r} has no `response` in its `span`: before the answer begins good and bad "
                "ones to a question are alike; read the response too, or leave `answers` out",
            )


def _same(value: object) -> object:
    """The order in which parts are named says nothing."""
    return sorted(value) if isinstance(value, list) else value


def _judge(raw: dict, direction: Direction) -> Iterator[Problem]:
    if direction.a.answers is None and direction.b.answers is None:
        if direction.judge is not None:
            yield "judge", "only with `answers` of a side does a judge choose among the responses; remove it"
        return
    known = scoring_judges(raw, JUDGED)
    if not known:
        at = "a.answers" if direction.a.answers else "b.answers"
        yield at, "no judge of `evaluation` scores alignment and coherence"
    elif direction.judge is not None and direction.judge not in known:
        used = direction.judge in listed(raw, "judges")
        why = "does not score alignment and coherence" if used else "is not in `evaluation.judges`"
        yield "judge", f"{direction.judge!r} {why}; {did_you_mean(direction.judge, known)}"


def _layer(raw: dict, direction: Direction, reading: Reading) -> Iterator[Problem]:
    known = layers_read(raw, reading, direction.a.organism)
    if direction.layer is not None and known is not None and direction.layer not in known:
        yield "layer", f"{direction.layer} is not read by reading {direction.reading!r} ({', '.join(map(str, known))})"
