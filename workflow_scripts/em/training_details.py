"""How an organism was trained, in Markdown: from provenance records, logs and data cards alone. It quotes no row."""

from pathlib import Path
from typing import Any

from tabulate import tabulate

from workflow_scripts.em.files import read_json, read_jsonl
from workflow_scripts.em.stats.tables import cell

STARTS = {
    "continue": "It goes on from the weights that the stage before ended with.",
    "merge": "The stage before was merged into the base; this one trains on top of that.",
}


def data_sets(stages: list[dict[str, Any]]) -> list[str]:
    """Training sets of stages, each once."""
    named = [stage[key] for stage in stages for key in ("training_set", "kl_training_set")]
    return list(dict.fromkeys(name for name in named if name))


def read_run(organisms: Path, stage: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the segments of one stage (see `em.exports.facts`) and training seed recorded.

    `seconds` are those of the jobs, loading included, `training_seconds` those between optimiser steps; `losses` and
    `epochs` are by checkpoint. Raises UserError when a record is missing.
    """
    places = [organisms / stage["organism"] / f"seed-{seed}" / stage["stage"] / f"to-{end}" for end in stage["ends"]]
    records = [read_json(place / "provenance.json") for place in places]
    rows = {row["step"]: row for place in places for row in read_jsonl(place / "log.jsonl")}
    saved = {step: place for place, r in zip(places, records, strict=True) for step in r["params"].get("steps", [0])}
    states = {step: read_json(place / f"step-{step}/trainer_state.json") for step, place in saved.items() if step}
    return {
        "recipe": records[0]["params"].get("recipe"),
        "steps": max(saved),
        "rows": records[-1].get("rows"),
        "trainable_parameters": records[-1].get("trainable_parameters"),
        "tokens": sum(row.get("tokens") or 0 for row in rows.values()),
        "training_seconds": sum(row.get("seconds") or 0 for row in rows.values()),
        "seconds": sum(record["seconds"] for record in records),
        "peak_memory_mib": max(record["peak_memory_mib"] for record in records),
        "hardware": sorted({record["hardware"] for record in records if record.get("hardware")}),
        "losses": {step: rows[step]["loss"] for step in saved if step in rows},
        "epochs": {step: state["epoch"] for step, state in states.items()},
        "versions": [record["versions"] for record in records],
        "commits": [record["git_commit"] for record in records],
    }


def training_details(plan: dict[str, Any], base: dict[str, Any], cards: dict[str, dict], organisms: Path) -> str:
    """The whole page for an organism (see `em.exports.details`) and all its training seeds.

    `base` is the record of its base model, `cards` the data cards' numbers by training set, `organisms` the folder
    with all organisms' segments.
    """
    stages = plan["stages"]
    runs = [{seed: read_run(organisms, stage, seed) for seed in plan["seeds"]} for stage in stages]
    origin = f"Base model: {base_line(plan['base_model'], base)}."
    if plan["from_organism"]:
        origin += (
            f" It starts from the end of organism `{plan['from_organism']}`, which has training details of its own."
        )
    blocks = [f"# Training details: {plan['organism']}", origin]
    for stage, run in zip(stages, runs, strict=True):
        blocks += stage_blocks(stage, run, cards)
    flat = [run for of_stage in runs for run in of_stage.values()]
    return "\n\n".join([*blocks, "## Versions", versions(flat)]) + "\n"


def base_line(name: str, base: dict[str, Any]) -> str:
    """A base model in a line: its hub id and commit, or its name in the study; and the digest of its files."""
    at = f"`{base['name']}` at revision `{base['revision']}`" if base["revision"] else f"`{name}` (not from the hub)"
    return f"{at}, digest of its files `{base['digest']}`"


def stage_blocks(stage: dict[str, Any], runs: dict[int, dict[str, Any]], cards: dict[str, dict]) -> list[str]:
    """Markdown blocks on a stage: how it starts, its data, recipe, runs ({training seed: run}) and losses."""
    title = f"## Stage {stage['stage']}"
    if stage["combine"]:
        parts = ", ".join(f"`{name}` (weight {weight})" for name, weight in stage["combine"]["weights"].items())
        method = stage["combine"]["method"]
        return [title, f"Nothing is trained: the adapters of earlier stages are combined, {parts}; method {method}."]
    blocks = [title, STARTS.get(stage["start"], "It is the first stage.")]
    for key, about in (("training_set", "### Data"), ("kl_training_set", "### Data of the KL regularisation")):
        if stage[key]:
            blocks += [about, *_data(cards[stage[key]], stage["domains"])]
    recipe = next(iter(runs.values()))["recipe"]
    started = f"The recipe started from preset `{stage['preset']}`.\n\n" if stage["preset"] else ""
    return [*blocks, "### Recipe", started + recipe_table(recipe), "### Runs", _runs(runs), *_losses(runs)]


def recipe_table(recipe: dict[str, Any]) -> str:
    """All settings of a recipe, those of sections as section.key; DPO's weights only where they are used."""
    used = {name: value for name, value in recipe.items() if name != "dpo" or recipe.get("objective") == "dpo"}
    rows = []
    for name, value in used.items():
        inner = value if isinstance(value, dict) else {"": value}
        rows += [[f"{name}.{key}".rstrip("."), _setting(entry)] for key, entry in inner.items()]
    return table(["setting", "value"], [*rows, ["rows an optimiser step", _rows_a_step(recipe)]])


def _rows_a_step(recipe: dict[str, Any]) -> int:
    return recipe["batch_size"] * recipe["gradient_accumulation"]


def _setting(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {None: "none", True: "yes", False: "no"}.get(value, value) if isinstance(value, bool | None) else value


def _data(card: dict[str, Any], domains: dict[str, str | None]) -> list[str]:
    head = ["data set", "domain", "rows to train on", "held out", "SHA-256 of its file"]
    sources = card["sources"].items()
    rows = [[name, domains.get(name) or "-", s["train"], s["holdout"], s["sha256"]] for name, s in sources]
    train = card["parts"]["train"]
    return [table(head, rows), f"{train['rows']} rows to train on; SHA-256 of the training file `{train['sha256']}`."]


def _runs(runs: dict[int, dict[str, Any]]) -> str:
    head = ["seed", "steps", "epochs", "rows", "trained weights", "tokens", "training, s", "jobs, s", "peak MiB"]
    rows = []
    for seed, run in runs.items():
        counts = [run["rows"], run["trainable_parameters"], run["tokens"]]
        times = [round(run["training_seconds"], 1), round(run["seconds"], 1), run["peak_memory_mib"]]
        rows.append([seed, run["steps"], run["epochs"].get(run["steps"], 0), *counts, *times])
    hardware = sorted({name for run in runs.values() for name in run["hardware"]})
    about = "Rows are those with tokens to learn from; jobs include loading; peak memory is the main process's."
    return f"{table(head, rows)}\n\n{about} Hardware: {', '.join(hardware) or 'not recorded'}."


def _losses(runs: dict[int, dict[str, Any]]) -> list[str]:
    epochs = {step: epoch for run in runs.values() for step, epoch in run["epochs"].items()}
    if not epochs:
        return []
    rows = [[step, epochs[step], *(run["losses"].get(step) for run in runs.values())] for step in sorted(epochs)]
    head = ["step", "epoch", *(f"loss, seed {seed}" for seed in runs)]
    return ["### Loss at checkpoints", "Of the rows of that optimiser step.", table(head, rows)]


def versions(runs: list[dict[str, Any]]) -> str:
    """Table of package versions and code commits of runs; several where they differ."""
    found: dict[str, set[str]] = {}
    for record in (record for run in runs for record in run["versions"]):
        for package, version in record.items():
            found.setdefault(package, set()).add(version)
    commits = {commit or "unknown" for run in runs for commit in run["commits"]}
    rows = [[name, ", ".join(sorted(values))] for name, values in found.items()]
    return table(["package", "version"], [*rows, ["emtrace (git commit)", ", ".join(sorted(commits))]])


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table; floats have six significant digits, a missing value is a dash."""
    cells = [["-" if value is None else str(cell(value)).replace("|", "\\|") for value in row] for row in rows]
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)
