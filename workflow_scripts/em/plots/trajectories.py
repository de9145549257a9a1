"""Rates over training steps: one line an organism and training seed, small multiples when organisms are many."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.groups import grouped
from workflow_scripts.em.plots.panels import band, facet_of, facets, grid, percent_axis, step_axis, title
from workflow_scripts.em.plots.style import GREY, looks, number, pretty, seed_dashes, unique
from workflow_scripts.em.plots.text import legend_below, wrapped

SHARED = 6  # more runs than this on one axes, or their bands, are no longer told apart


def draw_lines(
    rows: list[dict], style: dict, label: str, interval: str, note: str, bottom: float = 0.0
) -> tuple[Figure, list[dict]]:
    """Draw rows with keys organism, seed, step, rate, low, high and the facet columns; rates are proportions.

    `label` names the y axis, which begins at `bottom`, `interval` the band, `note` what a point counts. A missing rate
    breaks its line, a missing interval has no band.
    Raises UserError when no row has a rate.
    """
    values = [float(row[key]) for row in rows for key in ("rate", "high") if row[key] != ""]
    if not values:
        raise NothingToDraw("no rate is defined in the rows selected; check definition, scope and judge")
    given, (rows, style) = rows, grouped(rows, style)
    organisms = [name for (name,) in unique(rows, "organism")]
    look, panels, dashes = looks(organisms, style), facets(rows), seed_dashes(rows)
    runs = [unique([row for row in rows if facet_of(row) == facet], "organism", "seed") for facet in panels]
    many = len(organisms) > 1 and max(map(len, runs)) > SHARED
    cells = [(facet, name) for facet in panels for name in organisms] if many else [(facet, None) for facet in panels]
    cells = [item for item in cells if item[1] is None or any(_in_panel(row, *item) for row in rows)]
    width = style["width_inches"]
    single = len(cells) == 1
    size = (width, min(3.2, max(2.0, 0.5 * width))) if single else ((1.55, 1.25) if many else (2.1, 1.7))
    figure, axes = grid(len(cells), width, *size)
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    for axis, (facet, name) in zip(axes, cells, strict=True):
        here = [row for row in rows if facet_of(row) == facet]
        for run in unique(here, "organism", "seed"):
            line = [row for row in here if (row["organism"], row["seed"]) == run]
            if name is not None and run[0] != name:
                axis.plot(*points(line), color="#dcdcdc", linewidth=0.6, zorder=1)
            else:
                draw_run(axis, line, look[run[0]], dashes[run[1]])
        title(
            axis,
            " · ".join(part for part in (pretty(name or ""), panels[facet]) if part),
            figure,
            columns,
            6.5 if many else 7,
        )
        step_axis(axis, points(rows)[0], 8 if single and width > 5 else 5 if columns < 3 else 4)
        axis.margins(x=0.03)
        percent_axis(axis, bottom + 1.06 * (max(values) - bottom), bottom=bottom)
    if len(axes) > columns > 1 or (many and columns > 1):
        figure.supylabel(label, fontsize=7)
    else:
        for axis in axes[::columns]:
            axis.set_ylabel(wrapped(label, size[1] - 0.3, 7))
    for place, axis in enumerate(axes):
        if place + columns >= len(axes):
            axis.set_xlabel("Training step")
    draw_legend(figure, rows, organisms, look, many, interval, note)
    return figure, given


def _in_panel(row: dict, facet: tuple, name: str) -> bool:
    return facet_of(row) == facet and row["organism"] == name


def points(line: list[dict], key: str = "rate") -> tuple[list[float], list[float]]:
    """Steps and values of a run's rows; a value that is missing is NaN."""
    return [float(row["step"]) for row in line], [number(row[key]) for row in line]


def draw_run(axis: Axes, line: list[dict], look: dict, dash: str | tuple) -> None:
    """Draw a run's line and band in its organism's colour and marker, and its training seed's dash."""
    steps, rates = points(line)
    (_, low), (_, high) = points(line, "low"), points(line, "high")
    band(axis, steps, low, high, look["color"])
    size = 3.2 if len(steps) <= 12 else 2.0
    axis.plot(
        steps,
        rates,
        color=look["color"],
        linestyle=dash,
        marker=look["marker"],
        markersize=size,
        markerfacecolor=look["color"] if dash == "-" else "white",
        markeredgewidth=0.8,
        zorder=3,
        clip_on=False,
    )


def draw_legend(
    figure: Figure, rows: list[dict], organisms: list, look: dict, many: bool, interval: str, note: str
) -> None:
    """Name the organisms (or the grey lines of the others), the training seeds, the band and what a point is of."""
    handles, labels = [], []
    for name in () if many else organisms:
        seeds = len({row["seed"] for row in rows if row["organism"] == name})
        handles.append(Line2D([], [], color=look[name]["color"], marker=look[name]["marker"]))
        labels.append(pretty(name) + (f" ({seeds} training seeds)" if seeds > 1 else ""))
    for handle, label in seed_handles(rows):
        handles.append(handle)
        labels.append(label)
    if many:
        handles.append(Line2D([], [], color="#dcdcdc", linewidth=1))
        labels.append("the other organisms")
    bands = any(row["low"] != "" for row in rows)
    handles.append(Patch(facecolor=GREY, alpha=0.3, linewidth=0) if bands else Line2D([], [], linewidth=0))
    labels.append(f"{interval} ({note})" if bands else note)
    legend_below(figure, handles, labels)


def seed_handles(rows: list[dict], marks: bool = True) -> list[tuple[Line2D, str]]:
    """What a legend says of training seeds, where there are several and each has a dash; `marks`: they have markers."""
    dashes = seed_dashes(rows)
    if not len(set(dashes.values())) > 1:
        return []
    face = {dash: {"mfc": "#333333" if dash == "-" else "white", "mew": 0.8} for dash in dashes.values()}
    mark = {"marker": "o"} if marks else {}
    return [
        (Line2D([], [], color="#333333", linestyle=dash, **mark, **face[dash]), f"training seed {seed}")
        for seed, dash in dashes.items()
    ]
