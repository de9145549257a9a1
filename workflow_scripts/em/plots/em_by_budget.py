"""EM rate against the number of trained weights (log axis): masked adapters, and the whole one as their reference."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, NullLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import facet_of, facets, grid, percent_axis, title
from workflow_scripts.em.plots.series import MARKERS, colours
from workflow_scripts.em.plots.style import GREY, SCOPES, number, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below
from workflow_scripts.em.stats.final import ASKED


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of budgets.csv. Raises NothingToDraw when none has a rate.

    A point with an interval is an organism: the mean over its training seeds where it has several (these are the small
    dots), else its one run.
    """
    rows = select(rows, style, "definition", "scope")
    values = [float(row[key]) for row in rows for key in ("em_rate", "high") if row[key] != ""]
    if not values:
        raise NothingToDraw("no rate is defined in the rows selected; check definition, scope and judge")
    names, panels = [name for (name,) in unique(rows, "series")], facets(rows, ASKED)
    palette = colours(style)
    look = {
        name: {"color": palette[place % len(palette)], "marker": MARKERS[place % len(MARKERS)]}
        for place, name in enumerate(names)
    }
    figure, axes = grid(len(panels), style["width_inches"], 2.2, 2.0)
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    weights = [float(row["trained_parameters"]) for row in rows]
    for axis, (facet, text) in zip(axes, panels.items(), strict=True):
        axis.set_xscale("log")
        axis.set_xlim(min(weights) / 2, max(weights) * 2)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))  # 100, 1k: the default's powers are formulas
        for place, name in enumerate(names):
            beside = 1.08 ** (place - (len(names) - 1) / 2)  # or the intervals of two series hide each other
            here = [row for row in rows if row["series"] == name and facet_of(row, ASKED) == facet]
            _series(axis, [{**row, "at": beside * float(row["trained_parameters"])} for row in here], look[name])
        title(axis, text, figure, columns)
        percent_axis(axis, 1.06 * max(values))
        axis.set_xlabel("Trained weights")
    for axis in axes[::columns]:
        axis.set_ylabel(f"EM rate at the last checkpoint (%)\n{pretty(style['definition'])}, {SCOPES[style['scope']]}")
    _legend(figure, rows, names, look)
    return figure, rows


def _points(rows: list[dict]) -> list[dict]:
    """One row an organism: the one over its training seeds if it has one."""
    over = {row["organism"] for row in rows if row["seed"] == ""}
    return [row for row in rows if row["seed"] == "" or row["organism"] not in over]


def _series(axis: Axes, rows: list[dict], look: dict) -> None:
    points = _points(rows)
    masked = [row for row in points if row["budget"] != ""]
    colour = {"color": look["color"], "clip_on": False}
    line = {**colour, "marker": look["marker"], "zorder": 3}
    axis.plot([row["at"] for row in masked], [number(row["em_rate"]) for row in masked], **line)
    for row in points:
        if row["low"] != "":
            axis.plot([row["at"]] * 2, [float(row["low"]), float(row["high"])], **colour, linewidth=0.8, zorder=2.5)
        if row["budget"] == "":
            axis.axhline(number(row["em_rate"]), color=look["color"], linestyle=(0, (1, 1.5)), linewidth=0.8, zorder=2)
            axis.plot([row["at"]], [number(row["em_rate"])], marker="D", mfc="white", zorder=3.5, **colour)
    if dots := [row for row in rows if row not in points]:
        at, rates = [row["at"] for row in dots], [number(row["em_rate"]) for row in dots]
        axis.plot(at, rates, "o", ms=1.8, mfc="white", mec="#333333", mew=0.4, zorder=4)


def _legend(figure: Figure, rows: list[dict], names: list[str], look: dict) -> None:
    handles = [Line2D([], [], **look[name]) for name in names]
    labels = [pretty(name) for name in names]
    if any(row["budget"] == "" for row in rows):
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1.5)), marker="D", mfc="white", linewidth=0.8))
        labels.append("the whole adapter")
    if len(_points(rows)) < len(rows):
        handles.append(Line2D([], [], marker="o", ms=1.8, mfc="white", mec="#333333", mew=0.4, ls=""))
        labels.append("one training seed")
    if estimands := [name for (name,) in unique([row for row in _points(rows) if row["low"] != ""], "estimand")]:
        sizes = sorted({int(row["n_denominator"]) for row in rows if row["n_denominator"] != ""})
        counted = f"{sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else "")
        handles.append(Line2D([], [], color=GREY, linewidth=0.8))
        labels.append(f"95% interval, {' or '.join(estimands)} (n = {counted} responses a run)")
    legend_below(figure, handles, labels)
