"""Horizontal grouped bars or points with intervals: names stay level and readable however long they are."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import facet_of, facets, percent_axis, shape, title
from workflow_scripts.em.plots.style import GREY, looks, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped
from workflow_scripts.em.stats.final import ASKED

PAGE = 7.5  # inches of marks that fit a page
MARK = 3.6  # points
DOT = {"marker": "o", "ms": 2.4, "mfc": "white", "mec": "black", "mew": 0.6, "ls": ""}  # a training seed
RIM = (Stroke(linewidth=1.9, foreground="white"), Normal())  # an interval is seen on a bar as beside it


def draw_ranges(
    rows: list[dict], group: str, series: str, style: dict, label: str, note: str, look: dict | None = None
) -> Figure:
    """Draw pooled rows: one group of marks for each value of `group`, one mark for each value of `series`.

    `look`: series -> colour, marker, hatch and, where it is not its name, label; its marks are points. Without one the
    series are organisms and the marks are bars. The panels of ASKED stand side by side. Raises UserError when no row
    has a rate.
    """
    values = [row[key] for row in rows for key in ("rate", "high") if row[key] is not None]
    values += [rate for row in rows for rate in row["runs"]]
    if not values:
        raise NothingToDraw("no rate is defined in the rows selected; check definition, scope and judge")
    groups, names = [name for (name,) in unique(rows, group)], [name for (name,) in unique(rows, series)]
    bars, panels = look is None, facets(rows, ASKED)
    look = look or looks(names, style)
    lines, columns = _lines(rows, panels, group, style["width_inches"])
    down = sum(len(own) for own, _ in lines)  # groups below each other
    slot = min(0.16, 0.5 / len(names), (PAGE / down - 0.06) / len(names))
    width = style["width_inches"] * 0.3
    ticks = {name: wrapped(_tick([row for row in rows if row[group] == name], group), width, 6.5) for name in groups}
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
    _legend(figure, rows, names, look, note, bars, series)
    return figure


def _tick(rows: list[dict], group: str) -> str:
    """A group's name, and how many responses are behind its marks."""
    sizes = [row["n_denominator"] for row in rows]
    n = f"{min(sizes)}" + (f" to {max(sizes)}" if max(sizes) > min(sizes) else "")
    name = pretty(rows[0][group]) or "no domain"
    return f"{name}\n(n = {n})" if len(rows) > 1 else f"{name} (n={n})"  # one mark has the height of one line


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
            axis.plot(0, y, look["marker"], color=look["color"], ms=MARK, zorder=3, clip_on=False)
    else:
        face = look["color"] if look["hatch"] == "" else "white"
        axis.plot(row["rate"], y, look["marker"], color=look["color"], mfc=face, ms=MARK, zorder=3, clip_on=False)
    if row["low"] is not None:
        line = {"color": "black", "path_effects": RIM} if bars else {"color": look["color"]}
        axis.plot([row["low"], row["high"]], [y, y], linewidth=0.8, zorder=2.5, clip_on=False, **line)
    if row["runs"]:  # an empty line that is not clipped would still take part in the layout
        beside = 0 if bars else 0.3 * thickness  # a dot would hide a mark, which is as small
        axis.plot(row["runs"], [y + beside] * len(row["runs"]), zorder=4, clip_on=False, **DOT)


def _legend(figure: Figure, rows: list[dict], names: list[str], look: dict, note: str, bars: bool, series: str) -> None:
    handles: list = []
    for name in names:
        if bars:
            handles.append(Patch(facecolor=look[name]["color"], hatch=look[name]["hatch"], edgecolor="white"))
        else:
            face = look[name]["color"] if look[name]["hatch"] == "" else "white"
            line = {"color": look[name]["color"], "marker": look[name]["marker"], "mfc": face}
            handles.append(Line2D([], [], linewidth=0.8, ms=MARK, **line))
    labels = [look[name].get("label", pretty(name)) for name in names]
    if any(row["runs"] for row in rows):
        handles.append(Line2D([], [], **DOT))
        labels.append("one training seed")
    if bars and (none := [row[series] for row in rows if row["rate"] == 0]):
        handles.append(Line2D([], [], color=GREY, marker=look[none[0]]["marker"], ms=MARK, ls=""))
        labels.append("a rate of 0")
    if any(row["low"] is not None for row in rows):
        handles.append(Line2D([], [], color="black", linewidth=0.8))
        labels.append(note)
    legend_below(figure, handles, labels)
