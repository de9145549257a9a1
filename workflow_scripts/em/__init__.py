"""emtrace's library. It knows nothing of Snakemake or the config file; `load_study` reads a study's tables."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "load_study":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name: an import statement would put the reference of tables into every stage's code digest.
    return importlib.import_module("workflow_scripts.em.frames").load_study
