"""How a study's GPU jobs are called in plans of them, and which of them a checkpoint comes from."""

from typing import Any

from workflow_scripts.em.chain import Chain
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.steered import plain_stage


def training(organism: str, seed: Any, stage: str, last: Any) -> str:
    """The job that trains a stage up to a step."""
    return f"train {organism} {seed} {stage} {last}"


def merging(organism: str, seed: Any, stage: str) -> str:
    """The job that merges what a stage starts from."""
    return f"merge {organism} {seed} {stage}"


def asking(group: tuple) -> str:
    """The job that asks evaluations that have `group` in common (`amounts.asked_in`)."""
    return f"ask {' '.join(map(str, group))}"


def end(chain: Chain | None, seed: Any) -> str | None:
    """The job that a chain's last checkpoint comes from; what adapters are combined of was trained before."""
    while chain is not None and chain.recipe is None:
        chain = chain.before
    return training(chain.organism, seed, chain.stage.name, chain.last) if chain else None


def trained_by(plan: Plan, at: tuple) -> str | None:
    """The job that an evaluation's checkpoint comes from."""
    organism, seed, stage, step = at
    chain = plan.chains.get((organism, plain_stage(stage)))
    if chain is None or chain.recipe is None:
        return end(chain or plan.last_chain(organism), seed)
    return training(organism, seed, chain.stage.name, chain.segment(step)[-1])
