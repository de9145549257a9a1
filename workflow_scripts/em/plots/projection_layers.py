"""How far every layer has moved along a direction at every training step: a heat map an organism."""

from collections.abc import Iterable

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots import projected
from workflow_scripts.em.plots.panels import blocks, facet_of, facets, shape, title
from workflow_scripts.em.plots.projected import of_facet
from workflow_scripts.em.plots.style import SCOPES, noted, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped

MISSING = "#d0d0d0"
LABEL = 0.24, 0.085  # inches that a label takes: a step's width, a layer's height
PANEL = 0.85  # inches
LEAST = 0.1  # lengths that the colours span at least: noise is pale


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw projections.csv in lengths of the directions, which directions.csv has.

    A cell is the mean over training seeds of the change since the first evaluated step. Raises NothingToDraw when no
    run has two steps.
    """
    rows = list(rows)
    # All runs are projected on a direction's first training seed, whose rows come first.
    lengths = {(row["direction"], row["layer"]): float(row["norm"]) for row in reversed(rows) if row.get("norm")}
    given = projected.chosen([row for row in rows if row.get("held_out")], style, "scope")
    cells = _cells(given, lengths)
    if not cells:
        raise NothingToDraw("no run was projected at two steps in the rows selected")
    names, reach = facets(cells, projected.ASKED), max(abs(row["share"]) for row in cells)
    found = {facet: unique(of_facet(cells, facet), "organism") for facet in projected.panels_of(cells)}
    lines = [[(facet, name) for (name,) in organisms] for facet, organisms in found.items()]
    width = style["width_inches"]
    columns = shape(max(map(len, lines)), width - 0.5, PANEL)[1]
    n_layers = max(len(unique(of_facet(cells, facet), "layer")) for facet in found)
    height = min(1.6, max(0.95, 0.075 * n_layers + 0.4)) if len(lines) * len(lines[0]) > 1 else 2.0
    room = max(2, int((width - 0.7) / columns / LABEL[0])), max(2, int((height - 0.3) / LABEL[1]))
    fitting = projected.fitting(lines, columns, height)
    figure, grid = blocks([len(line) for line in lines[:fitting]], columns, width, height)
    steps = sorted({row["step"] for row in cells}, key=float)
    for line, axes in zip(lines, grid, strict=False):
        facet = line[0][0]
        layers = sorted({row["layer"] for row in of_facet(cells, facet)}, key=int)
        for axis, (_, name) in zip(axes, line, strict=True):
            here = [row for row in of_facet(cells, facet) if row["organism"] == name]
            mesh = _panel(axis, here, layers, steps, max(reach, LEAST), room)
            title(axis, pretty(name) if len(line) > 1 else "", figure, columns, 6 if columns > 3 else 7)
        of = ", ".join(filter(None, (pretty(facet[0]), names[facet[1:]])))
        for axis in axes[::columns]:
            axis.set_ylabel(wrapped(f"{of}\nLayer", height - 0.2, 6), fontsize=6)
        for axis in (axis for place, axis in enumerate(axes) if place % columns):
            axis.tick_params(labelleft=False)
    projected.label_steps(figure)
    figure.set_figheight(figure.get_figheight() + 0.5)
    bar = figure.colorbar(mesh, ax=figure.axes, location="bottom", shrink=min(1.0, 3 / width), aspect=30)
    bar.set_label("Change of the held-out projection since the\nfirst step, in lengths of the direction")
    bar.ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(width=0.6)
    _legend(figure, cells, given, style, projected.left_out(fitting, len(lines)))
    return figure, [row for row in cells if facet_of(row, projected.FACETS) in list(found)[:fitting]]


def _cells(rows: list[dict], lengths: dict) -> list[dict]:
    """Mean change of each organism, layer and step over its training seeds, as a share of the direction's length."""
    runs: dict[tuple, dict[str, float]] = {}
    for row in rows:
        run = tuple(row.get(name, "") for name in (*projected.FACETS, "organism", "layer", "seed"))
        runs.setdefault(run, {})[row["step"]] = float(row["held_out"])
    found: dict[tuple, list[float]] = {}
    for (*cell, _), at in runs.items():
        first = min(at, key=float)
        for step, value in at.items() if len(at) > 1 else ():
            found.setdefault((*cell, step), []).append((value - at[first]) / lengths[cell[0], cell[-1]])
    names = (*projected.FACETS, "organism", "layer", "step")
    return [
        {**dict(zip(names, cell, strict=True)), "n_seeds": len(shares), "share": float(np.mean(shares))}
        for cell, shares in found.items()
    ]


def _panel(axis: Axes, rows: list[dict], layers: list[str], steps: list[str], reach: float, room: tuple):
    values = np.full((len(layers), len(steps)), np.nan)
    for row in rows:
        values[layers.index(row["layer"]), steps.index(row["step"])] = row["share"]
    axis.set_facecolor(MISSING)
    look = {"edgecolors": "white", "linewidth": 0.2, "cmap": colormaps["RdBu_r"]}
    mesh = axis.pcolormesh(values, vmin=-reach, vmax=reach, **look)
    for which, names, most in ((axis.xaxis, steps, room[0]), (axis.yaxis, layers, room[1])):
        every = -(-len(names) // most)
        which.set_ticks(np.arange(len(names))[::every] + 0.5, names[::every])
    axis.tick_params(length=0, labelsize=5.5)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return mesh


def _legend(figure: Figure, cells: list[dict], rows: list[dict], style: dict, left_out: list[str]) -> None:
    seeds = sorted({row["n_seeds"] for row in cells})
    notes = [f"mean over {' or '.join(map(str, seeds))} training seeds"] if seeds != [1] else []
    mark = "cell" if seeds == [1] else "cell and seed"
    notes += [SCOPES[style["scope"]], noted(rows, rows, mark, "n_responses"), *left_out]
    handles = {"; ".join(notes): Patch(fill=False, linewidth=0)}
    steps = len(unique(cells, "step"))
    full = [
        len(unique(of_facet(cells, facet), "organism")) * len(unique(of_facet(cells, facet), "layer")) * steps
        for facet in unique(cells, *projected.FACETS)
    ]
    if len(cells) < sum(full):
        handles["not evaluated"] = Patch(facecolor=MISSING)
    legend_below(figure, list(handles.values()), list(handles))
