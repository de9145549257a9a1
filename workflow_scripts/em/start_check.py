"""What a run would lack only after hours, found before its first job: packages and room. It takes milliseconds.

Keys and servers are tried by jobs of their own, which run first (`preflight`); all else is for `check_env`, on request.
"""

import importlib.util
import shutil
from pathlib import Path

from workflow_scripts.em.amounts_disk import TRAIN, Facts, still
from workflow_scripts.em.environment import GIB
from workflow_scripts.em.plan import Plan

# All that stages import which is neither Python's own nor an extra of theirs.
PACKAGES = ("aiohttp", "aiolimiter", "docutils", "dotenv", "easy_dataset_share", "httpx", "httpx2")
PACKAGES += ("huggingface_hub", "jinja2", "markdown_it", "markupsafe", "matplotlib", "numpy", "openai", "pandas")
PACKAGES += ("peft", "psutil", "pydantic", "pydantic_core", "rich", "safetensors", "scipy", "statsmodels")
PACKAGES += ("tabulate", "tokenizers", "torch", "tqdm", "transformers", "yaml")


def absent() -> str | None:
    """The packages that stages would not find in this Python, and the mend; None where all are there."""
    names = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(names)}; `make setup` installs what envs/cpu.txt pins" if names else None


def no_room(plan: Plan, jobs: dict[str, int], facts: Facts, folder: Path) -> str | None:
    """Why the disk of `folder` has no room for the weights that the jobs to run (rule -> number) write; None if it has.

    Only weights and optimisers count: they are known before, and all else is small beside and estimated from above.
    """
    weights = {*TRAIN, "merge_adapter"}
    size = sum(size for kind, size in still(plan, facts, jobs) if weights & {*kind.rules})
    free = shutil.disk_usage(folder).free
    if size <= free:
        return None
    return (
        f"checkpoints need about {size / GIB:.1f} GiB more and {free / GIB:.1f} are free: free some, or keep fewer "
        "checkpoints (`make plan` shows what needs how much)"
    )
