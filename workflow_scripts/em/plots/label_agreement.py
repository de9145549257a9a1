"""Two judges' labels of the same responses against each other: a table of counts for each pair of judges."""

from collections.abc import Iterable

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import shape
from workflow_scripts.em.plots.style import pretty, unique
from workflow_scripts.em.plots.text import wrapped

MOST_PANELS = 6
SHOWN = {"agreement": "agreement", "kappa": "\u03ba", "ac1": "AC1"}


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of label_counts.csv, agreement.csv and shares.csv (which has the labels in their order).

    The first MOST_PANELS pairs of judges and metrics are drawn. Raises NothingToDraw when no two judges labelled the
    same response.
    """
    cells, numbers, order = [], [], {}
    for row in rows:
        if "category" in row:
            order.setdefault(row["metric"], {}).setdefault(row["label"])
        else:
            (cells if "label_a" in row else numbers).append(row)
    pairs = unique(cells, "judges", "metric", "judge_a", "judge_b")[:MOST_PANELS]
    if not pairs:
        raise NothingToDraw("no response has a label of two judges")
    lines, columns = shape(len(pairs), style["width_inches"], 2.6)
    side = min(2.3, style["width_inches"] / columns - 1.0)  # of a panel's axes: less its labels
    figure = Figure(figsize=(style["width_inches"], lines * (side + 1.25)))
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    drawn = []
    for axis, (judges, metric, first, second) in zip(axes, pairs, strict=False):
        here = [row for row in cells if (row["judges"], row["metric"]) == (judges, metric)]
        about = ("label", judges, metric)
        found = {row["statistic"]: row for row in numbers if (row["level"], row["judges"], row["name"]) == about}
        _panel(axis, here, list(order[metric]), side)
        axis.set_title(_note(here, found), fontsize=6.5, loc="left")
        axis.set_xlabel(wrapped(f"{pretty(first)}, {pretty(metric)}", side, 7))
        axis.set_ylabel(wrapped(f"{pretty(second)}, {pretty(metric)}", side, 7))
        drawn += [{**row, **{name: found[name]["value"] for name in SHOWN}} for row in here]
    return figure, drawn


def _panel(axis: Axes, cells: list[dict], labels: list[str], side: float) -> None:
    counts = np.zeros((len(labels), len(labels)))
    for row in cells:
        counts[labels.index(row["label_b"]), labels.index(row["label_a"])] = int(row["n_responses"])
    shown = np.where(counts > 0, counts, np.nan)
    axis.pcolormesh(shown, cmap=colormaps["Blues"], vmin=0, vmax=counts.max(), edgecolors="white", linewidth=0.5)
    for (line, column), n in np.ndenumerate(counts):
        ink = "white" if n > 0.55 * counts.max() else "black" if n else "#8c8c8c"
        axis.text(column + 0.5, line + 0.5, f"{n:.0f}", ha="center", va="center", fontsize=6.5, color=ink)
    for place in range(len(labels)):  # where both say the same
        outline = {"fill": False, "edgecolor": "#D55E00", "linewidth": 0.9, "zorder": 3, "clip_on": False}
        axis.add_patch(Rectangle((place, place), 1, 1, **outline))
    names = [wrapped(pretty(label), max(0.5, side / len(labels)), 6.5) for label in labels]
    places = np.arange(len(labels)) + 0.5
    axis.set_xticks(places, names, rotation=45, ha="right", va="top", rotation_mode="anchor")
    axis.set_yticks(places, names)
    axis.invert_yaxis()
    axis.set_aspect("equal")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _note(cells: list[dict], found: dict[str, dict]) -> str:
    """The numbers above a panel, each with its 95% interval; one that is undefined is a dash."""
    lines = [f"n = {sum(int(row['n_responses']) for row in cells)}, 95% intervals, such questions"]
    for name, text in SHOWN.items():
        row = found[name]
        value, low, high = (
            f"{round(float(row[key]), 2) + 0.0:.2f}" if row[key] else "" for key in ("value", "low", "high")
        )
        lines.append(f"{text} {value or '-'}" + (f" ({low} to {high})" if low else ""))
    return f"{lines[0]}\n{lines[1]}\n{lines[2]}   {lines[3]}"
