"""A pie of label shares for every organism and judge, each label's share and interval written beside it."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.em.plots.label_parts import (
    ALL,
    PANEL,
    SIZE,
    draw_pie,
    drawn_rows,
    label_looks,
    last_shares,
    page,
    swatch,
)
from workflow_scripts.em.plots.panels import facet_of, facets, shape
from workflow_scripts.em.plots.style import INTERVALS, pretty, unique
from workflow_scripts.em.plots.text import wrap

LINE = 0.125
CELL = 2.9  # inches a pie and its numbers need


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of shares.csv that are over all categories. Raises NothingToDraw without labels."""
    shown = [row for row in last_shares(rows, style) if row["category"] == ALL]
    names = (*PANEL[:-1], "organism", "judge")  # the judges stand side by side, the organisms below each other
    places = {name: [value for (value,) in unique(shown, name)] for name in names}
    shown.sort(key=lambda row: [places[name].index(row[name]) for name in names])
    panels, looks, inches = facets(shown, names), label_looks(shown, style), style["width_inches"]
    judges = len({panel[-1] for panel in panels})
    most = max(1, int(inches // CELL))
    columns = judges if judges <= most else shape(len(panels), inches, CELL)[1]
    across = inches / columns
    heads = {panel: wrap(title, across - 0.15, 7, "bold") if title else [] for panel, title in panels.items()}
    head = LINE * max(map(len, heads.values())) + 0.08
    parts = {panel: [row for row in shown if facet_of(row, names) == panel] for panel in panels}
    down = head + max(1.15, LINE * (1 + max(map(len, parts.values())))) + 0.12
    note = f"Per cent of labelled responses at the last checkpoint; in brackets the {INTERVALS['these_questions']}."
    foot = wrap(note, inches - 0.3, SIZE)
    lines = -(-len(panels) // columns)
    figure, axis = page(inches, lines * down + 0.1 + LINE * len(foot))
    for place, panel in enumerate(panels):
        x, y = place % columns * across + 0.08, place // columns * down
        axis.text(x, y + 0.06, "\n".join(heads[panel]), va="top", fontsize=7, weight="bold")
        _cell(axis, x, y + head, down - head - 0.12, parts[panel], looks)
    axis.text(0.08, lines * down + 0.02, "\n".join(foot), va="top", fontsize=SIZE)
    return figure, drawn_rows(shown)


def _cell(axis: Axes, x: float, top: float, height: float, parts: list[dict], looks: dict) -> None:
    radius = min(height, 1.3) / 2 - 0.03
    draw_pie(axis, x + radius, top + height / 2, radius, parts, looks, 0.08)
    y = top + height / 2 - LINE * len(parts) / 2
    left = x + 2 * radius + 0.15
    for part in parts:
        swatch(axis, left, y, looks[part["label"]])
        axis.text(left + 0.2, y, f"{pretty(part['label'])}  {_numbers(part)}", va="center", fontsize=SIZE)
        y += LINE
    axis.text(left + 0.2, y + 0.02, f"n = {parts[0]['n_denominator']}", va="center", fontsize=SIZE)


def _numbers(part: dict) -> str:
    if part["rate"] is None:
        return "-"
    share, low, high = (f"{100 * part[name]:.1f}" for name in ("rate", "low", "high"))
    return f"{share} ({low} to {high})"
