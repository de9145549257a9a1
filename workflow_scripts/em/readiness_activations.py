"""Whether layers that a study reads and steers are in its models, where only the hub knows them, and what they take."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.em.config.check_activations import activation_problems
from workflow_scripts.em.config.check_steering import steering_problems
from workflow_scripts.em.config.known_models import layers_read, sizes_of
from workflow_scripts.em.environment import MISSING, OK, WARNING, Finding
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.questions import load_questions
from workflow_scripts.em.requests import Checkpoint, requests

FLOAT32 = 4


def activations(plan: Plan, folders: dict[str, str], needs: dict[str, int]) -> Iterator[Finding]:
    """Findings of the section `activations`; `needs` gets the bytes on disk of what is read, where they are known.

    folders: base model -> the folder of one that is here. Of another on the hub config.json alone is fetched.
    """
    if not plan.config.activations.readings:
        return
    with tempfile.TemporaryDirectory() as fetched:
        raw, unknown = plan.config.plain(), []
        for name, base in plan.config.base_models.items():
            folder = Path(folders.get(name) or Path(fetched, name))
            if base.hub and (name in folders or _fetched(base, folder)):
                raw["base_models"][name] |= {"hub": None, "path": str(folder)}
            elif base.hub:
                unknown.append(name)
        # The config's own checks, with what it could not know.
        problems = [*activation_problems(raw), *steering_problems(raw)]
        needs["activations"] = _bytes(plan, raw)
    yield from (Finding(MISSING, key, text) for key, text in problems)
    if unknown:
        yield Finding(
            WARNING, "activations", f"layers of {', '.join(unknown)} are not known, nor what they take on disk"
        )
    elif not problems:
        yield Finding(OK, "activations", "all layers that are read and steered are there")


def _fetched(base, folder: Path) -> bool:
    from workflow_scripts.em.backends.hub_access import config_to_fetch

    try:
        config_to_fetch(base.hub, base.revision, folder)
    except UserError:
        return False  # said of the base model
    return True


def _bytes(plan: Plan, raw: dict) -> int:
    """Bytes of all readings' files; 0 for models of unknown sizes."""
    sets = {name: plan.config.question_sets[name] for name in plan.config.evaluation.question_sets}
    questions = {name: load_questions(entry.path, entry.samples, entry.exclude) for name, entry in sets.items()}
    at = Checkpoint("any", 0, "any", 0)
    plain = {name: entry.plain() for name, entry in sets.items()}
    responses = sum(1 for _ in requests(at, plan.conditions, plain, questions))
    numbers = 0
    for name, reading in plan.config.activations.readings.items():
        for organism, *_ in plan.readings(name):
            sizes = sizes_of(raw, organism) or {}
            if sizes.get("layers") and sizes.get("hidden"):
                numbers += responses * len(layers_read(raw, reading, organism)) * sizes["hidden"]
    return numbers * FLOAT32
