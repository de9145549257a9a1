"""What jobs of a rule took in earlier runs on this machine: for the time left while none has ended in this run."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean

from workflow_scripts.em.amounts import model_name
from workflow_scripts.em.gpus import visible_gpus
from workflow_scripts.em.measured import Measured, trained
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.remaining import START

# Rules whose program has another name.
STAGES = {"figure": "figures", "power": "power_plan", "power_plan": "figures"}


def seconds_before(plan: Plan, rules: Iterable[str], folder: Path = Path("results")) -> dict[str, float]:
    """Rule -> mean seconds of a job, whatever its size, by the records of all studies in `folder`.

    Without the rules of which some kind of job (by base model, recipe or judge) that the study has is not known.
    """
    measured, found = Measured(folder, gpu=bool(visible_gpus())), {}
    for rule in rules:
        took = [measured.took(STAGES.get(rule, rule), *kind) for kind in _kinds(plan, rule)]
        if all(took):
            found[rule] = START + mean(each.seconds / each.records for each in took)
    return found


def _kinds(plan: Plan, rule: str) -> set[tuple[str | None, str]]:
    """A rule's kinds of jobs as `Measured.took` asks for them: (base model, how)."""
    config = plan.config
    bases = {n: model_name(plan, plan.base_model(n)) for n, organism in config.organisms.items() if not organism.api}
    if rule == "train":
        chains, processes = [chain for chain in plan.chains.values() if chain.recipe], config.training.processes
        return {(bases[chain.organism], trained(chain.recipe.plain(), processes)) for chain in chains}
    if rule in ("ask_models", "ask_engine"):
        return {(base, config.generation.dtype) for base in bases.values()}
    if rule in ("judge", "ask_judge"):
        return {(None, config.judges[name].kind) for name in config.evaluation.judges}
    if rule == "generate":
        return {(None, "api" if organism.api else "") for organism in config.organisms.values()}
    if rule == "base_model":
        return {(None, "hub" if base.hub else "") for base in config.base_models.values()}
    return {(base, "") for base in bases.values()} or {(None, "")}
