"""Panels: which facets a table has, and a grid of axes for them."""

from collections.abc import Iterable
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from workflow_scripts.em.plots.style import pretty, unique
from workflow_scripts.em.plots.text import wrapped

PAGE = 9.0  # inches of panels that fit a page
FACETS = ("panel", "stage", "condition", "question_set", "judge")


def facets(rows: list[dict], names: tuple[str, ...] = FACETS) -> dict[tuple[str, ...], str]:
    """The panels of a table: {values of `names`: title}, the title saying only what differs between panels."""
    found = unique(rows, *names)
    varying = [place for place in range(len(names)) if len({values[place] for values in found}) > 1]
    return {values: " · ".join(pretty(values[place]) or "none" for place in varying) for values in found}


def facet_of(row: dict, names: tuple[str, ...] = FACETS) -> tuple[str, ...]:
    """The panel a row belongs to."""
    return tuple(row.get(name, "") for name in names)


def grid(n: int, width: float, panel_width: float, panel_height: float) -> tuple[Figure, list[Axes]]:
    """A figure `width` inches wide with n axes at least `panel_width` wide where that fits, sharing both scales."""
    rows, columns = shape(n, width, panel_width)
    figure = Figure(figsize=(width, rows * panel_height + 0.4))
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)).ravel()
    for place, axis in enumerate(axes):
        if place >= n:
            axis.set_visible(False)
        elif place + columns >= n:  # the lowest panel of its column shows the steps, also above a hidden one
            axis.tick_params(labelbottom=True)
    return figure, list(axes[:n])


def shape(n: int, width: float, panel_width: float) -> tuple[int, int]:
    """Rows and columns for n panels: as few rows as the width allows, then filled evenly."""
    rows = -(-n // max(1, int(width // panel_width)))
    return rows, -(-n // rows)


def blocks(
    sizes: list[int], columns: int, width: float, panel_height: float, sharex: bool = True
) -> tuple[Figure, list[list[Axes]]]:
    """A figure `width` inches wide with `columns` columns where each block of panels begins a new row.

    `sizes`: how many panels each block has; `sharex`: all have one x axis.
    """
    rows = [-(-size // columns) for size in sizes]
    figure = Figure(figsize=(width, sum(rows) * panel_height + 0.4))
    axes = figure.subplots(sum(rows), columns, sharex=sharex, squeeze=False)
    found = []
    for place, size in enumerate(sizes):
        own = list(axes[sum(rows[:place]) : sum(rows[: place + 1])].ravel())
        for axis in own[size:]:
            axis.set_visible(False)
        found.append(own[:size])
    for column in axes.T:  # the lowest panel of its column shows the steps, also above a hidden one
        [*_, lowest] = [axis for axis in column if axis.get_visible()]
        lowest.tick_params(labelbottom=True)
    return figure, found


def on_page(heights: Iterable[float]) -> int:
    """How many panels of these heights, in inches, fit a page one below the other; the first does in any case."""
    return max(1, sum(used <= PAGE for used in accumulate(heights)))


def title(axis: Axes, text: str, figure: Figure, columns: int, size: float = 7) -> None:
    """A panel's title, wrapped to the panel's width."""
    inches = (figure.get_figwidth() - 0.75) / columns - 0.06  # what the y axis and the gaps leave
    axis.set_title(wrapped(text, inches, size), fontsize=size, loc="left")


def percent_axis(axis: Axes, top: float, which: str = "y", bottom: float = 0.0) -> None:
    """Scale an axis of proportions from `bottom` to `top`, labelled in per cent."""
    getattr(axis, f"set_{which}lim")(bottom, min(1.0, max(top, 0.02)))
    target = axis.yaxis if which == "y" else axis.xaxis
    target.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}".replace("-", "\N{MINUS SIGN}")))
    axis.grid(axis=which)


def step_axis(axis: Axes, steps: Iterable[float], nbins: int) -> None:
    """Tick an axis of steps at round numbers, and at the first and last step in place of those beside them."""
    steps = list(steps)
    first, last = min(steps), max(steps)
    if first == last:
        axis.set_xticks([last])
        return
    ticks = MaxNLocator(nbins=nbins, integer=True, min_n_ticks=2, steps=[1, 2, 5, 10]).tick_values(first, last)
    apart = 0.75 * (ticks[1] - ticks[0])
    axis.set_xticks([first, *(tick for tick in ticks if first + apart <= tick <= last - apart), last])


def band(axis: Axes, steps: list[float], low: list[float], high: list[float], colour: str) -> None:
    """Intervals along steps as a pale band; its edge shows one beside which there is none. NaN is not drawn."""
    shade = {"facecolor": to_rgba(colour, 0.09), "edgecolor": to_rgba(colour, 0.5), "linewidth": 0.5}
    axis.fill_between(steps, low, high, zorder=2, clip_on=False, **shade)
