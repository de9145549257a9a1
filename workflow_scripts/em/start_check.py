"""What a run would lack only after hours, told before its first job: packages and room. It takes milliseconds.

Keys and servers are tried by jobs of their own, which run first (`preflight`); all else is for `check_env`, on request.
"""

import importlib.util
from collections.abc import Set

from workflow_scripts.em.environment import GIB
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.saved_weights import Facts, free_bytes, to_save

# All that stages import which is neither Python's own nor an extra of theirs.
PACKAGES = ("aiohttp", "aiolimiter", "docutils", "dotenv", "easy_dataset_share", "httpx", "httpx2")
PACKAGES += ("huggingface_hub", "jinja2", "markdown_it", "markupsafe", "matplotlib", "numpy", "openai", "pandas")
PACKAGES += ("peft", "psutil", "pydantic", "pydantic_core", "rich", "safetensors", "scipy", "statsmodels")
PACKAGES += ("tabulate", "tokenizers", "torch", "tqdm", "transformers", "yaml")


def absent() -> str | None:
    """The packages that stages would not find in this Python, and the mend; None where all are there."""
    names = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(names)}; `make setup` installs what envs/cpu.txt pins" if names else None


def no_room(plan: Plan, outputs: Set[str], facts: Facts) -> str | None:
    """A warning where the disk of the results may lack room for the weights that jobs with these outputs will save.

    Only weights and optimisers count: they are known before, and all else is small beside them. It may be wrong both
    ways, as where only a model's name is known, so it is no reason to end a run.
    """
    size, free = sum(to_save(plan, facts, outputs).values()), free_bytes(plan.results)
    if size <= free:
        return None
    return (
        f"warning: checkpoints need about {size / GIB:.1f} GiB more and {free / GIB:.1f} are free for {plan.results}: "
        "free some, or keep fewer checkpoints (`make plan` shows what needs how much; a model that is not here yet is "
        "counted by its name)"
    )
