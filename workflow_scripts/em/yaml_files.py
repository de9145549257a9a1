"""YAML files that users write besides the config, checked against a form."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import why
from workflow_scripts.em.yaml_text import parse_yaml


class Form(BaseModel):
    """Base of what a file may hold: no unknown keys, no number where a text is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


F = TypeVar("F", bound=Form)


def read_yaml(path: str | Path, form: type[F]) -> F:
    """Read a YAML file of this form. Raises UserError that lists every problem."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({why(error)})") from None
    found = parse_yaml(text, path)
    try:
        return form.model_validate(found)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {_told(problem, form)}" for problem in error.errors())) from None


def _told(problem: dict, form: type[Form]) -> str:
    place = ".".join(map(str, problem["loc"])) or "the whole file"
    if problem["type"] == "extra_forbidden":
        known = form.model_fields if len(problem["loc"]) == 1 else ()
        return f"{place}: unknown key; {did_you_mean(place, known) if known else 'take it out, or mend its name'}"
    if problem["type"] == "missing":
        return f"{place}: required key is missing"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
