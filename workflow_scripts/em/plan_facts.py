"""What is known of a study's base models while it is looked over, before a run."""

from pathlib import Path
from typing import Any

from workflow_scripts.em.base_facts import base_facts
from workflow_scripts.em.model_sizes import named_size, sized
from workflow_scripts.em.readiness import Models
from workflow_scripts.em.saved_weights import Facts


def facts_from(models: Models) -> Facts:
    """Facts by a base model's name, from what `models` has found here or on the hub."""

    def facts(name: str) -> dict[str, Any]:
        entry = models.plan.config.base_models[name]
        if name in models.to_fetch and not named_size(entry.hub):
            # The hub says how large its files are: two bytes a weight, as most have.
            return sized(models.to_fetch[name] / 2)
        return models.facts.get(name) or base_facts(entry, Path(models.plan.results, f"models/{name}.json"))

    return facts
