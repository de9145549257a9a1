"""What a study asks models behind servers, as the programs take it that ask them or tell what that costs."""

from typing import Any

from workflow_scripts.em.plan import Plan


def asked_by_api(plan: Plan) -> dict[str, dict[str, Any]]:
    """Organisms behind servers: name -> what of them is asked."""
    return {
        name: {"api": entry.api.plain(), "seeds": entry.seeds, "stage": stage, "step": step}
        for name, entry in plan.config.organisms.items()
        if entry.api
        for _, _, stage, step in plan.evaluations(name)[:1]
    }


def made_apis(plan: Plan, name: str) -> dict[str, Any]:
    """Role -> model behind a server, of those that write a data set."""
    authors = getattr(plan.config.datasets[name].made, "authors", dict)()
    return {role: author.api for role, author in authors.items() if author.api}


def made_spec(made: Any) -> dict[str, Any]:
    """How a data set is sampled, as its stage takes it."""
    talks = ("turns", "with_principles")
    return made.sampling() | {name: value for name, value in made.plain().items() if name in talks}


def made_by_apis(plan: Plan) -> list[dict[str, Any]]:
    """Data sets that models behind servers write."""
    return [
        {
            "dataset": name,
            "kind": "preferences" if entry.preferences else "introspection",
            "constitution": entry.made.constitution,
            "spec": made_spec(entry.made),
            "apis": {role: api.plain() for role, api in apis.items()},
        }
        for name, entry in plan.config.datasets.items()
        if (apis := made_apis(plan, name))
    ]
