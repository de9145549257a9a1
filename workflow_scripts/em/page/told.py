"""What the report's stage is told of a study: its plan as plain data, without addresses of servers, keys or paths."""

from pathlib import Path
from typing import Any

from workflow_scripts.em.exports import details, trained
from workflow_scripts.em.page.costs import without_folders
from workflow_scripts.em.plan import Plan

# Of a judge what a reader must know to repeat it. Not its server, nor the name of the key's variable.
OF_JUDGE = ("kind", "model", "base_model", "method", "temperature", "top_p", "max_tokens", "metrics", "rules")


def told(plan: Plan) -> dict[str, Any]:
    """The study as JSON-able data, in the order of the config."""
    config = plan.config
    asked = config.evaluation
    return {
        "study": config.study,
        "title": config.report.title or config.study,
        "description": config.report.description,
        "toy": _toy(plan),
        "organisms": {name: _organism(plan, name) for name in config.organisms},
        "question_sets": {name: _question_set(config.question_sets[name].plain()) for name in asked.question_sets},
        "conditions": {**plan.conditions, **{name: _steered(how) for name, how in plan.steering.items()}},
        "members": _members(plan),
        "generation": {name: config.generation.plain()[name] for name in ("backend", "dtype")},
        "judges": {name: _judge(config.judges[name].plain()) for name in asked.judges},
        "tables": list(config.tables),
        "definitions": {name: rule.plain() for name, rule in config.em_definitions.items()},
        "definition": config.figures.definition,
        "scope": config.figures.scope,
        "shown": plan.shown("organism") or [],
        "contrasts": bool(config.contrasts),
        "directions": bool(config.activations.directions),
    }


def _toy(plan: Plan) -> bool:
    """Whether all that is studied comes from the built-in toy model."""
    config = plan.config
    if config.tables or not config.organisms:
        return False
    return all(not one.api and config.base_models[plan.base_model(n)].toy for n, one in config.organisms.items())


def _organism(plan: Plan, name: str) -> dict[str, Any]:
    entry = plan.config.organisms[name]
    if entry.api:
        return {"api": without_folders(entry.api.model)}
    steps = [at[2:] for at in plan.unsteered(name) if at[1] == entry.seeds[0]]
    return details(plan, name) | {"evaluated": steps}


def _members(plan: Plan) -> list[str]:
    """Files of archives that stages are trained on."""
    stages = [stage for name in trained(plan) for stage in details(plan, name)["stages"]]
    members = {plan.config.datasets[name].member for stage in stages for name in stage["domains"]}
    return sorted(members - {None})


def _question_set(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"path": Path(entry["path"]).name}


def _steered(how: dict[str, Any]) -> dict[str, Any]:
    return how | {"steering": {name: value for name, value in how["steering"].items() if name != "file"}}


def _judge(entry: dict[str, Any]) -> dict[str, Any]:
    found = {name: entry[name] for name in OF_JUDGE if name in entry}
    shown = {"rules": lambda path: Path(path).name, "model": without_folders}
    return found | {name: show(found[name]) for name, show in shown.items() if name in found}
