"""How far two judges agree on the EM call at each training step."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import facet_of, facets, grid, title
from workflow_scripts.em.plots.style import GREY, looks, number, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below

PANEL = ("stage", "condition", "question_set", "judge_a", "judge_b")


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of step_agreement.csv. Raises NothingToDraw when no two judges counted the same response."""
    chosen = [row for row in select(rows, {**style, "judge": None}) if row["value"]]
    if not chosen:
        raise NothingToDraw("no response is counted by two judges, or their calls are all the same")
    panels, organisms = facets(chosen, PANEL), [name for (name,) in unique(chosen, "organism")]
    look, width = looks(organisms, style), style["width_inches"]
    figure, axes = grid(len(panels), width, 2.2, 1.8)
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    for axis, (facet, text) in zip(axes, panels.items(), strict=True):
        for name in organisms:
            for statistic in ("ac1", "agreement"):
                here = [r for r in chosen if facet_of(r, PANEL) == facet and r["organism"] == name]
                line = [row for row in here if row["statistic"] == statistic]
                at, colour = [float(row["step"]) for row in line], look[name]["color"]
                if statistic == "ac1":
                    ends = [[number(row[end]) for row in line] for end in ("low", "high")]
                    axis.fill_between(at, *ends, color=colour, alpha=0.13, linewidth=0)
                dash = {"marker": look[name]["marker"]} if statistic == "ac1" else {"ls": (0, (2, 1.5)), "lw": 0.8}
                axis.plot(at, [number(row["value"]) for row in line], color=colour, clip_on=False, **dash)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
        axis.grid(axis="y")
        title(axis, f"{text}\nn {_n(chosen, facet)} a point".lstrip("\n"), figure, columns)
    low = min([0.0, *(number(row["low"]) for row in chosen if row["statistic"] == "ac1" and row["low"])])
    axes[0].set_ylim(low * 1.05, 1.0)
    for place, axis in enumerate(axes):
        if place % columns == 0:
            axis.set_ylabel(f"Agreement on the EM call\n{pretty(chosen[0]['definition'])}")
        if place + columns >= len(axes):
            axis.set_xlabel("Training step")
    handles: list = [Line2D([], [], color=look[name]["color"], marker=look[name]["marker"]) for name in organisms]
    handles += [Line2D([], [], color="#333333"), Line2D([], [], color="#333333", ls=(0, (2, 1.5)), lw=0.8)]
    handles.append(Patch(facecolor=GREY, alpha=0.3, linewidth=0))
    legend_below(
        figure,
        handles,
        [*map(pretty, organisms), "Gwet's AC1 (solid)", "share of agreement", "95% interval of AC1, such questions"],
    )
    return figure, chosen


def _n(rows: list[dict], facet: tuple) -> str:
    sizes = [int(row["n_responses"]) for row in rows if facet_of(row, PANEL) == facet]
    return f"{min(sizes):,}" + (f"-{max(sizes):,}" if max(sizes) > min(sizes) else "").replace("-", "\N{EN DASH}")
