"""The config that a study was last run with, kept beside its results."""

from contextlib import suppress
from pathlib import Path

import yaml

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file

NAME = "study.yaml"  # below results/<study>/


def keep(folder: Path, config: dict, files: list[str]) -> None:
    """Write a study's config, put together from `files`, as one config file that would run the same study."""
    text = f"# What this study was last run with: {', '.join(files)}, and --config where given. Each run writes it.\n"
    text += yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
    path = folder / NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_file(path) as handle:
            handle.write(text)


def renew(folder: Path, config: dict, files: list[str]) -> None:
    """Write it anew where one lies, as far as that can be: of a config that is taken back no job may be run."""
    if (folder / NAME).is_file():
        with suppress(OSError):  # results that are only read
            keep(folder, config, files)


def kept(folder: Path) -> dict | None:
    """The config that lies in a study's folder; None where none does. Raises UserError for one that is no config."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({why}); the next run writes it anew") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no config; the next run writes it anew")
    return found
