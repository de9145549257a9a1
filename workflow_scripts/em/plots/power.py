"""Power to tell two recipes apart against training seeds: a line a number of questions, a panel a number of samples."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.em.plots.panels import grid, percent_axis, title
from workflow_scripts.em.plots.series import colours
from workflow_scripts.em.plots.style import DASHES, MARKERS, unique
from workflow_scripts.em.plots.text import legend_below

USUAL = 0.8


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of power.csv; the bars are 95% intervals of the simulation, the dashed line is 80%."""
    drawn = list(rows)
    samples = [value for (value,) in unique(drawn, "samples")]
    questions = [value for (value,) in unique(drawn, "questions")]
    figure, axes = grid(len(samples), style["width_inches"], 2.0, 1.9)
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    handles = []
    for place, count in enumerate(questions):
        palette = colours(style)
        look = {"color": palette[place % len(palette)], "linestyle": DASHES[place % 4], "marker": MARKERS[place % 4]}
        handles.append(Line2D([], [], **look))
        for axis, sample in zip(axes, samples, strict=True):
            line = [row for row in drawn if (row["questions"], row["samples"]) == (count, sample)]
            seeds, power = ([float(row[name]) for row in line] for name in ("seeds", "power"))
            axis.errorbar(seeds, power, [1.96 * float(row["power_error"]) for row in line], elinewidth=0.7, **look)
    for place, (axis, sample) in enumerate(zip(axes, samples, strict=True)):
        axis.axhline(USUAL, color="#8c8c8c", linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
        title(axis, f"{sample} samples a question", figure, columns)
        percent_axis(axis, 1.0)
        axis.set_ylim(0, 1.03)  # room for a mark at 100%
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if place % columns == 0:
            axis.set_ylabel("Power (%), this recipe:\nWelch over seeds, p < 0.05")
        if place + columns >= len(axes):
            axis.set_xlabel("Training seeds a recipe")
    figure.suptitle(_recipes(drawn[0]), fontsize=7)
    legend_below(figure, handles, [f"{count} questions" for count in questions])
    return figure, drawn


def _recipes(row: dict) -> str:
    """The two recipes told apart, and how much questions and seeds differ."""
    a, b, questions, seeds = (float(row[name]) for name in ("rate_a", "rate_b", "sd_questions", "sd_seeds"))
    spreads = f"SD between questions {questions:.2f}, between seeds {seeds:.2f} logits"
    return f"EM rates {100 * a:.0f}% and {100 * b:.0f}%; {spreads}"
