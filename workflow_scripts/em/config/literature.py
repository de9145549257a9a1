"""Config section of published numbers that are drawn beside the study's own, and its checks."""

from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.config.base import Name, Section, key
from workflow_scripts.em.config.problems import Problem, entries, parsed
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.literature import in_words, read_published, same_definition
from workflow_scripts.em.stats.definitions import NAMED, Definition, parse


class Literature(Section):
    """Published EM rates beside an organism's last checkpoint; both must count the same."""

    path: str = key("file of published rates with their sources", "data/literature/published.yaml")
    compare: dict[Name, list[Name]] = key("organism: published rates to draw beside it", {})


def literature_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Problems of the section `literature`: unknown names, and numbers that count something else than the study."""
    section = parsed(Literature, raw.get("literature", {}))
    if section is None or not section.compare:
        return
    try:
        published = read_published(section.path)
    except UserError as error:
        yield from (("literature.path", line) for line in str(error).splitlines())
        return
    definitions = _definitions(raw)
    known = [*entries(raw, "organisms"), *entries(raw, "tables")]
    for organism, names in section.compare.items():
        where = f"literature.compare.{organism}"
        if organism not in known:
            yield where, f"{organism!r} is no organism or table of this study; {did_you_mean(organism, known)}"
        for i, name in enumerate(names):
            if name not in published:
                yield f"{where}[{i}]", f"{name!r} is not in {section.path}; {did_you_mean(name, published)}"
            elif definitions is not None and same_definition(published[name], definitions) is None:
                yield (
                    f"{where}[{i}]",
                    f"{name!r} is a rate of another kind than any of this study: it counts "
                    f"{in_words(published[name].counted())}. Take it out, or add that definition to `em_definitions`",
                )


def _definitions(raw: dict[str, Any]) -> dict[str, Definition] | None:
    """The study's EM definitions; None when they are broken, which is reported elsewhere."""
    try:
        return {name: parse(name, entry) for name, entry in (raw.get("em_definitions") or NAMED).items()}
    except (UserError, AttributeError, TypeError):
        return None
