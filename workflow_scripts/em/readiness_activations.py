"""Whether layers that a study reads and steers are in its models, where only the hub knows them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.em.config.check_activations import activation_problems
from workflow_scripts.em.config.check_steering import steering_problems
from workflow_scripts.em.environment import MISSING, OK, WARNING, Finding
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.readiness import Models


def activations(models: Models) -> Iterator[Finding]:
    """Findings of the section `activations`. Of a model that is on the hub only config.json is fetched."""
    plan, folders = models.plan, models.folders
    if not plan.config.activations.readings:
        return
    with tempfile.TemporaryDirectory() as fetched:
        raw, unknown = plan.config.plain(), []
        for name, base in plan.config.base_models.items():
            folder = Path(folders.get(name) or Path(fetched, name))
            # What has just been refused is not asked for again: the hub's client tries for half a minute.
            if base.hub and (name in folders or (name not in models.unsized and _fetched(base, folder))):
                raw["base_models"][name] |= {"hub": None, "path": str(folder)}
            elif base.hub:
                unknown.append(name)
        # The config's own checks, with what it could not know.
        problems = [*activation_problems(raw), *steering_problems(raw)]
    yield from (Finding(MISSING, key, text) for key, text in problems)
    if unknown:
        yield Finding(WARNING, "activations", f"layers of {', '.join(unknown)} are not known")
    elif not problems:
        yield Finding(OK, "activations", "all layers that are read and steered are there")


def _fetched(base, folder: Path) -> bool:
    from workflow_scripts.em.backends.hub_access import config_to_fetch

    try:
        config_to_fetch(base.hub, base.revision, folder)
    except UserError:
        return False  # said of the base model
    return True
