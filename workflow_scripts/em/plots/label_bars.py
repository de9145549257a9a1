"""Share of each label by category of the question: a column of bars for each label, a bar for each organism."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow_scripts.em.plots.label_parts import PANEL, SIZE, blank, drawn_rows, last_shares, organism_looks
from workflow_scripts.em.plots.panels import facet_of, facets, percent_axis
from workflow_scripts.em.plots.style import INTERVALS, pretty, unique
from workflow_scripts.em.plots.text import width, wrap, wrapped

LEAST = 0.85  # inches of a column
LINE = 0.13
LABEL = "Share of labelled responses at the last checkpoint (%)"


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of shares.csv; metrics, conditions, question sets and judges below each other.

    Raises NothingToDraw without labels.
    """
    shown, inches = last_shares(rows, style), style["width_inches"]
    panels, organisms = facets(shown, PANEL), [name for (name,) in unique(shown, "organism")]
    look = organism_looks(organisms, style)
    here = {panel: [row for row in shown if facet_of(row, PANEL) == panel] for panel in panels}
    ticks = {panel: _ticks(found) for panel, found in here.items()}
    left = 0.15 + max(width(line, SIZE) for found in ticks.values() for text in found for line in text)
    lines = [(panel, some) for panel, found in here.items() for some in _lines(found, inches - left)]
    across = (inches - left - 0.02) / max(len(some) for _, some in lines)
    span = max(0.07 * len(organisms) + 0.04, LINE * max(len(text) for found in ticks.values() for text in found))
    heads = [wrap(panels[panel], inches - 0.16, 7, "bold") if panels[panel] else [] for panel, _ in lines]
    names = [max(len(wrap(pretty(label), across - 0.1, 7)) for label in some) for _, some in lines]
    above = [LINE * (len(head) + name) + 0.1 for head, name in zip(heads, names, strict=True)]
    heights = [up + span * len(ticks[panel]) + 0.27 for up, (panel, _) in zip(above, lines, strict=True)]
    foot = wrap(LABEL, inches - 0.3, 7)
    texts = [wrapped(text, inches - 0.7, SIZE) for text in (*map(pretty, organisms), INTERVALS["these_questions"])]
    fit = max(1, int((inches - 0.1) // (max(width(line, SIZE) for text in texts for line in text.split("\n")) + 0.5)))
    fit = -(-len(texts) // -(-len(texts) // fit))
    below = (
        0.16 * sum(max(text.count("\n") + 1 for text in texts[at::fit]) for at in range(-(-len(texts) // fit))) + 0.1
    )
    figure = blank(inches, sum(heights) + LINE * len(foot) + below + 0.05)
    total, top = figure.get_figheight(), 0.0
    most = max(row[key] or 0 for row in shown for key in ("rate", "high"))
    for place, (panel, some) in enumerate(lines):
        figure.text(0.08 / inches, 1 - (top + 0.04) / total, "\n".join(heads[place]), va="top", size=7, weight="bold")
        for column, label in enumerate(some):
            tall = span * len(ticks[panel])
            box = (left + column * across, total - top - above[place] - tall, across - 0.2, tall)
            axis = figure.add_axes((box[0] / inches, box[1] / total, box[2] / inches, box[3] / total))
            axis.set_title("\n".join(wrap(pretty(label), across - 0.1, 7)), fontsize=7, loc="left", pad=2)
            _bars(axis, [row for row in here[panel] if row["label"] == label], organisms, look)
            percent_axis(axis, 1.04 * most, "x")
            axis.set_yticks(range(len(ticks[panel])), ["\n".join(text) for text in ticks[panel]] if not column else [])
            axis.tick_params(axis="y", length=0)
        top += heights[place]
    half = max(width(line, 7) for line in foot) / 2
    middle = min((left + inches) / 2, inches - 0.1 - half)  # under the axes, where that leaves room
    figure.text(middle / inches, below / total, "\n".join(foot), ha="center", size=7)
    handles: list = [Patch(facecolor=look[n]["color"], hatch=look[n]["hatch"], edgecolor="white") for n in organisms]
    handles.append(Line2D([], [], color="#333333", linewidth=0.7))
    figure.legend(handles, texts, loc="lower center", ncols=fit, fontsize=SIZE, columnspacing=1.2)
    return figure, drawn_rows(shown)


def _lines(rows: list[dict], inches: float) -> list[list[str]]:
    """The labels of a panel in lines of as many columns as fit, evenly."""
    labels = [name for (name,) in unique(rows, "label")]
    fit = min(len(labels), max(1, int(inches // LEAST)))
    fit = -(-len(labels) // -(-len(labels) // fit))
    return [labels[at : at + fit] for at in range(0, len(labels), fit)]


def _ticks(rows: list[dict]) -> list[list[str]]:
    """Name of each category and how many responses its bars stand for: one number, or from the least to the most."""
    found = []
    for (name,) in unique(rows, "category"):
        sizes = {row["n_denominator"] for row in rows if row["category"] == name}
        span = f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
        found.append(wrap(f"{pretty(name)} (n = {span})", 1.6, SIZE))
    return found


def _bars(axis: Axes, rows: list[dict], organisms: list[str], look: dict) -> None:
    categories = [name for (name,) in unique(rows, "category")]
    thick = 0.82 / len(organisms)
    for row in rows:
        y = categories.index(row["category"]) + (organisms.index(row["organism"]) - (len(organisms) - 1) / 2) * thick
        if row["rate"] is None:
            continue
        colour, hatch = look[row["organism"]]["color"], look[row["organism"]]["hatch"]
        axis.barh(y, row["rate"], height=thick * 0.94, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3)
        if row["n_events"] == 0:  # a bar without length still shows whose it is
            axis.plot([0, 0], [y - thick * 0.45, y + thick * 0.45], color=colour, linewidth=1.2)
        axis.plot([row["low"], row["high"]], [y, y], color="#333333", linewidth=0.7, clip_on=False)
    if len(categories) > 1:  # the first is all of the others together
        axis.axhline(0.5, color="#8c8c8c", linewidth=0.4)
    axis.set_ylim(len(categories) - 0.5, -0.5)
