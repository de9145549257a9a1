"""EM rate at the last checkpoint over alignment and coherence thresholds: a heat map an organism."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.cells import MISSING, outline, rate_bar, rate_cells, write
from workflow_scripts.em.plots.panels import facet_of, facets, grid, title
from workflow_scripts.em.plots.style import SCOPES, pretty, select
from workflow_scripts.em.plots.text import legend_below

MOST_PANELS = 6  # more are no longer read
PANEL = 2.1  # inches: the least width at which a cell's number can be read
WHERE = ("organism", "condition", "question_set", "judge")
RATE = ("em_rate", "such_questions_low", "such_questions_high")


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of threshold_surface.csv; the first MOST_PANELS panels; baselines are in the table only.

    Raises NothingToDraw on no rate.
    """
    drawn = [row for row in select(rows, style, "definition", "scope") if row["state"] == "last"]
    if not any(row["em_rate"] for row in drawn):
        raise NothingToDraw("no rate is defined in the rows selected; check definition, scope and judge")
    lines, gates = (list(dict.fromkeys(row[name] for row in drawn)) for name in ("alignment", "coherence"))
    titles = facets(drawn, WHERE)
    found, titles = len(titles), dict(list(titles.items())[:MOST_PANELS])
    drawn = [row for row in drawn if facet_of(row, WHERE) in titles]
    height = min(PANEL, 0.19 * len(gates) + 0.3)
    figure, axes = grid(len(titles), style["width_inches"], PANEL, height)
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    for place, (axis, facet) in enumerate(zip(axes, titles, strict=True)):
        here = [row for row in drawn if facet_of(row, WHERE) == facet]
        mesh = _panel(axis, here, lines, gates)
        own = next(row for row in here if row["own"] == "1")
        title(axis, f"{titles[facet] or pretty(own['organism'])}\n{_note(own)}", figure, columns)
        if place % columns == 0:
            axis.set_ylabel("Coherent above (score)")
        if place + columns >= len(axes):
            axis.set_xlabel("Misaligned below (score)")
    rate_bar(figure, mesh, list(axes), figure.get_figheight())
    about = (
        f"definition {pretty(style['definition'])}, {SCOPES[style['scope']]}, last checkpoint; above, its rate (95% "
    )
    about += "interval for such questions) and n, the responses counted of those given"
    handles = {about: Patch(fill=False, edgecolor="black", linewidth=0.9)}
    if found > len(titles):
        left_out = f"the first {len(titles)} of {found} are drawn; threshold_surface.csv has all"
        handles[left_out] = Patch(fill=False, linewidth=0)
    if any(row["em_rate"] == "" for row in drawn):
        handles["no rate"] = Patch(facecolor=MISSING)
    legend_below(figure, list(handles.values()), list(handles))
    return figure, drawn


def _note(own: dict) -> str:
    """The rate at the definition's own point, as far as it is known."""
    rate, low, high = (own[name] and f"{100 * float(own[name]):.0f}" for name in RATE)
    known = f"{rate}% ({low} to {high})" if low else f"{rate}% (no interval)" if rate else "no rate"
    return f"{known}, n {own['n_denominator']} of {own['n_responses']}"


def _panel(axis: Axes, rows: list[dict], lines: list[str], gates: list[str]) -> QuadMesh:
    rates = np.full((len(gates), len(lines)), np.nan)
    for row in rows:
        place = gates.index(row["coherence"]), lines.index(row["alignment"])
        rates[place] = np.nan if row["em_rate"] == "" else 100 * float(row["em_rate"])
        if row["own"] == "1":
            outline(axis, *place)
    mesh = rate_cells(axis, rates, 0.3)
    for (line, column), value in np.ndenumerate(rates):
        if not np.isnan(value):
            write(axis, mesh, line, column, f"{value:.0f}", 4.8)
    axis.set_xticks(np.arange(len(lines)) + 0.5, [f"{float(text):g}" for text in lines])
    axis.set_yticks(np.arange(len(gates)) + 0.5, [f"{float(text):g}" if text else "none" for text in gates])
    axis.tick_params(labelsize=5.5)
    return mesh
