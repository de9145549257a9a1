"""What imports torch, transformers, PEFT or vLLM, or opens a connection; nothing else does."""

import logging
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.em.files import read_json

# bitsandbytes says at every import that a package is missing which nothing here needs.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def optimises_in_bits(optimizer: str) -> bool:
    """Whether an optimiser is one of bitsandbytes'."""
    return "8bit" in optimizer or "paged" in optimizer


def without_bitsandbytes(record: str | Path, recipe: dict[str, Any] | None = None) -> None:
    """Have this process go without bitsandbytes unless the model of a record or a recipe asks for it.

    PEFT imports it where it is installed, which takes as long as a short answer. To be called before that.
    """
    config = Path(read_json(record)["path"]) / "config.json"
    model = read_json(config) if config.is_file() else {}
    asked = recipe is not None and (recipe["quantization"] or optimises_in_bits(recipe["optimizer"]))
    if not asked and "quantization_config" not in model:
        sys.modules.setdefault("bitsandbytes", None)
