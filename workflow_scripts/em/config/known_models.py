"""Sizes of the models that a config names, where they are known before anything is made."""

import json
from pathlib import Path
from typing import Any

from workflow_scripts.em.config.activations import Direction, Reading
from workflow_scripts.em.config.data import BaseModel
from workflow_scripts.em.config.problems import entries, parsed
from workflow_scripts.em.layers import layers_of
from workflow_scripts.em.toy.sizes import SIZES


def base_of(raw: dict[str, Any], organism: str) -> str | None:
    """Name of the base model an organism goes back to; None where it says none."""
    known, seen = entries(raw, "organisms"), []
    while organism in known and organism not in seen and known[organism].get("from_organism") is not None:
        seen.append(organism)
        organism = str(known[organism]["from_organism"])
    named = known.get(organism, {}).get("base_model")
    return None if named is None else str(named)


def bases_of(raw: dict[str, Any], direction: str) -> set[str | None]:
    """Names of the base models that a direction's sides go back to; empty where there is no such direction."""
    found = parsed(Direction, entries(raw.get("activations"), "directions").get(direction))
    return set() if found is None else {base_of(raw, side.organism) for side in (found.a, found.b)}


def layers_read(raw: dict[str, Any], reading: Reading, organism: str) -> list[int] | None:
    """The layers that a reading has of an organism's model; None for all of a model that only the hub knows."""
    if reading.layers != "all":
        return reading.layers
    blocks = (sizes_of(raw, organism) or {}).get("layers")
    return None if blocks is None else layers_of(reading.convention, blocks)


def sizes_of(raw: dict[str, Any], organism: str) -> dict[str, int | None] | None:
    """{layers, hidden} of the model an organism goes back to; None where only the hub knows, or nothing is there."""
    base = parsed(BaseModel, entries(raw, "base_models").get(str(base_of(raw, organism))))
    if base is None or base.hub:
        return None
    if base.toy:
        return SIZES[base.toy.size]
    try:
        config = json.loads((Path(base.path) / "config.json").read_text(encoding="utf-8"))
        config |= config.get("text_config") or {}
        names = {"layers": ("num_hidden_layers", "n_layer"), "hidden": ("hidden_size", "n_embd")}
        return {size: next(filter(None, map(config.get, spelt)), None) for size, spelt in names.items()}
    except (OSError, ValueError):
        return None
