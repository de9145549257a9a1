"""Cross-checks of published rates: that there is an EM rate to put them beside, and that both count the same."""

from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.config.literature import Literature
from workflow_scripts.em.config.problems import Problem, parsed
from workflow_scripts.em.config.sides import called, known_of, listed
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.literature import in_words, read_published, same_definition
from workflow_scripts.em.stats.definitions import NAMED, Definition, parse


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
    for organism, names in section.compare.items():
        where = f"literature.compare.{organism}"
        known = known_of(raw, organism)
        if known is None:
            hint = did_you_mean(organism, called(raw))
            yield where, f"{organism!r} is neither an organism nor what a table's rows are called; {hint}"
        elif known.stages == {}:
            yield where, f"no checkpoint of {organism!r} is evaluated: set `evaluate` of one of its stages"
        elif known.asked["judge"] == [] and listed(raw, "judges"):
            yield where, "no judge of `evaluation` gives alignment, of which EM rates are made"
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
