"""From a raw config to a checked one, or one message with every problem in it."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from workflow_scripts.em.config.check import cross_check
from workflow_scripts.em.config.problems import Problem, schema_problems
from workflow_scripts.em.config.study import Config
from workflow_scripts.em.errors import UserError


def load_config(raw: dict[str, Any], files: Iterable[str], data: bool = True) -> Config:
    """Validate `raw` (the merged config; `files` are named in messages). Raises UserError listing all problems.

    Without `data`, archives and data sets need not be there yet.
    """
    problems: list[Problem] = []
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += schema_problems(error, Config)
    problems += cross_check(raw, data)
    if problems or config is None:
        source = ", ".join(files) or "config"
        lines = "\n".join(f"  {where}: {what}" for where, what in dict.fromkeys(problems))
        raise UserError(f"{source}: {len(dict.fromkeys(problems))} problem(s)\n{lines}")
    return config
