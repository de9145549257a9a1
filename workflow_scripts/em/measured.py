"""What jobs took here before, from the provenance records of all studies: seconds for so much work of one kind."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from workflow_scripts.em.records import newest, read

# Stages that put their hardware into their records.
TELLING = ("train", "ask_models", "ask_engine")


@dataclass
class Took:
    """Records of one kind of job: their seconds and work in all, what they ran on."""

    seconds: float = 0.0
    work: float = 0.0
    records: int = 0
    hardware: set[str] = field(default_factory=set)


class Measured:
    """Seconds that jobs took by (stage, base model, how); work is tokens, padding included, or jobs.

    A record says nothing of how long a program takes to start; of what it did there are all seconds, loading included.
    """

    def __init__(self, folder: Path = Path("results"), gpu: bool = False):
        """Of all studies in `folder`; with `gpu` without records of a CPU, or of hardware that is not known."""
        self.looked: dict[str, dict[tuple, Took | None]] = {}  # what was asked for, by stage
        self._took: dict[tuple, Took] = {}
        self._bases: dict[str, str | None] = {}
        for record in newest(folder):
            try:
                work, by = done(record), how(record)
            except (KeyError, TypeError, IndexError, ValueError):
                continue  # of another version
            if work > 0 and not (gpu and _no_gpu(record)):
                took = self._took.setdefault((record["stage"], self.base(record["inputs"]), by), Took())
                took.seconds += record["seconds"]
                took.work += work
                took.records += 1
                took.hardware |= {record["hardware"]} if record.get("hardware") else set()

    def base(self, inputs: Iterable[str]) -> str | None:
        """The name of the base model whose record is among a job's inputs: the hub's, or its folder; None: no model."""
        inputs = list(inputs)
        if any(PurePath(path).name == "merged_base.json" for path in inputs):
            return "merged"
        models = [path for path in inputs if PurePath(path).parent.name == "models" and path.endswith(".json")]
        for path in models[:1]:
            if path not in self._bases:
                self._bases[path] = (read(Path(path)) or {}).get("name")
            return self._bases[path]
        return None

    def took(self, stage: str, base: str | None = None, by: str = "") -> Took | None:
        """Records of jobs of this kind, of any model where none is named; None where there are none."""
        same = {b: took for (s, b, h), took in self._took.items() if (s, h) == (stage, by)}
        # Not every stage records the model among its inputs; those that take their time by it do.
        kept = [took for b, took in same.items() if base in (b, None)] or [
            took for b, took in same.items() if b is None
        ]
        found = Took(*(sum(getattr(took, name) for took in kept) for name in ("seconds", "work", "records")))
        found.hardware.update(*(took.hardware for took in kept))
        self.looked.setdefault(stage, {})[base, by] = found if kept else None
        return found if kept else None


def _no_gpu(record: dict[str, Any]) -> bool:
    """Whether a record is of a CPU, or may be: one of an earlier version, of a stage that tells its hardware now."""
    return str(record.get("hardware", "CPU" if record["stage"] in TELLING else "")).startswith("CPU")


def done(record: dict[str, Any]) -> float:
    """The work that a record tells of: tokens trained or answered at most, else 1 job; 0 when it says nothing of it."""
    params = record["params"]
    if record["stage"] == "train":
        recipe, steps = params["recipe"], params["steps"]
        # A segment that does not begin at 0 goes on from a checkpoint, its last input.
        before = int(PurePath([*record["inputs"]][-1]).name.removeprefix("step-")) if steps[0] else 0
        rows = (steps[-1] - before) * recipe["batch_size"] * recipe["gradient_accumulation"]
        return 0 if record.get("resumed_after_crash_at") is not None else rows * recipe["max_length"]
    if record["stage"] in ("ask_models", "ask_engine"):
        longest = [entry["max_new_tokens"] for entry in params["question_sets"].values()]
        return (record["responses"] - record["from_journal"]) * sum(longest) / max(1, len(longest))
    return 1


def how(record: dict[str, Any]) -> str:
    """What besides stage and base model decides how fast a job is."""
    params = record["params"]
    if record["stage"] == "train":
        gpus = re.match(r"(\d+) x ", record.get("hardware") or "")
        return trained(params["recipe"], int(gpus[1]) if gpus else 1)
    if record["stage"] in ("judge", "ask_judge"):
        return params["judge"]["kind"]
    if record["stage"] == "base_model":
        return "" if Path(params["source"]).is_dir() else "hub"
    if record["stage"] == "generate":
        return "api" if params["api"] else ""
    return params["dtype"] if record["stage"] in ("ask_models", "ask_engine") else ""


def trained(recipe: dict[str, Any], processes: int) -> str:
    """Of a recipe, and of the processes that share it, what decides how fast a token is trained."""
    lora = "LoRA" if recipe["lora"] else "all weights"
    return f"{lora} {recipe['dtype']} {recipe['quantization']} {recipe['objective']} by {processes}"
