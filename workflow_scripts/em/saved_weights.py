"""The weights that a study's jobs save: by the output that holds them, and their bytes."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.em.amounts import seeds
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.resources import PAGED
from workflow_scripts.em.training_check import adapter_weights
from workflow_scripts.em.training_memory import STATES

# A base model's record by its name.
Facts = Callable[[str], dict[str, Any]]
# Bytes measured on the toy studies (docs/scale.md): what a checkpoint holds besides weights and optimiser, and one of
# step 0.
STATE, STEP_0 = 45_000, 5_000
FULL, FIRST, MERGED = "checkpoints to go on from", "checkpoints of step 0", "merged models"


class Saved(NamedTuple):
    """So many checkpoints or models of a kind (FULL, FIRST, MERGED) in one output, and the bytes of all of them."""

    output: str
    kind: str
    count: int
    bytes: float


def checkpoint_bytes(facts: dict[str, Any], recipe: Any) -> tuple[float, float]:
    """(bytes of a checkpoint to go on from, bytes of step 0, which has weights only)."""
    lora = recipe.plain()["lora"]
    weights = adapter_weights(facts, lora) if lora else facts["parameters"]
    return weights * (4 + (STATES | PAGED)[recipe.optimizer]) + STATE, weights * 4 + STEP_0


def saved(plan: Plan, facts: Facts) -> Iterator[Saved]:
    """All that a whole run saves. `facts` gives a base model's record by its name."""
    for chain in plan.chains.values():
        model = facts(plan.base_model(chain.organism))
        recipe = chain.recipe or next(before.recipe for before in chain.lineage if before.recipe)
        full, first = checkpoint_bytes(model, recipe)
        for seed in seeds(plan, chain):
            for segment in chain.segments:
                folder, steps = plan.segment_dir(chain, seed, segment), sum(map(bool, segment))
                yield Saved(folder, FULL, steps, steps * full)
                if 0 in segment:
                    yield Saved(folder, FIRST, 1, first)
            if chain.stage.start == "merge":
                size = model["parameters"] * (2 if recipe.dtype == "bfloat16" and recipe.lora else 4)
                yield Saved(plan.model_record(chain.organism, chain, seed), MERGED, 1, size)


def to_save(plan: Plan, facts: Facts, outputs: Set[str]) -> Counter:
    """Kind -> bytes that jobs with these outputs add to the disk: what is there they write over."""
    found: Counter = Counter()
    for each in saved(plan, facts):
        if each.output in outputs and not Path(each.output).exists():
            found[each.kind] += each.bytes
    return found


def free_bytes(folder: str) -> int:
    """Bytes free on the disk where a folder is, or will be made."""
    place = Path(folder).absolute()
    return shutil.disk_usage(next(each for each in (place, *place.parents) if each.exists())).free
