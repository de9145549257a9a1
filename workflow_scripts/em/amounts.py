"""How large a study is before it is run: its evaluations, responses and jobs. Pure functions of its plan."""

from workflow_scripts.em.chain import Chain
from workflow_scripts.em.conditions import Address
from workflow_scripts.em.config.judging import asks_at_once
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.questions import load_questions
from workflow_scripts.em.requests import is_asked
from workflow_scripts.em.steered import is_steered, plain_stage


def seeds(plan: Plan, chain: Chain) -> list[int]:
    """The training seeds of a chain."""
    return plan.config.organisms[chain.organism].seeds


def model_name(plan: Plan, name: str) -> str:
    """The name that the record of a base model has, or will have."""
    base = plan.config.base_models[name]
    return base.hub or base.path or f"{plan.toy_dir(name)}/{'tuned' if base.toy.tuned else 'base'}"


def evaluations(plan: Plan) -> list[Address]:
    """Every evaluation of the study."""
    return [at for name in plan.config.organisms for at in plan.evaluations(name)]


def asked_in(plan: Plan, at: Address) -> tuple | None:
    """What an evaluation's job has in common with the others of the job; None for a model behind a server."""
    organism, seed, stage, step = at
    if plan.config.organisms[organism].api:
        return None
    chain = plan.chains.get((organism, plain_stage(stage)))
    if plan.config.generation.backend == "vllm" and not is_steered(stage):
        ended = chain or plan.last_chain(organism)
        whole = ended is not None and ended.recipe is not None and ended.recipe.lora is None
        return plan.model_record(organism, ended, seed), (at if whole else None)
    return organism, seed, stage, chain.segment(step)[-1] if chain else step


def set_sizes(plan: Plan) -> dict[str, int]:
    """Question set -> responses of one checkpoint under one condition."""
    sets = {name: plan.config.question_sets[name] for name in plan.config.evaluation.question_sets}
    found = {name: load_questions(entry.path, entry.samples, entry.exclude) for name, entry in sets.items()}
    return {name: sum(q.samples * len(q.paraphrases) for q in questions) for name, questions in found.items()}


def answers(plan: Plan, sizes: dict[str, int], at: Address) -> list[tuple[int, int]]:
    """(responses, most new tokens of each) of an evaluation, by condition and question set. `sizes`: of `set_sizes`."""
    sets, asked = plan.config.question_sets, plan.asked(at).values()
    return [(size, sets[name].max_new_tokens) for how in asked for name, size in sizes.items() if is_asked(how, name)]


def read(plan: Plan) -> list[tuple[str, str]]:
    """(folder of its job, file in it) of every checkpoint that a reading reads."""
    readings = plan.config.activations.readings
    return [plan.reading_file(name, at) for name in readings for at in plan.readings(name)]


def jobs(plan: Plan) -> dict[str, int]:
    """Rule -> jobs of a whole run, of the rules whose jobs grow with the study; a rule without jobs is left out."""
    config, chains, at = plan.config, list(plan.chains.values()), evaluations(plan)
    trained = [chain for chain in chains if chain.recipe]
    groups = {asked_in(plan, each) for each in at} - {None}
    engines = {group for group in groups if len(group) == 2}
    dear = sum(asks_at_once(config.judges[name]) for name in config.evaluation.judges)
    organisms = len({chain.organism for chain in chains})
    found = {
        "base_model": len({plan.base_model(name) for name, entry in config.organisms.items() if not entry.api}),
        "training_set": len(config.training_sets),
        "data_card": len(config.training_sets),
        "training_check": len({(plan.base_model(chain.organism), chain.stage.recipe) for chain in trained}),
        "train": sum(len(chain.segments) * len(seeds(plan, chain)) for chain in trained),
        "merge_adapter": sum(len(seeds(plan, chain)) for chain in trained if chain.stage.start == "merge"),
        "combine_adapters": sum(len(seeds(plan, chain)) for chain in chains if chain.stage.combine),
        "read_activations": len({folder for folder, _ in read(plan)}),
        "ask_models": len(groups - engines),
        "ask_engine": len(engines),
        "generate": len(at),
        "ask_judge": dear * len({is_steered(stage) for _, _, stage, _ in at}),
        "judge": len(at) * len(config.evaluation.judges),
        "scores": len(plan.scored()),
        "training_curve": organisms,
        "training_details": organisms,
    }
    return {rule: count for rule, count in found.items() if count}
