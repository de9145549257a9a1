"""Masked adapters: which organisms differ in nothing but how many weights are trained. Pure functions of the plan."""

from typing import Any

from workflow_scripts.em.chain import Chain
from workflow_scripts.em.files import dumps
from workflow_scripts.em.plan import Plan


def budget_runs(plan: Plan) -> list[dict[str, Any]]:
    """The evaluated organisms of every series with a masked adapter in it (`lora.budget`).

    A series is what goes back to one model and is trained on the same rows, by the same recipe but for the budget, for
    as many steps; the organism without a budget is its reference. Each entry: {"series", "base", "training_set",
    "organism", "stage", "step", "budget" (None: the whole adapter), "segments": {training seed: folder of the training
    job that saved that step}}.
    """
    series: dict[str, list[Chain]] = {}
    for organism in plan.config.organisms:
        own = [chain for chain in plan.chains.values() if chain.organism == organism]
        if own and own[-1].recipe and own[-1].recipe.lora and _evaluated(own[-1]):
            series.setdefault(dumps(_alike(plan, own[-1])), []).append(own[-1])
    masked = [chains for chains in series.values() if any(chain.recipe.lora.budget for chain in chains)]
    names = [(_origin(plan, chains[0]), chains[0].stage.training_set) for chains in masked]
    return [
        {
            # Two series may share both names and differ in a recipe's number: the first organism tells them apart.
            "series": " · ".join(name if names.count(name) == 1 else (*name, chains[0].organism)),
            "base": name[0],
            "training_set": name[1],
            "organism": chain.organism,
            "stage": chain.stage.name,
            "step": chain.last,
            "budget": chain.recipe.lora.budget,
            "segments": {
                seed: plan.checkpoint(chain, seed, chain.last)[0]
                for seed in plan.config.organisms[chain.organism].seeds
            },
        }
        for name, chains in zip(names, masked, strict=True)
        for chain in chains
    ]


def _evaluated(chain: Chain) -> bool:
    wanted = chain.stage.evaluate
    return wanted is True or (isinstance(wanted, list) and chain.last in wanted)


def _origin(plan: Plan, chain: Chain) -> str:
    return chain.before.organism if chain.before else plan.base_model(chain.organism)


def _alike(plan: Plan, chain: Chain) -> list[Any]:
    recipe = chain.recipe.plain()
    recipe["lora"] = {name: value for name, value in recipe["lora"].items() if name != "budget"}
    before = chain.before and [chain.before.organism, chain.before.stage.name, chain.stage.start]
    names = [plan.base_model(chain.organism), chain.stage.training_set, chain.stage.kl_training_set]
    return [before, names, recipe, chain.last, chain.horizon]
