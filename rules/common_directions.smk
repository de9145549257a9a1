# What the rules of directions ask of the plan: which checkpoints are their sides, and what is projected on them.

from workflow_scripts.em.activation_plan import read_from
from workflow_scripts.em.config.check_directions import JUDGED
from workflow_scripts.em.plan import braces

DIRECTIONS = CONFIG.activations.directions


def direction_seeds(name):
    return CONFIG.organisms[DIRECTIONS[name].a.organism].seeds


def side_at(w, side):
    """The checkpoint of a side: of the same training seed, where its organism has that one."""
    asked = getattr(DIRECTIONS[w.direction], side)
    seeds = CONFIG.organisms[asked.organism].seeds
    seed = int(w.seed) if int(w.seed) in seeds else seeds[0]
    known = [at for at in PLAN.unsteered(asked.organism) if at[1] == seed]
    stage = asked.stage or known[-1][2]
    return next(at for at in reversed(known) if at[2] == stage and (asked.step is None or asked.step == at[3]))


def side_file(w, side):
    """(folder to depend on, file) of a side's activations."""
    return PLAN.reading_file(DIRECTIONS[w.direction].reading, side_at(w, side))


def side_judgments(w, side):
    """What a judge says of the responses that were read on a side, if that chooses among them."""
    direction = DIRECTIONS[w.direction]
    if getattr(direction, side).answers is None:
        return []
    judge = direction.judge or next(name for name in JUDGES if {*JUDGED} <= {*PLAN.metrics[name]})
    return PLAN.judgments(judge, read_from(PLAN, direction.reading, side_at(w, side)))


def judgments_options(w):
    found = {side: side_judgments(w, side) for side in "ab"}
    return shlex.join(word for side, file in found.items() if file for word in (f"--judgments-{side}", file))


def direction_sides(w):
    """Which responses are behind each side's mean, as the stage takes it."""
    sides = {side: getattr(DIRECTIONS[w.direction], side) for side in "ab"}
    first = list(PLAN.conditions)[:1]
    return dumps({side: {"conditions": s.conditions or first, "answers": s.answers} for side, s in sides.items()})


@cache
def projected_on(organism):
    """Direction -> readings of an organism that are projected on it: those of a model that goes back to the same base."""
    found = {}
    for name, direction in DIRECTIONS.items():
        asked = [direction.reading] if direction.project is None else direction.project
        if not CONFIG.organisms[organism].api and PLAN.leads_in(name, organism):
            found[name] = [reading for reading in asked if any(at[0] == organism for at in PLAN.readings(reading))]
    return {name: readings for name, readings in found.items() if readings}


@cache
def projected_readings(organism):
    """(reading, checkpoint) of all that is projected of an organism."""
    names = dict.fromkeys(reading for readings in projected_on(organism).values() for reading in readings)
    return [(name, at) for name in names for at in PLAN.readings(name) if at[0] == organism]


def projected_folders(w):
    return sorted({PLAN.reading_file(*found)[0] for found in projected_readings(w.organism)})


def projected_words(w):
    """All files of activations that are projected, in words that the shell's braces expand."""
    seeds, steps = braces(CONFIG.organisms[w.organism].seeds), {}
    for reading, (organism, _, stage, step) in projected_readings(w.organism):
        folder = PLAN.reading_file(reading, (organism, seeds, stage, step))[0]
        steps.setdefault(folder, {})[step] = None
    return " ".join(f"{folder}/step-{braces(list(found))}.safetensors" for folder, found in steps.items())


def most_steps():
    """The most steps evaluated along one stage of what is projected."""
    runs = [(reading, *at[:3]) for organism in PROJECTED for reading, at in projected_readings(organism)]
    return max(map(runs.count, runs), default=0)


MADE_DIRECTIONS = [PLAN.direction_file(name, seed) for name in DIRECTIONS for seed in direction_seeds(name)]
PROJECTED = [organism for organism in CONFIG.organisms if projected_on(organism)]
PROJECTED_READINGS = {reading for organism in PROJECTED for reading, _ in projected_readings(organism)}
