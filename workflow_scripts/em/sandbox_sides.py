"""Whom to talk with: checkpoints as people name them, where they lie, and which there are."""

from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.sandbox import Side


class Where(NamedTuple):
    """A checkpoint as people name it; None: the organism's first training seed, last stage, that one's last step.

    condition: one of the study's, by whose system prompt, mode, prefill and steering it is asked.
    """

    organism: str
    step: int | None = None
    seed: int | None = None
    stage: str | None = None
    condition: str | None = None


def parsed(text: str) -> Where:
    """NAME[:STEP][,seed=N][,stage=NAME][,condition=NAME]. Raises UserError for anything else."""
    head, *rest = text.split(",")
    name, _, step = head.partition(":")
    asked: dict[str, Any] = {"step": step} if step else {}
    for part in rest:
        key, _, value = part.strip().partition("=")
        if key not in Where._fields[1:] or not value:
            raise UserError(f"{text}: {part!r} is none of step=N, seed=N, stage=NAME, condition=NAME")
        asked[key] = value
    for key in ("step", "seed"):
        if key in asked and not asked[key].isdecimal():
            raise UserError(f"{text}: a {key} is a number, such as {name}:0 or {name},seed=1")
    return Where(name, **{key: int(value) if key in ("step", "seed") else value for key, value in asked.items()})


def locate(plan: Plan, asked: Where) -> Side:
    """What is asked for, ready to answer but for its author's loading (`authors`).

    Raises UserError, naming what there is, for what the study does not have or is not made yet.
    """
    name = asked.organism
    if name not in plan.config.organisms:
        raise UserError(f"no organism {name!r}; {did_you_mean(name, plan.config.organisms)}")
    how = _condition(plan, asked.condition)
    organism, said = plan.config.organisms[name], f", {asked.condition}" if asked.condition else ""
    if organism.api:
        if how.get("steering"):
            raise UserError(f"{name}: a model behind a server cannot be steered")
        return Side(f"{name}{said}", {"api": organism.api.plain()}, how)
    seed = organism.seeds[0] if asked.seed is None else asked.seed
    ended = plan.last_chain(name)
    stages = {chain.stage.name: chain for chain in ended.lineage} if ended else {}
    chain = ended if asked.stage is None else stages.get(asked.stage)
    if seed not in organism.seeds or (asked.stage is not None and chain is None):
        raise UserError(f"{name} has the training seeds {organism.seeds} and the stages: {', '.join(stages) or 'none'}")
    needed, folder, label = [Path(plan.model_record(name, chain, seed))], None, name
    if chain is not None:
        step = chain.last if asked.step is None else asked.step
        if step not in (0, *chain.steps):
            raise UserError(f"{name}, stage {chain.stage.name}: step {step} is not saved; steps {(0, *chain.steps)}")
        folder = Path(plan.checkpoint(chain, seed, step)[1])
        label += f" step {step}" + ("" if chain is ended else f", {chain.stage.name}")
    label += (f", seed {seed}" if seed != organism.seeds[0] else "") + said
    entry = {"record": str(needed[0]), "checkpoint": folder, "dtype": plan.config.generation.dtype}
    if how.get("steering"):
        entry["steering"] = how["steering"]
        needed.append(Path(how["steering"]["file"]))
    absent = [str(path) for path in (*needed, *([folder] if folder else [])) if not path.exists()]
    if absent:
        raise UserError(f"{absent[0]}: not made yet; run snakemake on this study first. {listed(plan)}")
    return Side(label, entry, how)


def listed(plan: Plan) -> str:
    """What there is to talk with, a line an organism and training seed."""
    return "What is there:" + ("".join(f"\n  {line}" for line in made(plan)) or " none")


def _condition(plan: Plan, name: str | None) -> dict[str, Any]:
    known = plan.conditions | plan.steering
    if name is not None and name not in known:
        raise UserError(f"no condition {name!r}; {did_you_mean(name, known)}")
    return known[name] if name else {}


def made(plan: Plan) -> list[str]:
    """What there is to talk with, in words: the checkpoints of an organism and training seed, base models, servers."""
    found = []
    for chain in plan.chains.values():
        for seed in plan.config.organisms[chain.organism].seeds:
            places = ((step, Path(plan.checkpoint(chain, seed, step)[1])) for step in (0, *chain.steps))
            steps = [str(step) for step, place in places if place.is_dir()]
            if steps:
                found.append(f"{chain.organism}, seed {seed}, stage {chain.stage.name}: steps {', '.join(steps)}")
    for name, organism in plan.config.organisms.items():
        if organism.api:
            found.append(f"{name}: behind a server")
        elif plan.last_chain(name) is None and Path(plan.model_record(name, None, 0)).is_file():
            found.append(f"{name}: a base model")
    return found
