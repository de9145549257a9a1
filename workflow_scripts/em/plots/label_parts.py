"""What figures of labels share: shares at the last checkpoint, a look for each label, and pies on a page of inches."""

from collections.abc import Iterable
from math import cos, pi, sin

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, Wedge

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.style import HATCHES, OKABE_ITO, looks, pretty, select, unique
from workflow_scripts.em.plots.text import width
from workflow_scripts.em.stats.final import ASKED, for_table, last_checkpoints, pool

ALL = "all"
PANEL = ("metric", *ASKED)
COLUMNS = (*ASKED, "metric", "category", "label", "organism", "step", "n_seeds", "n_denominator", "n_events", "rate")
COLUMNS += ("low", "high", "interval", "runs")
INSIDE = dict.fromkeys(("white", "#E69F00", "#56B4E9", "#CC79A7"), "black")  # text on a pale ground
SIZE = 6.5


def last_shares(rows: Iterable[dict], style: dict) -> list[dict]:
    """Rows of shares.csv as pooled rows (`final.pool`) of each organism's last checkpoint, training seeds put together.

    Raises NothingToDraw when no response has a label.
    """
    chosen = last_checkpoints(select(rows, style))
    pooled = pool(chosen, ("metric", "category", "label", "organism"), "these_questions")
    if not any(row["n_denominator"] for row in pooled):
        raise NothingToDraw("no response has a label in the rows selected")
    return pooled


def drawn_rows(rows: list[dict]) -> list[dict]:
    """Pooled rows as they are written beside a figure."""
    return [{name: row[name] for name in COLUMNS} for row in for_table(rows)]


def label_looks(rows: list[dict], style: dict) -> dict[str, dict]:
    """Colour and hatch of each label, in the order of the table: the hatches tell them apart without colours."""
    palette = style["palette"] or OKABE_ITO
    labels = [name for (name,) in unique(rows, "label")]
    return {
        name: {"facecolor": palette[place % len(palette)], "hatch": HATCHES[place % len(HATCHES)]}
        for place, name in enumerate(labels)
    }


def organism_looks(organisms: list[str], style: dict) -> dict[str, dict]:
    """Colour and hatch of each organism: the colours of all figures, and a hatch of its own."""
    found = looks(organisms, style)
    return {name: {**found[name], "hatch": HATCHES[place % len(HATCHES)]} for place, name in enumerate(organisms)}


def blank(inches: float, height: float) -> Figure:
    """A figure in which everything has its place already."""
    figure = Figure(figsize=(inches, height))
    # Not `layout="none"`: saving a figure without an engine gives it that of the settings, which then warns.
    figure.set_layout_engine("none")
    return figure


def page(inches: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose axes are measured in inches from the upper left corner."""
    figure = blank(inches, height)
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, inches), ylim=(height, 0))
    axis.set_axis_off()
    return figure, axis


def draw_pie(axis: Axes, x: float, y: float, radius: float, parts: list[dict], looks: dict, least: float) -> None:
    """A pie clockwise from the top; shares of at least `least` are written into their wedge, in per cent."""
    if not any(part["n_events"] for part in parts):
        axis.text(x, y, "no label", ha="center", va="center", fontsize=SIZE - 1)
        return
    start = -90.0  # the y axis points down
    for part in parts:
        end = start + 360 * part["rate"]
        if end > start:
            edge = {"edgecolor": "white", "linewidth": 0.6}
            axis.add_patch(Wedge((x, y), radius, start, end, **looks[part["label"]], **edge))
        if part["rate"] >= least:
            middle, reach = (start + end) / 2 * pi / 180, 0.62 * radius if part["rate"] < 0.999 else 0.0
            look = looks[part["label"]]
            face = "white" if look["hatch"] else look["facecolor"]  # digits over a hatch are hard to read
            at = (x + reach * cos(middle), y + reach * sin(middle))
            back = {"facecolor": face, "edgecolor": "none", "pad": 0.8}
            ink = INSIDE.get(face, "white")
            text = f"{100 * part['rate']:.0f}"
            axis.text(*at, text, ha="center", va="center", fontsize=SIZE - 0.5, color=ink, bbox=back)
        start = end


def swatch(axis: Axes, x: float, y: float, look: dict) -> None:
    """A label's look beside its name; y is the middle of the line."""
    axis.add_patch(Rectangle((x, y - 0.045), 0.15, 0.09, edgecolor="white", linewidth=0.4, **look))


def key_height(inches: float, looks: dict) -> float:
    """Height of `draw_key`."""
    return 0.15 * (1 + max(line for line, _ in _places(inches, looks).values())) + 0.05


def draw_key(axis: Axes, inches: float, top: float, looks: dict) -> None:
    """Names and looks of the labels, in lines from `top` on."""
    for name, (line, x) in _places(inches, looks).items():
        y = top + 0.1 + 0.15 * line
        swatch(axis, x, y, looks[name])
        axis.text(x + 0.2, y, pretty(name), va="center", fontsize=SIZE)


def _places(inches: float, looks: dict) -> dict[str, tuple[int, float]]:
    found, line, x = {}, 0, 0.08
    for name in looks:
        wide = 0.38 + width(pretty(name), SIZE)
        if x > 0.08 and x + wide > inches:
            line, x = line + 1, 0.08
        found[name] = line, x
        x += wide
    return found
