"""A study's files, and its plan for programs that people call by hand: Snakemake puts the files together itself."""

from pathlib import Path

from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.shipped import named_from_here
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import why
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.yaml_text import parse_yaml


def load_plan(files: list[Path], data: bool = True) -> Plan:
    """The plan of a study's config files, the later over the earlier. Raises UserError listing all problems.

    Without `data`, archives and data sets need not be there yet.
    """
    raw: dict = {}
    for file in files:
        raw = _over(raw, read_study(file))
    return Plan(load_config(named_from_here(raw), map(str, files), data))


def read_study(file: str | Path) -> dict:
    """What one config file holds. Raises UserError for one that cannot be read, or has a key twice.

    Snakemake reads the files by itself, and of such a key keeps the last.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file (relative paths start at {Path.cwd()})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a study ({why(error)})") from None
    found = parse_yaml(text, file)
    if not isinstance(found, dict):
        raise UserError(f"{file}: not a study; it should hold `key: value` lines")
    return found


def _over(under: dict, over: dict) -> dict:
    both = {name: _over(under[name], value) for name, value in over.items() if _are_sections(under.get(name), value)}
    return under | over | both


def _are_sections(*values: object) -> bool:
    return all(isinstance(value, dict) for value in values)
