"""Pies of label shares side by side: a line for each category, a column for each organism under each judge."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.plots.label_parts import (
    PANEL,
    SIZE,
    draw_key,
    draw_pie,
    drawn_rows,
    key_height,
    label_looks,
    last_shares,
    page,
)
from workflow_scripts.em.plots.panels import facet_of, facets
from workflow_scripts.em.plots.style import pretty, unique
from workflow_scripts.em.plots.text import width, wrap

LINE = 0.12
PIE = (0.72, 0.95)  # least and greatest width of a column, inches


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of shares.csv, blocks of columns below each other where they do not fit side by side.

    Raises NothingToDraw without labels.
    """
    shown, inches = last_shares(rows, style), style["width_inches"]
    looks, blocks = label_looks(shown, style), facets(shown, PANEL)
    categories = [name for (name,) in unique(shown, "category")]
    organisms = [name for (name,) in unique(shown, "organism")]
    names = {name: wrap(pretty(name), 1.1, SIZE) for name in categories}
    left = max(width(line, SIZE) for lines in names.values() for line in lines) + 0.2
    fit = max(1, int((inches - left) // (PIE[0] * len(organisms))))  # blocks beside each other
    fit = -(-len(blocks) // -(-len(blocks) // fit))  # evenly
    across = min(PIE[1], (inches - left) / (fit * len(organisms)))
    heads = {
        block: wrap(title, across * len(organisms) - 0.1, 7, "bold") if title else [] for block, title in blocks.items()
    }
    columns = {name: wrap(pretty(name), across - 0.04, SIZE) for name in organisms}
    head = LINE * (max(map(len, heads.values())) + max(map(len, columns.values()))) + 0.14
    down = across + LINE
    lines = -(-len(blocks) // fit)
    figure, axis = page(inches, lines * (head + down * len(categories) + 0.1) + key_height(inches, looks))
    for place, block in enumerate(blocks):
        top = place // fit * (head + down * len(categories) + 0.1)
        start = left + place % fit * across * len(organisms)
        axis.text(start + 0.04, top + 0.04, "\n".join(heads[block]), va="top", fontsize=7, weight="bold")
        here = [row for row in shown if facet_of(row, PANEL) == block]
        for column, organism in enumerate(organisms):
            x = start + across * (column + 0.5)
            axis.text(x, top + head - 0.02, "\n".join(columns[organism]), va="bottom", ha="center", fontsize=SIZE)
            for line, category in enumerate(categories):
                y = top + head + down * line
                parts = [row for row in here if (row["organism"], row["category"]) == (organism, category)]
                if parts:
                    draw_pie(axis, x, y + across / 2, across / 2 - 0.04, parts, looks, 0.15)
                    n = f"n = {parts[0]['n_denominator']}"
                    axis.text(x, y + across + 0.03, n, va="center", ha="center", fontsize=SIZE - 1)
                if place % fit == 0 and column == 0:
                    axis.text(0.08, y + across / 2, "\n".join(names[category]), va="center", fontsize=SIZE)
        if place % fit and len(organisms) > 1:
            axis.plot([start] * 2, [top + 0.04, top + head + down * len(categories)], color="#d0d0d0", linewidth=0.6)
    draw_key(axis, inches, lines * (head + down * len(categories) + 0.1), looks)
    return figure, drawn_rows(shown)
