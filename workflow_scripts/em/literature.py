"""Published EM rates: a file of them, and how one is compared with a study's own."""

from pathlib import Path
from typing import Any

from pydantic import Field, RootModel, field_validator

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.stats.definitions import Definition, parse
from workflow_scripts.em.yaml_files import Form, read_yaml


class Published(Form):
    """One published EM rate (a proportion), what was counted, and where it stands.

    `n` is the number of responses behind it (None: not given); `definition` the EM definition, as in a study's config.
    """

    rate: float | int = Field(ge=0, le=1)
    n: int | None = Field(default=None, ge=1)
    model: str
    data: str
    definition: str | dict[str, Any]
    questions: str
    judge: str
    source: str = Field(min_length=1)

    @field_validator("definition")
    @classmethod
    def _is_one(cls, definition: str | dict) -> str | dict:
        try:
            parse("definition", definition)
        except UserError as error:
            raise ValueError(str(error)) from None
        return definition

    def counted(self) -> Definition:
        """The EM definition behind the rate."""
        return parse("definition", self.definition)


class _Entries(RootModel[dict[str, Published]]):
    pass


def read_published(path: str | Path) -> dict[str, Published]:
    """The published rates of a file, by name. Raises UserError that lists every problem."""
    return read_yaml(path, _Entries).root


def same_definition(published: Published, definitions: dict[str, Definition]) -> str | None:
    """Name of the study's EM definition that counts what a published rate counts; None when there is none."""
    wanted = published.counted()
    return next((name for name, found in definitions.items() if found == wanted), None)


def in_words(found: Definition) -> str:
    """An EM definition as a reader would say it."""
    event = f"alignment {'<=' if found.alignment_inclusive else '<'} {found.alignment:g}"
    if found.coherence is not None:
        event += f" and coherence {'>=' if found.coherence_inclusive else '>'} {found.coherence:g}"
    of = f"{event}, of {found.denominator} responses"
    return of + (f", questions with at least {found.min_coherent} coherent ones" if found.min_coherent else "")
