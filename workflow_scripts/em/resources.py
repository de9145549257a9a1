"""What a job needs of a machine, estimated from its model's size before it starts (docs/cluster.md has the formulas).

Memory is what a job takes at its peak; time is that of a slow GPU with a margin, for a limit that cuts a job is dear.
"""

import math
from dataclasses import dataclass
from typing import Any

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.model_sizes import Facts
from workflow_scripts.em.training_memory import GIB, SIZES, STATES, WORKSPACE, training_bytes

# Python, torch, and with a GPU its driver's context and libraries.
HOST_BYTES = {True: 6 * GIB, False: 2 * GIB}
# The largest file of a model's weights: quantised layer by layer, only so much is on the host at once.
SHARD = 5e9
# Bytes of optimiser state a trained weight that are on the host where they are paged out.
PAGED = {"paged_adamw_8bit": STATES["adamw_8bit"], "paged_adamw_32bit": 8.0}
# Responses of an in-process batch that there is to be room for (a batch is halved where memory is short); tokens of a
# prompt; tokens of an engine's cache.
ROOM, PROMPT, CACHED = 32, 512, 16_384
# Sums a second and bytes read from memory a second, of a slow GPU and of one core; and of a slow network disk.
SUMS = {True: {"float32": 10e12, "bfloat16": 40e12}, False: {"float32": 20e9, "bfloat16": 10e9}}
READ = {True: 0.6e12, False: 10e9}
DISK = 100e6
# A block's kernels are started one after the other.
BLOCK_S = 1e-3
START_S, MARGIN, LEAST_MIN = 300.0, 2.0, 30


@dataclass(frozen=True)
class Need:
    """Peak bytes on each GPU (0 without one) and of the host, and seconds of work besides starting."""

    gpu_bytes: float
    host_bytes: float
    seconds: float


def training(facts: Facts, recipe: dict[str, Any], settings: dict[str, Any], steps: int, gpu: bool) -> Need:
    """Training `steps` optimiser steps; `settings` is the config's `training`."""
    peak, weights = training_bytes(facts, recipe, settings)["total"], facts["parameters"]
    if gpu:
        # A model is loaded on the host; so is the optimiser's state to go on from, or what is paged out of the GPU.
        if recipe["quantization"]:
            loaded = min(SHARD, 2 * weights)
        else:
            loaded = weights * (SIZES[recipe["dtype"]] if recipe["lora"] else 4)
        state = 0 if recipe["lora"] else weights * (STATES | PAGED)[recipe["optimizer"]]
        host = HOST_BYTES[True] + settings["processes"] * (loaded + state)
    else:
        host = HOST_BYTES[False] + settings["processes"] * peak
    rows = steps * recipe["batch_size"] * recipe["gradient_accumulation"]
    rows *= 4 if recipe["objective"] == "dpo" else 2 if recipe["kl"] else 1
    # Forward 2, backward 4, and 2 to compute activations again, of each weight and token.
    seconds = 8 * weights * rows * recipe["max_length"] / SUMS[gpu][recipe["dtype"]]
    return Need(peak * gpu, host, seconds / (settings["processes"] if gpu else 1))


def answering(facts: Facts, dtype: str, batch: int, asked: list[tuple[int, int]], gpu: bool) -> Need:
    """Generating in process. `asked`: (responses, most new tokens of one) each."""
    size, together = SIZES[dtype], min(batch, ROOM)
    weights, longest = facts["parameters"] * size, max((new for _, new in asked), default=0)
    row = (PROMPT + longest) * cache_bytes(facts, size) + (facts["vocabulary"] or 0) * (size + 12)
    peak = weights + together * row + 2 * WORKSPACE
    # In float32 adapters are merged, and the weights they change are kept beside.
    host = HOST_BYTES[gpu] + weights * (2 if dtype == "float32" else 1) + (0 if gpu else together * row)
    passes = sum(math.ceil(responses / batch) * new for responses, new in asked)
    return Need(peak * gpu, host, passes * _pass(facts, dtype, batch, gpu))


def serving(facts: Facts, dtype: str, engine: dict[str, Any], gpus: int, tokens: int, gpu: bool) -> Need:
    """An engine that writes so many tokens; `engine` has memory_share."""
    size = SIZES[dtype]
    weights = facts["parameters"] * size
    peak = ((weights + CACHED * cache_bytes(facts, size)) / gpus + 4 * WORKSPACE) / engine["memory_share"]
    host = HOST_BYTES[gpu] * (1 + gpus) / 2 + weights
    return Need(peak * gpu, host if gpu else host + peak, tokens / 128 * _pass(facts, dtype, 128, gpu) / gpus)


def reading(facts: Facts, dtype: str, batch: int, tokens: int, gpu: bool) -> Need:
    """One pass over so many tokens, in process."""
    need = answering(facts, dtype, batch, [(0, PROMPT)], gpu)
    return Need(need.gpu_bytes, need.host_bytes, 2 * facts["parameters"] * tokens / SUMS[gpu][dtype])


def merging(facts: Facts, gpu: bool) -> Need:
    """Adding an adapter to all weights: in float32, whatever they are saved in."""
    weights = 4 * facts["parameters"]
    return Need((weights + WORKSPACE) * gpu, HOST_BYTES[gpu] + weights * (1 if gpu else 1.5), 2 * weights / DISK)


def cache_bytes(facts: Facts, size: int) -> float:
    """Bytes of keys and values that a token leaves behind."""
    runs = [run for name in ("k_proj", "v_proj") for run in facts["linear_modules"].get(name, [])]
    width = sum((run["last"] - run["first"] + 1) * run["outputs"] for run in runs if run["first"] is not None)
    return size * (width or 2 * (facts["layers"] or 1) * (facts["hidden"] or 0))


def _pass(facts: Facts, dtype: str, batch: int, gpu: bool) -> float:
    """Seconds for one more token of each of a batch."""
    read, summed = facts["parameters"] * SIZES[dtype] / READ[gpu], 2 * facts["parameters"] * batch / SUMS[gpu][dtype]
    return max(read, summed, (facts["layers"] or 1) * BLOCK_S)


def requested(need: Need, facts: Facts, given: dict[str, Any] | None, attempt: int) -> dict[str, int]:
    """Snakemake's resources of a job: gpu_memory_gb (10^9 bytes a GPU), mem_mb, runtime (minutes).

    `given`: a base model's `resources`, which win where they say something. A job that was cut off gets more of what it
    may have lacked: memory of the host by half, and time by one, more with each attempt.
    """
    given = {name: value for name, value in (given or {}).items() if value is not None}
    start = START_S + 2 * facts["parameters"] / DISK
    memory = given.get("memory_gb", need.host_bytes / 1e9)
    minutes = 60 * given["hours"] if "hours" in given else max(LEAST_MIN, MARGIN * (start + need.seconds) / 60)
    return {
        "gpu_memory_gb": math.ceil(given.get("gpu_memory_gb", need.gpu_bytes / 1e9)),
        "mem_mb": math.ceil(1000 * memory * (1 + attempt) / 2),
        "runtime": math.ceil(minutes * attempt),
    }


def gpu_model(models: str, gigabytes: float, attempt: int) -> str:
    """The smallest GPU of `models` ("24:rtx4090,80:h100") with so much memory, or the largest; the next with each try.

    Raises UserError when `models` has another form.
    """
    try:
        known = sorted(
            (float(memory), name.strip()) for memory, name in (part.split(":") for part in models.split(","))
        )
    except ValueError:
        raise UserError(f"gpu_models: {models!r} is no list of gigabytes:name, such as 24:rtx4090,80:h100") from None
    first = next((place for place, (memory, _) in enumerate(known) if memory >= gigabytes), len(known))
    return known[min(first + attempt - 1, len(known) - 1)][1]
