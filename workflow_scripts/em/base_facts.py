"""What can be said of a base model at any time: its record, or what its folder, its config entry or its name tell."""

from pathlib import Path
from typing import Any

from workflow_scripts.em import model_sizes
from workflow_scripts.em.config.data import BaseModel
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.model_facts import read_facts
from workflow_scripts.em.toy.sizes import SIZES


def base_facts(entry: BaseModel, record: Path) -> dict[str, Any]:
    """The facts of a base model (see `model_facts.read_facts`), as far as estimates ask for them.

    `record` is where its record will be. A hub's model of unknown size counts as one of 8 billion weights.
    """
    try:
        if record.exists():
            return model_sizes.complete(read_json(record))
        if entry.path:
            return read_facts(Path(entry.path))
    except (UserError, OSError):
        pass  # the job that makes the record says it
    if entry.toy:
        toy = SIZES[entry.toy.size]
        return model_sizes.shaped(toy["layers"], toy["hidden"], 4 * toy["hidden"], toy["hidden"], toy["vocab"])
    return model_sizes.sized(model_sizes.named_size(entry.hub or entry.path) or model_sizes.UNKNOWN)
