"""Cross-checks between config sections. They run on the raw config, so that one broken entry hides no other problem."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.em.config.check_activations import activation_problems
from workflow_scripts.em.config.check_api import api_problems
from workflow_scripts.em.config.check_conditions import condition_problems
from workflow_scripts.em.config.check_contrasts import contrast_problems
from workflow_scripts.em.config.check_engine import engine_problems
from workflow_scripts.em.config.check_exports import export_problems
from workflow_scripts.em.config.check_judges import judge_problems
from workflow_scripts.em.config.check_literature import literature_problems
from workflow_scripts.em.config.check_made import made_problems
from workflow_scripts.em.config.check_shown import shown_problems
from workflow_scripts.em.config.check_stages import stage_problems
from workflow_scripts.em.config.check_steering import steering_problems
from workflow_scripts.em.config.check_tables import table_problems
from workflow_scripts.em.config.check_targets import target_problems
from workflow_scripts.em.config.data import BaseModel
from workflow_scripts.em.config.problems import Problem, dicts, entries, parsed
from workflow_scripts.em.config.study import Organism, Stage
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.config.training import Recipe
from workflow_scripts.em.config.training_set import TrainingSet
from workflow_scripts.em.data.blocklist import read_blocklist
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.questions import load_questions
from workflow_scripts.em.stats.definitions import NAMED
from workflow_scripts.em.steps import checkpoint_steps, horizon

# Keys that name files, wherever they stand; and keys under which any key may stand.
FILES = ("path", "grammar", "rules", "prompt", "constitution", "segments", "block_file")
FREE = ("columns", "extra_body")


def cross_check(raw: dict[str, Any], data: bool = True) -> list[Problem]:
    """All problems between sections, as (key, message). Without `data`, archives and data sets may be missing."""
    if not isinstance(raw, dict):
        return []
    problems = [*_references(raw), *_files(raw, data), *_braces(raw), *_blocklists(raw), *_origins(raw)]
    problems += [*stage_problems(raw), *_twins(raw), *_nothing(raw), *engine_problems(raw)]
    problems += [*judge_problems(raw), *made_problems(raw), *table_problems(raw), *export_problems(raw)]
    problems += [*contrast_problems(raw), *target_problems(raw), *shown_problems(raw)]
    problems += [*activation_problems(raw), *steering_problems(raw)]
    return [*problems, *condition_problems(raw), *api_problems(raw), *literature_problems(raw)]


def _references(raw: dict) -> Iterator[Problem]:
    def missing(where: str, name: Any, section: str, known: list[str] | None = None) -> Iterator[Problem]:
        if known is None:
            known = [str(name) for name in raw[section]] if isinstance(raw.get(section), dict) else []
        if isinstance(name, str) and name not in known:
            yield where, f"{name!r} is not defined under `{section}`; {did_you_mean(name, known)}"

    for name, dataset in entries(raw, "datasets").items():
        yield from missing(f"datasets.{name}.archive", dataset.get("archive"), "archives")
    for name, training_set in entries(raw, "training_sets").items():
        for i, part in dicts(training_set.get("mixture")):
            yield from missing(f"training_sets.{name}.mixture[{i}].dataset", part.get("dataset"), "datasets")
    for name, organism in entries(raw, "organisms").items():
        yield from missing(f"organisms.{name}.base_model", organism.get("base_model"), "base_models")
        yield from missing(f"organisms.{name}.from_organism", organism.get("from_organism"), "organisms")
        for i, stage in dicts(organism.get("stages")):
            where = f"organisms.{name}.stages[{i}]"
            yield from missing(f"{where}.training_set", stage.get("training_set"), "training_sets")
            yield from missing(f"{where}.kl_training_set", stage.get("kl_training_set"), "training_sets")
            yield from missing(f"{where}.recipe", stage.get("recipe"), "recipes")
    evaluation = raw.get("evaluation") if isinstance(raw.get("evaluation"), dict) else {}
    for section in ("question_sets", "conditions", "judges"):
        known = ["default"] if section == "conditions" and "conditions" not in raw else None
        names = evaluation.get(section)
        for i, name in enumerate(names if isinstance(names, list) else []):
            yield from missing(f"evaluation.{section}[{i}]", name, section, known)
            if name in names[:i]:
                yield f"evaluation.{section}[{i}]", f"{name!r} is named twice; remove one"
    figures = raw.get("figures") if isinstance(raw.get("figures"), dict) else {}
    own = raw.get("em_definitions")
    definitions = [str(name) for name in (own if own and isinstance(own, dict) else NAMED)]
    yield from missing("figures.definition", figures.get("definition", "betley"), "em_definitions", definitions)


def _files(raw: dict, data: bool) -> Iterator[Problem]:
    rows = [(f"{s}.{n}.path", e.get("path")) for s in ("archives", "datasets") for n, e in entries(raw, s).items()]
    files, models = [], []
    for name, base in entries(raw, "base_models").items():
        toy = base.get("toy") if isinstance(base.get("toy"), dict) else {}
        files.append((f"base_models.{name}.toy.grammar", toy.get("grammar")))
        models.append((f"base_models.{name}.path", base.get("path")))
    for where, path in [*(rows if data else ()), *files, *models]:
        if isinstance(path, str) and not os.path.exists(path):
            published = "; for a published one see docs/howto/reproduce_a_paper.md" * where.startswith("archives.")
            yield where, f"no such file: {path} (relative paths start at {Path.cwd()}){published}"
    for where, path in [*rows, *files]:
        if isinstance(path, str) and os.path.exists(path) and not os.path.isfile(path):
            yield where, f"not a file: {path}; name a file in it"
    for where, path in models:
        if isinstance(path, str) and os.path.exists(path) and not os.path.isfile(os.path.join(path, "config.json")):
            yield where, f"not a model folder (no config.json): {path}"
    for name, questions in entries(raw, "question_sets").items():
        if isinstance(questions.get("path"), str):
            try:
                exclude = questions.get("exclude")
                load_questions(questions["path"], None, exclude if isinstance(exclude, str) else None)
            except UserError as error:
                yield from ((f"question_sets.{name}.path", line) for line in str(error).splitlines())


def _braces(raw: Any, where: str = "") -> Iterator[Problem]:
    """Braces in files' names, which Snakemake would read as wildcards."""
    for name, value in raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ():
        at = f"{where}[{name}]" if isinstance(raw, list) else f"{where}.{name}".removeprefix(".")
        paths = value if isinstance(value, list) else [value]
        if name in FILES and any(isinstance(path, str) and {"{", "}"} & set(path) for path in paths):
            yield at, "a brace in a file's name is read as a wildcard; rename the file or its folder"
        elif name not in FREE:
            yield from _braces(value, at)


def _blocklists(raw: dict) -> Iterator[Problem]:
    for name, training_set in entries(raw, "training_sets").items():
        filters = training_set.get("filters")
        path = filters.get("block_file") if isinstance(filters, dict) else None
        if isinstance(path, str):
            try:
                read_blocklist(path)
            except UserError as error:
                yield from ((f"training_sets.{name}.filters.block_file", line) for line in str(error).splitlines())


def _origins(raw: dict) -> Iterator[Problem]:
    """Cycles between organisms, and children whose training seed the parent lacks."""
    organisms = entries(raw, "organisms")
    for name, organism in organisms.items():
        seen, at = [name], _parent(organism)
        while at in organisms and at not in seen:
            seen.append(at)
            at = _parent(organisms[at])
        if at == name:
            way = " <- ".join([*seen, name])
            yield f"organisms.{name}.from_organism", f"cycle between organisms: {way}; one needs a `base_model`"
        parent = organisms.get(_parent(organism) or "")
        if parent is not None and parent.get("api") is not None:
            yield (
                f"organisms.{name}.from_organism",
                f"{organism['from_organism']!r} is behind a server: nothing starts from it",
            )
        elif parent is not None:
            absent = sorted(_seeds(organism) - _seeds(parent))
            if absent:
                yield (
                    f"organisms.{name}.seeds",
                    f"{absent} not among the seeds of {organism['from_organism']!r}, which it starts from "
                    f"({sorted(_seeds(parent))}); add them there, or take them out here",
                )


def _parent(organism: dict) -> str | None:
    found = organism.get("from_organism")
    return found if isinstance(found, str) else None


def _seeds(organism: dict) -> set[int]:
    found = organism.get("seeds") or [0]
    return {seed for seed in found if isinstance(seed, int)} if isinstance(found, list) else set()


def _identity(stage: Stage, recipe: Recipe | None, sets: dict[str, TrainingSet | None]) -> tuple:
    """What decides the weights of a stage's checkpoints."""
    training_set = sets.get(stage.training_set)
    try:
        steps = checkpoint_steps(stage, recipe, training_set) if recipe and training_set else stage.checkpoints
    except UserError:
        steps = stage.checkpoints
    length = horizon(stage, recipe, steps) if recipe and isinstance(steps, tuple) else stage.max_steps
    data = (training_set or stage.training_set, sets.get(stage.kl_training_set) or stage.kl_training_set)
    return recipe or stage.recipe, data, steps, length, stage.start, stage.combine


def _twins(raw: dict) -> Iterator[Problem]:
    """Two organisms that would be trained alike: with the same seed they are one, and no replicate."""
    bases = {name: parsed(BaseModel, base) for name, base in entries(raw, "base_models").items()}
    recipes = {name: parsed(Recipe, recipe) for name, recipe in entries(raw, "recipes").items()}
    sets = {name: parsed(TrainingSet, entry) for name, entry in entries(raw, "training_sets").items()}
    seen: dict[str, tuple[str, Organism]] = {}
    for name, entry in entries(raw, "organisms").items():
        organism = parsed(Organism, entry)
        if organism is None:
            continue
        stages = [_identity(s, recipes.get(s.recipe), sets) for s in organism.stages]
        base = bases.get(organism.base_model or "") or organism.base_model or organism.api
        identity = repr((base, organism.from_organism, stages))
        other, twin = seen.setdefault(identity, (name, organism))
        shared = sorted(set(organism.seeds) & set(twin.seeds))
        if other != name and shared:
            yield f"organisms.{name}", f"the same as organism {other!r} (training seeds {shared}); remove one"
        if len(organism.seeds) > 1 and not organism.stages and organism.from_organism is None:
            yield (
                f"organisms.{name}.seeds",
                "nothing is trained: several training seeds would be one model, counted as replicates; give one seed "
                "and more `samples` of the question sets",
            )


def _nothing(raw: dict) -> Iterator[Problem]:
    organisms = [parsed(Organism, entry) for entry in entries(raw, "organisms").values()]
    if organisms and all(o and o.stages and not any(stage.evaluate for stage in o.stages) for o in organisms):
        yield "organisms", "nothing is evaluated: give at least one stage `evaluate: true` or a list of steps"
