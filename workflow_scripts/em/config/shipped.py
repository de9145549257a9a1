"""Files that come with emtrace, in a study that is run in another folder: they are named as they are found there."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workflow_scripts.em.config.study import Config

ROOT = Path(__file__).resolve().parents[3]


def shipped(path: str) -> str:
    """A file as it is found from the working directory: a file of ours where that has none of this name."""
    ours = path.startswith("data/") and not os.path.exists(path) and (ROOT / path).exists()
    return os.path.relpath(ROOT / path) if ours else path


def named_from_here(raw: dict[str, Any]) -> dict[str, Any]:
    """A raw study in which files of ours are named by where they are, those that are named by default too."""
    if Path.cwd() == ROOT:
        return raw
    try:
        full = Config.model_validate(raw).plain()
    except ValidationError:  # `load_config` says what is wrong
        return raw
    for judge in full["judges"].values():
        for metric, asked in judge.get("metrics", {}).items():
            asked["prompt"] = asked["prompt"] or f"data/judges/{metric}.txt"
    return _named(raw, full)


def _named(given: Any, full: dict[str, Any]) -> dict[str, Any]:
    """A section as it is given, but with the files of ours in `full`, which has its defaults, as they are found."""
    named = dict(given) if isinstance(given, dict) else {}
    for name, value in full.items():
        if isinstance(value, dict):
            if found := _named(named.get(name), value):
                named[name] = found
        elif isinstance(value, str) and shipped(value) != value:
            named[name] = shipped(value)
    return named
