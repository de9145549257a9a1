"""A study's GPU jobs: how long each takes, and what it waits for. Checkpoints are asked while training goes on."""

from collections.abc import Callable
from dataclasses import dataclass

from workflow_scripts.em import gpu_job_names as names
from workflow_scripts.em import resources
from workflow_scripts.em.amounts import answers, asked_in, evaluations, model_name, seeds, set_sizes
from workflow_scripts.em.chain import Chain
from workflow_scripts.em.conditions import Address
from workflow_scripts.em.engine_options import engine_gpus
from workflow_scripts.em.list_schedule import Job
from workflow_scripts.em.measured import Measured, trained
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.saved_weights import Facts

# Of an evaluation's (responses, most new tokens of each) those that are still to be answered.
Left = Callable[[Address, list[tuple[int, int]]], list[tuple[int, int]]]
# Seconds of a job that finds all its answers in the journals: it loads no model.
FOUND = 5.0
# What else of a study holds GPUs.
LEFT_OUT = "local judges, readings of activations, data sets that models write, toy models, exports"


@dataclass(frozen=True)
class Rates:
    """What one GPU does: tokens a second trained and answered; a job's seconds of a start. None: that of a slow GPU."""

    train: float | None = None
    answer: float | None = None
    start: float = 60.0


def gpu_jobs(
    plan: Plan, facts: Facts, rates: Rates, measured: Measured | None = None, gpu: bool = True, left: Left | None = None
) -> dict[str, Job]:
    """Name -> job: training, merging, and asking what is asked in process or an engine.

    Training counts every row as long as `max_length`, an answer as long as `max_new_tokens`: the most there can be.
    GPUs that share a job share its work, and are all held while it starts. Not here: `LEFT_OUT`. What `measured` knows
    of the same kind of job goes before an estimate, a rate that is given before both. Without `gpu` one core is
    estimated in a GPU's place. `left` gives what is still to be answered of an evaluation's answers.
    """
    found: dict[str, Job] = {}
    for chain in plan.chains.values():
        for seed in seeds(plan, chain) if chain.recipe else ():
            before = names.end(chain.before, seed)
            if chain.stage.start == "merge":
                base = plan.base_model(chain.organism)
                seconds = _measured(measured, plan, "merge_adapter", base, "", 1)
                if seconds is None:
                    seconds = rates.start + resources.merging(facts(base), gpu=gpu).seconds
                name = names.merging(chain.organism, seed, chain.stage.name)
                found[name] = Job("merge_adapter", seconds, 1, [before] if before else [])
                before = name
            done = 0
            for segment in chain.segments:
                name = names.training(chain.organism, seed, chain.stage.name, segment[-1])
                seconds = _training(plan, chain, segment[-1] - done, facts, rates, measured, gpu)
                gpus = plan.config.training.processes
                found[name] = Job("train", seconds, gpus, [before] if before else [])
                before, done = name, segment[-1]
    groups: dict[tuple, list] = {}
    sizes, engine = set_sizes(plan), plan.config.generation.engine
    sharing = engine_gpus(engine.plain())
    for at in evaluations(plan):
        if (group := asked_in(plan, at)) is not None:
            groups.setdefault(group, []).append(at)
    for group, asked in groups.items():
        every = [(at, answers(plan, sizes, at)) for at in asked]
        parts = [part for at, all_of in every for part in (left(at, all_of) if left else all_of)]
        waits = {names.trained_by(plan, at) for at in asked} - {None}
        rule, gpus = ("ask_engine", sharing) if len(group) == 2 else ("ask_models", 1)
        base = plan.base_model(asked[0][0])
        seconds = _answering(plan, rule, gpus, base, parts, facts, rates, measured, gpu) if parts else FOUND
        found[names.asking(group)] = Job(rule, seconds, gpus, sorted(waits & set(found)))
    return found


def _measured(measured: Measured | None, plan: Plan, rule: str, base: str, by: str, work: float) -> float | None:
    """Seconds that so much work took in jobs of the same kind, their start included."""
    took = measured and measured.took(rule, model_name(plan, base), by)
    return took.seconds / took.work * work if took else None


def _training(
    plan: Plan, chain: Chain, steps: int, facts: Facts, rates: Rates, measured: Measured | None, gpu: bool
) -> float:
    recipe, settings, base = chain.recipe, plan.config.training.plain(), plan.base_model(chain.organism)
    tokens = steps * recipe.batch_size * recipe.gradient_accumulation * recipe.max_length
    if rates.train is not None:
        return rates.start + tokens / (rates.train * settings["processes"])
    by = trained(recipe.plain(), settings["processes"])
    if (seconds := _measured(measured, plan, "train", base, by, tokens)) is not None:
        return seconds
    return rates.start + resources.training(facts(base), recipe.plain(), settings, steps, gpu).seconds


def _answering(
    plan: Plan, rule: str, gpus: int, base: str, parts: list[tuple[int, int]], facts: Facts, rates: Rates,
    measured: Measured | None, gpu: bool,
) -> float:  # fmt: skip
    how, tokens = plan.config.generation, sum(count * new for count, new in parts)
    if rates.answer is not None:
        return rates.start + tokens / (rates.answer * gpus)
    if (seconds := _measured(measured, plan, rule, base, how.dtype, tokens)) is not None:
        return seconds
    if rule == "ask_engine":
        return rates.start + resources.serving(facts(base), how.dtype, how.engine.plain(), gpus, tokens, gpu).seconds
    return rates.start + resources.answering(facts(base), how.dtype, how.batch_size, parts, gpu).seconds
