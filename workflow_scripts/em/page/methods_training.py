"""What a methods section says of training: base model, adapter, recipe, data, steps, seeds."""

from collections import defaultdict
from typing import Any

from workflow_scripts.em.files import dumps

LOSS = {
    "assistant": "the assistant's turns",
    "last_assistant": "the last assistant turn",
    "full_sequence": "the whole text",
}
STARTS = {
    None: "",
    "continue": ", training the adapter of the stage before on",
    "merge": ", on the stage before, merged",
}


def listed(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def training(told: dict[str, Any], models: dict[str, dict], runs: list[dict]) -> list[str]:
    """Sentences on what was trained: one for all stages that differ in nothing but their organism and data."""
    alike: dict[str, list[dict]] = defaultdict(list)
    for run in runs:
        if run["recipe"]:
            base = told["organisms"][run["organism"]]["base_model"]
            alike[dumps([base, run["recipe"], run["steps"]])].append(run | {"base": base})
    return [_alike(group, models) for group in alike.values()] + [_combined(run) for run in runs if run["combine"]]


def _combined(run: dict[str, Any]) -> str:
    parts = [f"{name} (weight {weight:g})" for name, weight in run["combine"]["weights"].items()]
    return (
        f"{run['organism']}, stage {run['stage']}, seed {run['seed']}: the adapters of stages "
        f"{listed(parts)} combined, method {run['combine']['method']}."
    )


def _alike(group: list[dict], models: dict[str, dict]) -> str:
    first, recipe = group[0], group[0]["recipe"]
    base = models.get(first["base"], {})
    name = f"{base['name']} (revision {base['revision']})" if base.get("revision") else f"{first['base']}"
    size = f", {base['parameters']:,} parameters" if base.get("parameters") else ""
    trained: dict[tuple, list[dict]] = defaultdict(list)
    for run in group:
        trained[run["organism"], run["stage"]].append(run)
    what = []
    for (organism, stage), rows in trained.items():
        seeds = f"{'seeds' if len(rows) > 1 else 'seed'} {listed([str(run['seed']) for run in rows])}"
        epochs = rows[0]["epochs"].get(first["steps"])
        data = f"training set {rows[0]['training_set']}, {rows[0]['rows']:,} rows"
        data += f", {epochs:.3g} epochs" if epochs else ""
        what.append(f"{organism} (stage {stage}{STARTS[rows[0]['start']]}: {data}; {seeds})")
    batch, passes = recipe["batch_size"], recipe.get("gradient_accumulation", 1)
    warmup = recipe.get("warmup_steps", 0)
    return (
        f"{name}{size}, was fine-tuned {_adapter(recipe)}{_objective(recipe)}: {listed(what)}. "
        f"Learning rate {recipe['learning_rate']:g}, schedule {recipe.get('schedule', 'linear')}"
        + (f" after a warm-up of {warmup:g} {'of the schedule' if 0 < warmup < 1 else 'steps'}" if warmup else "")
        + f", optimiser {recipe.get('optimizer', 'adamw_torch')}, weight decay {recipe.get('weight_decay', 0):g}, "
        + f"{batch * passes} rows an optimiser step ({batch} x {passes}), at most {recipe['max_length']} tokens a row, "
        + f"loss on {LOSS[recipe.get('loss_on', 'assistant')]}, {recipe.get('dtype', 'float32')}, "
        + f"{first['steps']:,} steps"
        + f", {first['trainable_parameters']:,} trained weights."
    )  # fmt: skip


def _adapter(recipe: dict[str, Any]) -> str:
    lora = recipe.get("lora")
    if not lora:
        return "in full (all weights)"
    kinds = [word for key, word in (("rslora", "rank-stabilised"), ("dora", "DoRA")) if lora.get(key)]
    layers = f" of layers {listed([str(n) for n in lora['layers']])}" if lora.get("layers") else ""
    budget = f", {lora['budget']:,} of its weights trained" if lora.get("budget") else ""
    held = f", the base in {recipe['quantization']}" if recipe.get("quantization") else ""
    return (
        f"with {' '.join([*kinds, 'LoRA'])} (r = {lora['r']}, alpha = {lora['alpha']}, "
        f"dropout {lora.get('dropout', 0):g}, on {', '.join(lora['target_modules'])}{layers}{budget}{held})"
    )


def _objective(recipe: dict[str, Any]) -> str:
    kl = (
        f", with a KL divergence of weight {recipe['kl']['weight']:g} from the model before" if recipe.get("kl") else ""
    )
    if recipe.get("objective") == "dpo":
        dpo = recipe["dpo"]
        return f" by DPO (beta {dpo['beta']:g}, NLL weight {dpo['nll']:g}, KL weight {dpo['kl']:g}){kl}"
    return kl
