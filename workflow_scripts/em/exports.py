"""What exports, model cards and training details are told of a study's plan. Pure functions of data."""

from typing import Any

from workflow_scripts.em.chain import Chain
from workflow_scripts.em.plan import Plan


def facts(plan: Plan, chains: list[Chain], step: int | None = None) -> list[dict[str, Any]]:
    """Stages as JSON-able data, in the order given; the last one's segments only up to the one with `step`.

    {"organism", "stage", "start", "combine", "preset", "training_set", "kl_training_set", "domains": {data set:
    domain}, "ends": [last step of each segment]}; the segments are <organism>/seed-<n>/<stage>/to-<end>.
    """
    return [_facts(plan, chain, step if chain is chains[-1] else None) for chain in chains]


def _facts(plan: Plan, chain: Chain, step: int | None) -> dict[str, Any]:
    stage, sets = chain.stage, plan.config.training_sets
    names = [name for name in (stage.training_set, stage.kl_training_set) if name]
    parts = [part.dataset for name in names for part in sets[name].mixture]
    wanted = chain.segments if step is None else chain.segments[: chain.segments.index(chain.segment(step)) + 1]
    return {
        "organism": chain.organism,
        "stage": stage.name,
        "start": stage.start,
        "combine": stage.combine.plain() if stage.combine else None,
        "preset": plan.config.recipes[stage.recipe].preset if stage.recipe else None,
        "training_set": stage.training_set,
        "kl_training_set": stage.kl_training_set,
        "domains": {name: plan.config.datasets[name].domain for name in parts},
        "ends": [segment[-1] for segment in wanted],
    }


def trained(plan: Plan) -> list[str]:
    """Organisms with stages of their own."""
    return list(dict.fromkeys(organism for organism, _ in plan.chains))


def details(plan: Plan, organism: str) -> dict[str, Any]:
    """What training details are told of an organism."""
    entry = plan.config.organisms[organism]
    own = [chain for chain in plan.chains.values() if chain.organism == organism]
    return {
        "organism": organism,
        "base_model": plan.base_model(organism),
        "from_organism": entry.from_organism,
        "seeds": entry.seeds,
        "stages": facts(plan, own),
    }


def place(plan: Plan, name: str) -> tuple[Chain, int, int]:
    """(stage, training seed, step) of the checkpoint that an export holds."""
    export = plan.config.exports[name]
    lineage = plan.last_chain(export.organism).lineage
    chain = next(chain for chain in lineage if export.stage in (None, chain.stage.name))
    seed = plan.config.organisms[export.organism].seeds[0] if export.seed is None else export.seed
    return chain, seed, chain.last if export.step is None else export.step


def export_plan(plan: Plan, name: str) -> dict[str, Any]:
    """What an export and its model card are told."""
    chain, seed, step = place(plan, name)
    export = plan.config.exports[name]
    return {
        "name": name,
        "form": export.form,
        "dtype": export.dtype if export.form == "merged" else None,
        "repo": export.push.repo if export.push else None,
        "organism": chain.organism,
        "base_model": plan.base_model(chain.organism),
        "seed": seed,
        "stage": chain.stage.name,
        "step": step,
        "scope": plan.config.figures.scope,
        "stages": facts(plan, chain.lineage[::-1], step),
    }


def segments(plan: Plan, name: str) -> list[str]:
    """Segment folders that led to an export, earliest first."""
    chain, seed, step = place(plan, name)
    parts = [(c, part) for c in chain.lineage[::-1] for part in c.segments if c is not chain or part[0] <= step]
    return [plan.segment_dir(c, seed, part) for c, part in parts]
