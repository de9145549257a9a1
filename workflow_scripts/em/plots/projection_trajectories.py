"""Held-out projections over training steps: a line an organism and training seed, a panel a direction and reading."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots import projected
from workflow_scripts.em.plots.panels import blocks, facet_of, facets, shape, step_axis, title
from workflow_scripts.em.plots.projected import of_facet
from workflow_scripts.em.plots.style import SCOPES, looks, noted, number, pretty, seed_dashes, unique
from workflow_scripts.em.plots.text import wrapped
from workflow_scripts.em.plots.trajectories import SHARED, draw_legend, draw_run, points

KEEP = ("organism", "seed", "stage", "step", "condition", "question_set", "direction", "reading", "layer", "scope")
COUNTS = ("n_responses", "n_questions", "estimand")
NARROW, WIDE = (1.08, 1.12), (2.1, 1.7)  # inches of a panel: of one organism, of all


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of projections.csv at each direction's layer. Raises NothingToDraw when none has a projection."""
    found = projected.chosen(rows, style, "scope")
    layers = projected.shown_layers(found, style)
    rows = [
        {name: row[name] for name in (*KEEP, *COUNTS)}
        | {"rate": row["held_out"], "low": row["held_out_low"], "high": row["held_out_high"]}
        for row in projected.at_layer(found, layers)
    ]
    if not any(row["rate"] for row in rows):
        raise NothingToDraw("no response was projected on a direction in the rows selected")
    organisms = [name for (name,) in unique(rows, "organism")]
    look, panels = looks(organisms, style), projected.panels_of(rows)
    names, dashes = facets(rows, projected.ASKED), seed_dashes(rows)
    many = (
        len(organisms) > 1 and max(len(unique(of_facet(rows, facet), "organism", "seed")) for facet in panels) > SHARED
    )
    lines = _lines(rows, list(panels), organisms, many)
    width, size = style["width_inches"], NARROW if many else WIDE
    columns = shape(max(map(len, lines)), width, size[0])[1]
    fitting = projected.fitting(lines, columns, size[1])
    single = len(lines) == len(lines[0]) == 1
    height = min(3.2, max(2.0, 0.5 * width)) if single else size[1]
    figure, grid = blocks([len(line) for line in lines[:fitting]], columns, width, height)
    kept = {facet for line in lines[:fitting] for facet, _ in line}
    rows = [row for row in rows if facet_of(row, projected.FACETS) in kept]
    for line, axes in zip(lines, grid, strict=False):
        for axis, (facet, name) in zip(axes, line, strict=True):
            _panel(axis, of_facet(rows, facet), name, look, dashes)
            step_axis(axis, points(rows)[0], 5 if name is None else 3)
            title(axis, pretty(name) if name else names[facet[1:]], figure, columns, 6 if many else 7)
            axis.set_ylim(*_reach(rows, facet[0]))
        facet, size = line[0][0], 6.5 if many else 7
        of = ", ".join(filter(None, (f"layer {layers[facet[0]]}", names[facet[1:]] if many else "")))
        label = f"{'' if many else 'Held-out projection on '}{pretty(facet[0])}\n{of}"
        for axis in axes[::columns]:
            axis.set_ylabel(wrapped(label, height, size), fontsize=size)
        for axis in (axis for place, axis in enumerate(axes) if place % columns):
            axis.tick_params(labelleft=False)
    scope = SCOPES[style["scope"]]
    if many:
        figure.supylabel(f"Held-out projection, {scope}", fontsize=7)
    projected.label_steps(figure)
    about = " / ".join(dict.fromkeys(row["estimand"] for row in rows))
    notes = ["" if many else scope, noted(rows, rows, "point", "n_responses")]
    notes += projected.left_out(fitting, len(lines))
    note = "; ".join(filter(None, notes))
    draw_legend(figure, rows, organisms, look, many, f"95% interval, {about}", note)
    return figure, rows


def _lines(rows: list[dict], panels: list[tuple], organisms: list[str], many: bool) -> list[list[tuple]]:
    """Blocks of (facet, organism) that begin a new row: of each facet its organisms, else of a direction its facets."""
    if not many:
        directions = dict.fromkeys(facet[0] for facet in panels)
        return [[(facet, None) for facet in panels if facet[0] == name] for name in directions]
    inside = {(facet_of(row, projected.FACETS), row["organism"]) for row in rows}
    return [[(facet, name) for name in organisms if (facet, name) in inside] for facet in panels]


def _panel(axis: Axes, rows: list[dict], name: str | None, look: dict, dashes: dict) -> None:
    for run in unique(rows, "organism", "seed"):
        line = [row for row in rows if (row["organism"], row["seed"]) == run]
        if name is not None and run[0] != name:
            axis.plot(*points(line), color="#dcdcdc", linewidth=0.6, zorder=1)
        else:
            draw_run(axis, line, look[run[0]] if name is None else look[run[0]] | {"marker": "."}, dashes[run[1]])
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5 if name is None else 4))
    axis.margins(x=0.03)
    axis.grid(axis="y")


def _reach(rows: list[dict], direction: str) -> tuple[float, float]:
    """The scale that all panels of a direction share."""
    own = [number(row[key]) for row in rows if row["direction"] == direction for key in ("rate", "low", "high")]
    own = [value for value in own if value == value] or [0.0]
    room = 0.05 * ((max(own) - min(own)) or 1.0)
    return min(own) - room, max(own) + room
