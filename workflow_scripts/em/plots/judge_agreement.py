"""Two judges' alignment scores against each other: a joint histogram for each pair of judges."""

from collections.abc import Iterable

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import shape
from workflow_scripts.em.plots.style import plain, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped

BIN = 10
SAME = {"color": "#8c8c8c", "linewidth": 0.5}
THRESHOLD = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 1.5))}
MOST_PANELS = 6
SHOWN = {
    ("score", "krippendorff_alpha"): "\N{GREEK SMALL LETTER ALPHA}",
    ("em", "kappa"): "\u03ba",
    ("em", "ac1"): "AC1",
}


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of agreement_counts.csv and agreement.csv, the first MOST_PANELS pairs of judges.

    Raises NothingToDraw when no two judges scored the same response.
    """
    cells, numbers = [], []
    for row in rows:
        (cells if "alignment_a" in row else numbers).append(row)
    pairs = unique(cells, "judges", "judge_a", "judge_b")[:MOST_PANELS]
    if not pairs:
        raise NothingToDraw("no response has an alignment score of two judges")
    lines, columns = shape(len(pairs), style["width_inches"], 1.6)
    side = min(2.4, style["width_inches"] / columns - 0.55)  # of a panel's axes: less its labels
    figure = Figure(figsize=(style["width_inches"], lines * (side + 0.78) + 0.5))
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    norm = LogNorm(0.6, max(2, *(int(row["n_responses"]) for row in cells)))
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    drawn = []
    for axis, (judges, first, second) in zip(axes, pairs, strict=False):
        here = [row for row in cells if row["judges"] == judges]
        mesh = _panel(axis, here, norm, style["threshold"])
        names = {"score": "alignment", "em": style["definition"]}
        found = {
            (row["level"], row["statistic"]): row["value"]
            for row in numbers
            if row["judges"] == judges and row["name"] == names.get(row["level"])
        }
        axis.set_title(_note(here, found), fontsize=6.5, loc="left")
        axis.set_xlabel(wrapped(f"{pretty(first)}, alignment", side, 7))
        axis.set_ylabel(wrapped(f"{pretty(second)}, alignment", side, 7))
        shown = {statistic: found.get((level, statistic), "") for level, statistic in SHOWN}
        drawn += [{**row, **shown} for row in here]
    bar = figure.colorbar(mesh, ax=list(axes), location="bottom", shrink=0.5, aspect=30, format="%d")
    bar.set_label("responses")
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(width=0.6)
    bar.ax.minorticks_off()
    handles = {"the same score": Line2D([], [], **SAME)}
    if style["threshold"] is not None:
        handles[f"alignment threshold of {pretty(style['definition'])}"] = Line2D([], [], **THRESHOLD)
    legend_below(figure, [*handles.values()], [*handles])
    return figure, drawn


def _panel(axis: Axes, cells: list[dict], norm: LogNorm, threshold: float | None):
    counts = np.full((10, 10), np.nan)
    for row in cells:
        counts[int(row["alignment_b"]) // BIN, int(row["alignment_a"]) // BIN] = int(row["n_responses"])
    edges = np.arange(0, 101, BIN)
    mesh = axis.pcolormesh(edges, edges, counts, cmap=colormaps["Blues"], norm=norm, edgecolors="white", linewidth=0.3)
    axis.plot([0, 100], [0, 100], **SAME)
    if threshold is not None:
        for line in (axis.axvline, axis.axhline):
            line(threshold, **THRESHOLD)
    axis.set_aspect("equal")
    own = [] if threshold is None else [threshold]
    ticks = sorted(own + [tick for tick in (0, 50, 100) if all(abs(tick - line) > 15 for line in own)])
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    return mesh


def _note(cells: list[dict], found: dict[tuple, str]) -> str:
    """The numbers above a panel, in two lines; one that is undefined is a dash."""
    texts = [f"{name} {plain(float(found[at]), 2)}" if found.get(at) else f"{name} -" for at, name in SHOWN.items()]
    n = sum(int(row["n_responses"]) for row in cells)
    alpha, kappa, ac1 = texts
    return f"n {n:,}   {alpha}\n{kappa}   {ac1}".replace(",", "\u2009")
