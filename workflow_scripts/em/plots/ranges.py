"""Horizontal grouped bars or points with intervals: names stay level and readable however long they are."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import facet_of, facets, percent_axis, shape, title
from workflow_scripts.em.plots.style import looks, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped
from workflow_scripts.em.stats.final import ASKED

SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
PAGE = 7.5  # inches of marks that fit a page


def draw_ranges(rows: list[dict], group: str, series: str, style: dict, label: str, note: str, bars: bool) -> Figure:
    """Draw pooled rows: one group of marks for each value of `group`, one mark for each value of `series`.

    The panels of ASKED stand side by side. Raises UserError when no row has a rate.
    """
    values = [row[key] for row in rows for key in ("rate", "high") if row[key] is not None]
    values += [rate for row in rows for rate in row["runs"]]
    if not values:
        raise NothingToDraw("no rate is defined in the rows selected; check definition, scope and judge")
    groups, names = [name for (name,) in unique(rows, group)], [name for (name,) in unique(rows, series)]
    look, panels = looks(names, style), facets(rows, ASKED)
    if not bars:  # a point shows its series by shape as well as by colour
        look = {name: {**look[name], "marker": SHAPES[place % len(SHAPES)]} for place, name in enumerate(names)}
    lines, columns = _lines(rows, panels, group, style["width_inches"])
    down = sum(len(own) for own, _ in lines)  # groups below each other
    slot = min(0.16, 0.5 / len(names), (PAGE / down - 0.06) / len(names))
    width = style["width_inches"] * 0.3
    ticks = {name: wrapped(pretty(name) or "no domain", width, 6.5) for name in groups}
    text = 0.02 + 0.115 * max(tick.count("\n") + 1 for tick in ticks.values())
    span = max(text, len(names) * max(slot, 0.055) + 0.06)  # height of a group in inches, its gap included
    slot = (span - 0.06) / len(names)
    heights = [max(len(own) * span, 0.5) for own, _ in lines]
    figure = Figure(figsize=(style["width_inches"], sum(heights) + 0.3 * len(lines) + 0.3))
    shared = {"sharex": True, "sharey": "row", "squeeze": False, "height_ratios": heights}
    axes = figure.subplots(len(lines), columns, **shared)
    for axis in axes.ravel():
        axis.set_visible(False)
    for line, (own, facets_here) in enumerate(lines):
        for column, facet in enumerate(facets_here):
            axis = axes[line, column]
            axis.set_visible(True)
            for row in rows:
                if facet_of(row, ASKED) == facet:
                    offset = (names.index(row[series]) - (len(names) - 1) / 2) * slot
                    _mark(axis, row, own.index(row[group]) + offset / span, slot / span, look[row[series]], bars)
            axis.set_yticks(range(len(own)), [ticks[name] for name in own])
            axis.set_ylim(len(own) - 0.5, -0.5)
            axis.tick_params(axis="y", length=0)
            percent_axis(axis, 1.06 * max(values), "x")
            title(axis, panels[facet], figure, columns)
            if line + 1 == len(lines) or len(lines[line + 1][1]) <= column:  # nothing below it
                axis.set_xlabel(wrapped(label, (style["width_inches"] - width) / columns, 7))
                axis.tick_params(labelbottom=True)
    _legend(figure, rows, names, look, note, bars)
    return figure


def _lines(rows: list[dict], panels: dict, group: str, width: float) -> tuple[list[tuple[list[str], list]], int]:
    """Lines of panels as (groups, facets), and columns: panels that share no group do not share the axis of groups."""
    found: list[tuple[list[str], list]] = []
    for facet in panels:
        own = [name for (name,) in unique([row for row in rows if facet_of(row, ASKED) == facet], group)]
        groups, facets_here = next((pair for pair in found if set(pair[0]) & set(own)), ([], []))
        if not facets_here:
            found.append((groups, facets_here))
        groups += [name for name in own if name not in groups]
        facets_here.append(facet)
    columns = shape(max(len(facets_here) for _, facets_here in found), width, 2.2)[1]
    chunks = [(own, some[at : at + columns]) for own, some in found for at in range(0, len(some), columns)]
    return chunks, columns


def _mark(axis: Axes, row: dict, y: float, thickness: float, look: dict, bars: bool) -> None:
    if row["rate"] is None:
        axis.text(0.004, y, "no rate", va="center", fontsize=4.5, color="#555555", transform=axis.get_yaxis_transform())
        return
    if bars:
        style = {"color": look["color"], "hatch": look["hatch"], "edgecolor": "white", "linewidth": 0.4}
        axis.barh(y, row["rate"], height=thickness * 0.92, **style)
        if row["rate"] == 0:  # a bar without length still shows whose it is
            axis.plot([0, 0], [y - thickness * 0.46, y + thickness * 0.46], color=look["color"], lw=3)
    else:
        face = look["color"] if look["hatch"] == "" else "white"
        axis.plot(row["rate"], y, look["marker"], color=look["color"], mfc=face, ms=3.2, zorder=3, clip_on=False)
    if row["low"] is not None:
        colour = "#333333" if bars else look["color"]
        axis.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=0.7, zorder=2.5, clip_on=False)
    if row["runs"]:  # an empty line that is not clipped would still take part in the layout
        dots = {"ms": 1.8, "mfc": "white", "mec": "#333333", "mew": 0.4, "ls": "", "clip_on": False}
        axis.plot(row["runs"], [y] * len(row["runs"]), "o", zorder=4, **dots)


def _legend(figure: Figure, rows: list[dict], names: list[str], look: dict, note: str, bars: bool) -> None:
    handles: list = []
    for name in names:
        if bars:
            handles.append(Patch(facecolor=look[name]["color"], hatch=look[name]["hatch"], edgecolor="white"))
        else:
            face = look[name]["color"] if look[name]["hatch"] == "" else "white"
            line = {"color": look[name]["color"], "marker": look[name]["marker"], "mfc": face}
            handles.append(Line2D([], [], linewidth=0.7, ms=3.2, **line))
    labels = [pretty(name) or "no domain" for name in names]
    if any(row["runs"] for row in rows):
        handles.append(Line2D([], [], marker="o", ms=1.8, mfc="white", mec="#333333", mew=0.4, ls=""))
        labels.append("one training seed")
    if any(row["low"] is not None for row in rows):
        handles.append(Line2D([], [], color="#333333", linewidth=0.7))
        labels.append(note)
    legend_below(figure, handles, labels)
