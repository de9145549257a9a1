"""Weights of a checkpoint for others: an adapter's own two files, or a whole model. Never training state."""

import shutil
from pathlib import Path
from typing import Any

from workflow_scripts.em.checkpoints import ADAPTER, verify
from workflow_scripts.em.files import read_json, sha256_file, write_json
from workflow_scripts.em.gpus import claim


def write_adapter(checkpoint: Path, base: str, out: Path) -> None:
    """Copy the adapter of a checkpoint folder to `out`, with `base` as the name of its base model."""
    verify(checkpoint)
    settings, weights = ADAPTER
    shutil.copyfile(checkpoint / weights, out / weights)
    write_json(out / settings, read_json(checkpoint / settings) | {"base_model_name_or_path": base})


def write_model(record: dict[str, Any], checkpoint: Path, dtype: str, out: Path) -> None:
    """Save the model of a checkpoint on the model of `record` to `out`, with its tokenizer (safetensors only)."""
    claim(1)
    from workflow_scripts.em.backends import models

    verify(checkpoint)
    models.set_threads()
    models.merged_checkpoint(record, checkpoint, dtype).save_pretrained(out)
    models.load_tokenizer(record).save_pretrained(out)


def weight_digests(folder: Path) -> dict[str, str]:
    """{file: SHA-256} of a folder's weights, and of the config that says how they are used."""
    files = [*folder.glob("*config.json"), *folder.glob("*.safetensors")]
    return {path.name: sha256_file(path) for path in sorted(files)}
