"""What is wrong with a recipe for a base model, found in the model's record before anything heavy runs."""

import importlib.util
from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.backends import optimises_in_bits
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError

Facts, Recipe = dict[str, Any], dict[str, Any]


def check_recipe(facts: Facts, recipe: Recipe, chats: bool, name: str) -> None:
    """Raise one UserError with all that keeps a recipe from training a base model (a record of stage `base_model`).

    `name` is the recipe's. `chats` says that the model is certain to need a chat template; raw text is trained without.
    """
    found = [*_model(facts, recipe, chats), *_adapter(facts, recipe), *_packages(recipe)]
    if found:
        raise UserError(
            "\n".join([f"recipe {name!r} does not fit base model {facts['name']}:", *(f"  {p}" for p in found)])
        )


def adapter_weights(facts: Facts, lora: dict[str, Any]) -> int:
    """Weights of a LoRA adapter: r (inputs + outputs) of each layer it is on; DoRA has a further one an output."""
    return sum(
        count * (lora["r"] * (inputs + outputs) + (outputs if lora["dora"] else 0))
        for count, inputs, outputs in adapted(facts, lora)
    )


def adapted(facts: Facts, lora: dict[str, Any]) -> Iterator[tuple[int, int, int]]:
    """(how many, inputs, outputs) of the linear layers that get an adapter."""
    for name in lora["target_modules"]:
        for run in facts["linear_modules"].get(name.rpartition(".")[2], []):
            if lora["layers"] is None:
                blocks = 1 if run["first"] is None else run["last"] - run["first"] + 1
            elif run["first"] is None:
                blocks = 0
            else:
                blocks = sum(run["first"] <= block <= run["last"] for block in set(lora["layers"]))
            yield blocks * run["each"], run["inputs"], run["outputs"]


def _model(facts: Facts, recipe: Recipe, chats: bool) -> Iterator[str]:
    if not facts["chat_template"] and (chats or recipe["objective"] == "dpo"):
        yield (
            "chat template: its tokenizer has none, so no chat can be rendered; take the chat variant of the model, or "
            "copy the model to a folder, put a chat_template.jinja into it, and give that folder as `path`"
        )
    if not (facts["pad_token"] or facts["eos_token"]):
        yield (
            "pad token: its tokenizer has neither pad nor end-of-text token, so rows cannot be padded nor texts ended; "
            "copy the model to a folder, set both in its tokenizer_config.json, and give that as `path`"
        )
    if facts["quantized"]:
        yield (
            f"weights: they are stored quantised ({facts['quantized']}) and cannot be trained so; take the model they "
            "were made from, with `quantization: nf4` in the recipe"
        )
    longest = facts["max_positions"]
    if longest is not None and recipe["max_length"] > longest:
        yield f"max_length: {recipe['max_length']} is more than the model's {longest} positions; lower it"


def _adapter(facts: Facts, recipe: Recipe) -> Iterator[str]:
    lora = recipe["lora"]
    if lora is None:
        return
    known = sorted(facts["linear_modules"])
    absent = [name for name in lora["target_modules"] if name.rpartition(".")[2] not in known]
    if absent:
        hints = "; ".join(did_you_mean(name, known) for name in absent) if len(absent) == 1 else ""
        yield (
            f"lora.target_modules: it has no linear layer {', '.join(absent)}"
            f"{f'; {hints}' if hints.startswith('did') else ''}; it has {', '.join(known) or 'none'}"
        )
    blocks = facts["layers"]
    beyond = [layer for layer in lora["layers"] or () if blocks is not None and layer >= blocks]
    if beyond:
        yield f"lora.layers: {beyond} is beyond its {blocks} block(s), which are counted from 0"
    if absent or beyond:
        return
    weights = adapter_weights(facts, lora)
    if weights == 0:
        yield f"lora.layers: blocks {lora['layers']} have none of {', '.join(lora['target_modules'])}"
    elif lora["budget"] is not None and lora["budget"] > weights:
        yield f"lora.budget: {lora['budget']:,} is more than the {weights:,} weights of the adapter; lower it"


def _packages(recipe: Recipe) -> Iterator[str]:
    needed = {}
    if recipe["backend"] == "unsloth":
        needed["unsloth"] = "backend: unsloth runs on a GPU machine with unsloth installed; or use `backend: peft`"
    if recipe["quantization"]:
        needed["bitsandbytes"] = f"quantization: {recipe['quantization']} is bitsandbytes'; install it, or leave it out"
    elif optimises_in_bits(recipe["optimizer"]):
        needed["bitsandbytes"] = f"optimizer: {recipe['optimizer']} is bitsandbytes'; install it, or use adamw_torch"
    for package, text in needed.items():
        if importlib.util.find_spec(package) is None:
            yield f"{text} ({package} is not installed where this check ran)"
