"""The shape of a model of which only the size or the name is known: for estimates before its record is made."""

import re
from typing import Any

from workflow_scripts.em.errors import UserError

Facts = dict[str, Any]
# Of models whose record is not made yet the next larger of these stands for the shape (their own config.json):
# 10^9 parameters -> layers, hidden, inner width, width of keys, vocabulary.
SHAPES = {
    0.5: (24, 896, 4864, 128, 151936),
    1.3: (16, 2048, 8192, 512, 128256),
    3.3: (28, 3072, 8192, 1024, 128256),
    8.1: (32, 4096, 14336, 1024, 128256),
    14.8: (48, 5120, 13824, 1024, 152064),
    32.8: (64, 5120, 27648, 1024, 152064),
    70.6: (80, 8192, 28672, 1024, 128256),
}
# A model whose name does not say its size.
UNKNOWN = 8.0e9


def named_size(name: str) -> float | None:
    """Parameters that a model's name tells (Qwen2.5-14B, 0.5b, Mixtral-8x7B, 135M); None where it does not."""
    found = re.search(r"(?<![\w.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", name.rpartition("/")[2], re.I)
    if found is None:
        return None
    return int(found[1] or 1) * float(found[2]) * (1e9 if found[3].lower() == "b" else 1e6)


def shaped(layers: int, hidden: int, inner: int, keys: int, vocabulary: int, parameters: float | None = None) -> Facts:
    """The facts of a Llama-like model, as far as estimates ask for them (see `model_facts.read_facts`)."""
    widths = {"q": (hidden, hidden), "k": (hidden, keys), "v": (hidden, keys), "o": (hidden, hidden)}
    widths |= {"gate": (hidden, inner), "up": (hidden, inner), "down": (inner, hidden)}
    counted = layers * sum(inputs * outputs for inputs, outputs in widths.values()) + 2 * hidden * vocabulary
    runs = {
        f"{name}_proj": [{"first": 0, "last": layers - 1, "each": 1, "inputs": inputs, "outputs": outputs}]
        for name, (inputs, outputs) in widths.items()
    }
    known = {"layers": layers, "hidden": hidden, "heads": max(1, hidden // 64), "vocabulary": vocabulary}
    return known | {"experts_per_token": None, "parameters": parameters or counted, "linear_modules": runs}


def complete(record: Facts) -> Facts:
    """The record, if it says all that estimates ask for. Raises UserError for one of an earlier version."""
    absent = [name for name in shaped(1, 1, 1, 1, 1) if name not in record]
    if absent:
        raise UserError(f"model record of {record.get('name')}: {', '.join(absent)} missing; delete it and run again")
    return record


def sized(parameters: float) -> Facts:
    """The facts of a model of which only the size is known."""
    shape = next((SHAPES[size] for size in SHAPES if parameters <= size * 1e9), SHAPES[max(SHAPES)])
    return shaped(*shape, parameters=parameters)
