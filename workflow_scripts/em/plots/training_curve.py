"""Loss, learning rate, gradient norm and speed over training steps."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.style import looks, number, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below

MEASURES = {
    "loss": "Loss (nats a token)",
    "learning_rate": "Learning rate",
    "grad_norm": "Gradient norm",
    "tokens_per_second": "Tokens per second",
}


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of training_curve.csv; a column of panels for each stage. Raises UserError without rows."""
    rows = select(rows, {**style, "condition": None, "question_set": None, "judge": None})
    if not rows:
        raise NothingToDraw("no training log rows")
    stages = [name for (name,) in unique(rows, "stage")]
    organisms = [name for (name,) in unique(rows, "organism")]
    look, width = looks(organisms, style), style["width_inches"]
    folded = len(stages) == 1 and width >= 5
    shape = (2, 2) if folded else (len(MEASURES), len(stages))
    figure = Figure(figsize=(width, 1.45 * shape[0] + 0.2))
    axes = figure.subplots(*shape, sharex="all" if folded else "col", sharey=False if folded else "row", squeeze=False)
    flat = axes.ravel()
    for column, stage in enumerate(stages):
        here = [row for row in rows if row["stage"] == stage]
        for line, (measure, label) in enumerate(MEASURES.items()):
            axis = flat[line] if folded else axes[line, column]
            for organism, seed in unique(here, "organism", "seed"):
                run = [row for row in here if (row["organism"], row["seed"]) == (organism, seed)]
                steps, values = [float(row["step"]) for row in run], [number(row[measure]) for row in run]
                colour = {key: look[organism][key] for key in ("color", "linestyle")}
                axis.plot(
                    steps,
                    values,
                    linewidth=0.8 if len(organisms) <= 6 else 0.5,
                    marker=look[organism]["marker"] if len(run) == 1 else "",
                    **colour,
                )
            axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=2))
            axis.grid(axis="y")
            if folded or column == 0:
                axis.set_ylabel(label)
            if line == 0 and len(stages) > 1:
                axis.set_title(pretty(stage), fontsize=7, loc="left")
    for axis in flat:  # only now: a limit set earlier would stop the scale from growing with the next stage's lines
        axis.set_ylim(bottom=0)
    for axis in axes[-1]:
        axis.set_xlabel("Training step")
    handles = [Line2D([], [], **{key: look[name][key] for key in ("color", "linestyle")}) for name in organisms]
    seeds = {name: len({row["seed"] for row in rows if row["organism"] == name}) for name in organisms}
    labels = [pretty(name) + (f" ({n} training seeds)" if n > 1 else "") for name, n in seeds.items()]
    legend_below(figure, handles, labels)
    return figure, rows
