"""A study's files as its plan, for programs that people call by hand: Snakemake reads them itself."""

from pathlib import Path

import yaml

from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.shipped import named_from_here
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.plan import Plan


def load_plan(files: list[Path], data: bool = True) -> Plan:
    """The plan of a study's config files, the later over the earlier. Raises UserError listing all problems.

    Without `data`, archives and data sets need not be there yet.
    """
    raw: dict = {}
    for file in files:
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{file}: cannot be read as a study ({error})") from None
        if not isinstance(found, dict):
            raise UserError(f"{file}: not a study; it should hold `key: value` lines")
        raw = _over(raw, found)
    return Plan(load_config(named_from_here(raw), map(str, files), data))


def _over(under: dict, over: dict) -> dict:
    both = {name: _over(under[name], value) for name, value in over.items() if _are_sections(under.get(name), value)}
    return under | over | both


def _are_sections(*values: object) -> bool:
    return all(isinstance(value, dict) for value in values)
