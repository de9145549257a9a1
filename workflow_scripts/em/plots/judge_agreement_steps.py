"""How far two judges agree on the EM call at each training step."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import band, facet_of, facets, grid, percent_axis, step_axis, title
from workflow_scripts.em.plots.style import GREY, looks, number, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below

PANEL = ("stage", "condition", "question_set", "judge_a", "judge_b")
NAMES = {"ac1": "Gwet's AC1 (100: always agree, 0: as by chance)", "agreement": "share of agreement"}
DASH = {"ac1": {"ls": "-"}, "agreement": {"ls": (0, (2, 1.5)), "lw": 0.8, "mfc": "white", "ms": 2.6}}


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
                    band(axis, at, *([number(row[end]) for row in line] for end in ("low", "high")), colour)
                drawn = {"color": colour, "marker": look[name]["marker"], "clip_on": False} | DASH[statistic]
                axis.plot(at, [number(row["value"]) for row in line], zorder=3, **drawn)
        step_axis(axis, [float(row["step"]) for row in chosen], 5)
        axis.margins(x=0.05)
        title(axis, f"{text}\nn {_n(chosen, facet)} a point".lstrip("\n"), figure, columns)
    low = min(0.0, *(number(row[key]) for row in chosen for key in ("value", "low") if row[key]))
    for place, axis in enumerate(axes):
        percent_axis(axis, 1.0, bottom=1.05 * low)
        if place % columns == 0:
            axis.set_ylabel(f"Agreement on the EM call (%)\n{pretty(chosen[0]['definition'])}")
        if place + columns >= len(axes):
            axis.set_xlabel("Training step")
    handles: list = [Line2D([], [], color=look[name]["color"], marker=look[name]["marker"]) for name in organisms]
    labels = [pretty(name) for name in organisms]
    for statistic, name in NAMES.items():
        if any(row["statistic"] == statistic for row in chosen):
            handles.append(Line2D([], [], color="#333333", marker="o", **DASH[statistic]))
            labels.append(name)
    if any(row["low"] for row in chosen if row["statistic"] == "ac1"):
        handles.append(Patch(facecolor=GREY, alpha=0.3, linewidth=0))
        labels.append("95% interval of AC1, such questions")
    legend_below(figure, handles, labels)
    return figure, chosen


def _n(rows: list[dict], facet: tuple) -> str:
    sizes = [int(row["n_responses"]) for row in rows if facet_of(row, PANEL) == facet]
    return f"{min(sizes):,}" + (f"-{max(sizes):,}" if max(sizes) > min(sizes) else "").replace("-", "\N{EN DASH}")
