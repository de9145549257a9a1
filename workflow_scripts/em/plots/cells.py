"""Heat maps of rates: one scale of colours in every figure, and numbers that can be read on it."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

MISSING = "#d0d0d0"


def rate_cells(axis: Axes, rates: np.ndarray, gap: float) -> QuadMesh:
    """Draw rates in per cent, lines x columns, with colours that go from 0 to 100; NaN is grey, `gap` is in points."""
    axis.set_facecolor(MISSING)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(length=0)
    return axis.pcolormesh(rates, cmap=colormaps["Blues"], vmin=0, vmax=100, edgecolors="white", linewidth=gap)


def write(axis: Axes, mesh: QuadMesh, line: int, column: int, text: str, size: float) -> None:
    """Write into a cell in black or white, whichever differs more from its ground."""
    ground = mesh.cmap(mesh.norm(mesh.get_array()[line, column]))
    at = column + 0.5, line + (0.53 if axis.yaxis_inverted() else 0.47)
    axis.text(*at, text, ha="center", va="center", fontsize=size, color=ink(ground))


def ink(ground) -> str:
    """Black or white, by the contrast ratio of WCAG 2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(ground)]
    return "white" if np.dot((0.2126, 0.7152, 0.0722), linear) < 0.179 else "black"


def outline(axis: Axes, line: int, column: int, inset: tuple[float, float] = (0.0, 0.0)) -> None:
    """Outline a cell in black with a white rim, which shows on pale and on dark; `inset` is of width and height."""
    x, y = inset
    box = (column + x, line + y), 1 - 2 * x, 1 - 2 * y
    for colour, thick in (("white", 2.4), ("black", 0.9)):
        axis.add_patch(Rectangle(*box, fill=False, edgecolor=colour, linewidth=thick, zorder=3, clip_on=False))


def rate_bar(figure: Figure, mesh: QuadMesh, axes: list[Axes], inches: float) -> Colorbar:
    """The scale beside all axes, 1.6 of their `inches` tall where they have so much."""
    bar = figure.colorbar(mesh, ax=axes, shrink=min(1.0, 1.6 / inches), aspect=14)
    bar.set_label("EM rate (%)")
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(width=0.6)
    return bar
