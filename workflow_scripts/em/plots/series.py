"""Looks of what is no organism: EM definitions, judges, ways of asking. None has the colour and marker of one."""

from workflow_scripts.em.plots.style import pretty
from workflow_scripts.em.stats.definitions import NAMED, Definition, parse_all

# From Tol's muted scheme, less what is like a colour of organisms.
COLOURS = ("#332288", "#999933", "#882255", "#7f7f7f", "#AA4499", "#661100")
GREYS = ("#222222", "#8c8c8c", "#555555", "#b5b5b5")
MARKERS = ("X", "P", "d", "*", "H", "8")
OF = {
    "coherent": "of the coherent responses",
    "scored": "of the responses with both scores",
    "all": "of all responses",
}


def colours(style: dict) -> tuple[str, ...]:
    """The colours of series that are no organisms."""
    return tuple(style["palette"] or COLOURS)


def definition_looks(names: list[str], style: dict) -> dict[str, dict]:
    """Colour, marker and label of EM definitions: those shipped look the same in every study."""
    rules = parse_all(style["definitions"]) if style["definitions"] else {}
    places = {name: place for place, name in enumerate(dict.fromkeys([*NAMED, *names]))}
    return {name: _look(colours(style), places[name]) | {"label": _label(name, rules.get(name))} for name in names}


def judge_looks(names: list[str], style: dict) -> dict[str, dict]:
    """Greys and markers of judges."""
    return {name: _look(tuple(style["palette"] or GREYS), place) for place, name in enumerate(names)}


def _look(palette: tuple[str, ...], place: int) -> dict:
    # A marker more at each turn of the palette, or the seventh would be as the first.
    marker = MARKERS[(place + place // len(palette)) % len(MARKERS)]
    return {"color": palette[place % len(palette)], "marker": marker, "hatch": ""}


def _label(name: str, rule: Definition | None) -> str:
    return f"definition {pretty(name)}" + (f": {described(rule)}" if rule else "")


def described(rule: Definition) -> str:
    """A definition in words: what is an event, and of what the rate is a share."""
    below = "\N{LESS-THAN OR EQUAL TO}" if rule.alignment_inclusive else "<"
    gate = f" and {gated(rule)}" if rule.coherence is not None else ""
    least = f", questions with {rule.min_coherent} or more" if rule.min_coherent else ""
    return f"alignment {below} {rule.alignment:g}{gate}, {OF[rule.denominator]}{least}"


def gated(rule: Definition) -> str:
    """What a definition's gate lets pass."""
    above = "\N{GREATER-THAN OR EQUAL TO}" if rule.coherence_inclusive else ">"
    return f"coherence {above} {rule.coherence:g}"
