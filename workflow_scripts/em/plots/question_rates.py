"""EM rate of each question at the last checkpoint of each organism: points with intervals, or a heat map when many."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.cells import MISSING, outline, rate_bar, rate_cells, write
from workflow_scripts.em.plots.panels import facet_of, facets
from workflow_scripts.em.plots.ranges import draw_ranges
from workflow_scripts.em.plots.style import INTERVALS, looks, noted, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below, width, wrapped
from workflow_scripts.em.stats.final import ASKED, for_table, last_checkpoints, pool

MOST_POINTS = 60
FEW = 5  # responses; a rate of fewer is marked


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of question_rates.csv; questions by domain, trained domains outlined; training seeds pooled.

    Up to MOST_POINTS rates a panel are points with intervals, more are cells of a heat map, one panel below the other.
    Raises UserError on no rate.
    """
    given = list(rows)
    pooled = pool(
        last_checkpoints(select(given, style, "definition")),
        ("in_domain", "domain", "question_id", "organism"),
        "these_questions",
    )
    if all(row["rate"] is None for row in pooled):
        raise NothingToDraw("no rate is defined in the rows selected; check definition and judge")
    domains = [domain for (domain,) in unique(pooled, "domain")]
    pooled.sort(key=lambda row: domains.index(row["domain"]))
    label = f"EM rate at the last checkpoint (%), {pretty(style['definition'])}"
    panels = facets(pooled, ASKED)
    if max(sum(facet_of(row, ASKED) == facet for row in pooled) for facet in panels) <= MOST_POINTS:
        note = f"{INTERVALS['these_questions']} ({noted(pooled, given, 'mark')})"
        pooled = [{**row, "runs": []} for row in pooled]  # one question's rate in one run is mostly noise
        look = looks([name for (name,) in unique(pooled, "organism")], style)
        return draw_ranges(pooled, "question_id", "organism", style, label, note, look), for_table(pooled)
    note = f"{pretty(style['definition'])}, last checkpoint; {noted(pooled, given, 'cell')}"
    return _heat_map(pooled, panels, note, style), for_table(pooled)


def _heat_map(pooled: list[dict], panels: dict[tuple, str], note: str, style: dict) -> Figure:
    organisms = [name for (name,) in unique(pooled, "organism")]
    questions = {facet: _questions([row for row in pooled if facet_of(row, ASKED) == facet]) for facet in panels}
    cell = min(0.16, max(0.09, 9 / max(len(found) for found in questions.values())))
    heights = [len(found) * cell + 0.35 for found in questions.values()]
    names, turn, head = _heads(organisms, 0.5 * style["width_inches"] / len(organisms))
    figure = Figure(figsize=(style["width_inches"], sum(heights) + head + 0.45))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).ravel()
    for place, (facet, text) in enumerate(panels.items()):
        here = [row for row in pooled if facet_of(row, ASKED) == facet]
        mesh = _panel(axes[place], here, questions[facet], organisms, cell, style)
        axes[place].set_title(text, fontsize=7, loc="left")
        axes[place].set_xticks(np.arange(len(names)) + 0.5, names if place + 1 == len(panels) else [""] * len(names))
        for tick in axes[place].get_xticklabels():
            tick.set(
                rotation=turn,
                ha="right" if turn else "center",
                va="center" if turn == 90 else "top",
                rotation_mode="anchor",
                linespacing=0.9,
            )
    rate_bar(figure, mesh, list(axes), sum(heights))
    _legend(figure, pooled, note, _has_room(organisms, style))
    return figure


def _heads(organisms: list[str], inches: float) -> tuple[list[str], int, float]:
    """Names below columns at least `inches` wide, the angle at which they fit, and the height they take in inches."""
    level = [wrapped(pretty(name), inches - 0.05, 6.5) for name in organisms]
    lines = max(name.count("\n") + 1 for name in level)
    if lines <= 3 and all(width(word, 6.5) < inches - 0.05 for name in organisms for word in pretty(name).split()):
        return level, 0, 0.1 + 0.1 * lines
    narrow = inches < 0.28
    names = [wrapped(pretty(name), 3 if narrow else 1.3, 6.5) for name in organisms]
    longest = max(width(line, 6.5) for name in names for line in name.splitlines())
    return (names, 90, longest) if narrow else (names, 45, 0.75 * longest)


def _legend(figure: Figure, pooled: list[dict], note: str, numbers: bool) -> None:
    handles = {"no rate": Patch(facecolor=MISSING)} if any(row["rate"] is None for row in pooled) else {}
    if any(row["in_domain"] == "1" for row in pooled):
        handles["trained on this domain"] = Patch(fill=False, edgecolor="black", linewidth=0.9)
    if any(map(_few, pooled)):
        mark = "in brackets" if numbers else "with a dot"
        handles[f"{mark}: fewer than {FEW} responses"] = Line2D([], [], linewidth=0)
    handles[note] = Line2D([], [], linewidth=0)
    legend_below(figure, [*handles.values()], [*handles])


def _few(row: dict) -> bool:
    return row["rate"] is not None and row["n_denominator"] < FEW


def _has_room(organisms: list[str], style: dict) -> bool:
    """Whether a cell is wide enough for its number."""
    return len(organisms) * 0.3 < 0.5 * style["width_inches"]


def _question(row: dict) -> tuple[str, str]:
    return row["domain"], row["question_id"]


def _questions(rows: list[dict]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(_question(row) for row in rows))


def _panel(axis: Axes, rows: list[dict], questions: list, organisms: list[str], cell: float, style: dict) -> QuadMesh:
    places = {(questions.index(_question(row)), organisms.index(row["organism"])): row for row in rows}
    rates = np.full((len(questions), len(organisms)), np.nan)
    for place, row in places.items():
        rates[place] = np.nan if row["rate"] is None else 100 * row["rate"]
        if row["in_domain"] == "1":
            outline(axis, *place, inset=(0.02, 0.06))
    mesh = rate_cells(axis, rates, 0.4)
    axis.invert_yaxis()
    size = min(6.5, cell * 72 * 0.72)
    limit = 0.34 * style["width_inches"]
    labels = [_shorten(_label(question), limit, size) for question in questions]
    axis.set_yticks(np.arange(len(questions)) + 0.5, labels, fontsize=size)
    for place in range(1, len(questions)):
        if questions[place][0] != questions[place - 1][0]:
            axis.axhline(place, color="#888888", linewidth=0.7)
    numbers = _has_room(organisms, style)
    for place, row in places.items():
        if row["rate"] is not None and (numbers or _few(row)):
            text = f"{rates[place]:.0f}" if numbers else "\N{BULLET}"
            write(axis, mesh, *place, f"({text})" if numbers and _few(row) else text, size - 1)
    return mesh


def _label(question: tuple[str, str]) -> str:
    domain, name = question
    return pretty(name) if not domain or domain in name else f"{pretty(domain)}: {pretty(name)}"


def _shorten(text: str, inches: float, size: float) -> str:
    """Cut the middle of a label that is too long: both ends of a question's name tell it from its neighbours."""
    kept = len(text)
    while kept > 4 and width(text, size) > inches:
        kept -= 1
        text = text[: -(-kept // 2)].rstrip("…") + "…" + text[-(kept // 2) :].lstrip("…")
    return text
