"""Cross-checks of the stages of organisms: how each starts, what it combines, and which steps it has."""

from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.config.problems import Problem, dicts, entries, parsed
from workflow_scripts.em.config.study import Stage
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.config.training import Lora, Recipe
from workflow_scripts.em.config.training_set import TrainingSet
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.steps import checkpoint_steps, horizon


def stage_problems(raw: dict) -> Iterator[Problem]:
    """Problems of all stages, as (key, message)."""
    for name, organism in entries(raw, "organisms").items():
        parent = organism.get("from_organism")
        if parent is not None and not (isinstance(parent, str) and parent in entries(raw, "organisms")):
            continue  # a misspelt parent is reported already; nothing is known of what its stages follow
        earlier = stages_of(raw, parent, {name})
        for i, stage_raw in dicts(organism.get("stages")):
            where, stage = f"organisms.{name}.stages[{i}]", parsed(Stage, stage_raw)
            if stage is not None:
                check = _combination if stage.combine else _trained
                yield from ((f"{where}.{key}", text) for key, text in check(raw, stage, earlier))
            earlier = [*earlier, stage_raw]


def stages_of(raw: dict, organism: Any, seen: set[str]) -> list[dict]:
    """All raw stages an organism went through, its ancestors' included, earliest first."""
    entry = entries(raw, "organisms").get(organism) if isinstance(organism, str) else None
    if entry is None or organism in seen:
        return []
    own = [stage for _, stage in dicts(entry.get("stages"))]
    return [*stages_of(raw, entry.get("from_organism"), seen | {organism}), *own]


def _recipe(raw: dict, stage: dict | None) -> Recipe | None:
    return parsed(Recipe, entries(raw, "recipes").get(str((stage or {}).get("recipe"))))


def _combination(raw: dict, stage: Stage, earlier: list[dict]) -> Iterator[Problem]:
    names = [str(found.get("name")) for found in earlier]
    loras = []
    # The sum lies on the base of its earliest part, whatever the order of the weights.
    base = min((names.index(name) for name in stage.combine.weights if name in names), default=0)
    for name in stage.combine.weights:
        where = f"combine.weights.{name}"
        if name not in names:
            yield where, f"not an earlier stage of this organism; {did_you_mean(name, names)}"
            continue
        if names.count(name) > 1:
            yield where, "several earlier stages have this name; rename them"
        found = earlier[names.index(name)]
        recipe = _recipe(raw, found)
        if found.get("combine") or (recipe and recipe.lora is None):
            yield where, "not a stage that trains an adapter (`lora`)"
        elif recipe:
            loras.append(recipe.lora)
        held, under = _below(earlier, names.index(name))
        if twice := sorted(held & set(stage.combine.weights)):
            yield where, f"it goes on with the adapter of {twice}, which it holds already; name only one of them"
        if lost := sorted(under - set(stage.combine.weights) - _below(earlier, base)[1]):
            yield where, f"it was trained on top of {lost}, which the sum would lack; name it too"
    yield from _unlike(stage, loras)
    if isinstance(stage.evaluate, list) and set(stage.evaluate) - {0}:
        yield "evaluate", "a combination has one checkpoint, step 0"


def _below(earlier: list[dict], at: int) -> tuple[set[str], set[str]]:
    """(stages whose adapter the one at `at` goes on with, stages that are merged into its base)."""
    held: set[str] = set()
    while at > 0 and earlier[at].get("start") == "continue":
        at -= 1
        held.add(str(earlier[at].get("name")))
    return held, {str(found.get("name")) for found in earlier[:at]}


def _unlike(stage: Stage, loras: list[Lora]) -> Iterator[Problem]:
    """What keeps adapters from being summed."""
    ranks = sorted({lora.r for lora in loras})
    if stage.combine.method == "linear" and len(ranks) > 1:
        yield "combine.method", f"linear needs adapters of one rank (these have {ranks}); use cat"
    if any(lora.dora for lora in loras):
        yield "combine.weights", "a DoRA adapter cannot be summed; train its stage without `lora.dora`"
    if len({(tuple(sorted(lora.target_modules)), tuple(lora.layers or ())) for lora in loras}) > 1:
        yield "combine.weights", "the adapters are on different target_modules or layers; give their recipes the same"


def _trained(raw: dict, stage: Stage, earlier: list[dict]) -> Iterator[Problem]:
    recipe = parsed(Recipe, entries(raw, "recipes").get(stage.recipe))
    yield from _start(raw, stage, recipe, earlier)
    if recipe and recipe.kl is not None and stage.kl_training_set is None:
        yield "kl_training_set", f"recipe {stage.recipe!r} has `kl`: name the training set it keeps answers on"
    if recipe and recipe.kl is None and stage.kl_training_set is not None:
        yield (
            "kl_training_set",
            f"recipe {stage.recipe!r} has no `kl`; give it one, or remove this",
        )
    processes = raw["training"].get("processes", 1) if isinstance(raw.get("training"), dict) else 1
    if recipe and isinstance(processes, int) and processes > 1 and recipe.gradient_accumulation % processes:
        yield (
            "recipe",
            (
                f"training.processes ({processes}) share the {recipe.gradient_accumulation} forward passes of a "
                "step (gradient_accumulation): make that a multiple"
            ),
        )
    training_set = parsed(TrainingSet, entries(raw, "training_sets").get(stage.training_set))
    if recipe is None or training_set is None:
        return
    try:
        steps = checkpoint_steps(stage, recipe, training_set)
    except UserError as error:
        yield "checkpoints", str(error)
        return
    length = horizon(stage, recipe, steps)
    if length is not None and recipe.warmup_steps >= length:
        yield "recipe", f"its warmup_steps ({recipe.warmup_steps}) reach the end of the schedule ({length} steps)"
    if stage.max_steps is not None and steps[-1] > stage.max_steps:
        yield "checkpoints", f"step {steps[-1]} is beyond the last step ({stage.max_steps}, from `max_steps`)"
    if isinstance(stage.evaluate, list):
        for step in sorted(set(stage.evaluate) - {0, *steps}):
            why = (
                f"beyond the last step ({steps[-1]})"
                if step > steps[-1]
                else f"not a checkpoint (those are 0, {_list(steps)})"
            )
            yield "evaluate", f"step {step} is {why}"


def _start(raw: dict, stage: Stage, recipe: Recipe | None, earlier: list[dict]) -> Iterator[Problem]:
    if not earlier:
        if stage.start is not None:
            yield "start", "there is no earlier stage to start from; remove it"
        return
    if stage.start is None:
        yield "start", "say how it starts from the earlier stage: `continue` (its adapter) or `merge` (into the base)"
    before = _recipe(raw, earlier[-1])
    if stage.start == "continue" and earlier[-1].get("combine"):
        yield "start", "a combination of adapters cannot be trained on; use `merge`"
    elif stage.start == "continue" and recipe and before and recipe.lora != before.lora:
        yield "start", "`continue` needs the same `lora` as the earlier stage's recipe; use `merge`"
    elif stage.start == "continue" and recipe and (recipe.objective == "dpo" or recipe.kl):
        yield "start", "dpo and kl compare with the model before the stage, which `continue` does not keep; use `merge`"


def _list(steps: tuple[int, ...]) -> str:
    return ", ".join(map(str, steps if len(steps) < 9 else [*steps[:7], "...", steps[-1]]))
