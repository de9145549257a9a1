"""Loss, learning rate, gradient norm and speed over training steps."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import step_axis
from workflow_scripts.em.plots.style import looks, pretty, seed_dashes, select, unique
from workflow_scripts.em.plots.text import legend_below
from workflow_scripts.em.plots.trajectories import points, seed_handles

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
    look, dashes, width = looks(organisms, style), seed_dashes(rows), style["width_inches"]
    thin = 0.8 if len(organisms) <= 6 else 0.5
    folded = len(stages) == 1 and width >= 5
    shape = (2, 2) if folded else (len(MEASURES), len(stages))
    figure = Figure(figsize=(width, 1.45 * shape[0] + 0.2))
    axes = figure.subplots(*shape, sharex="all" if folded else "col", sharey=False if folded else "row", squeeze=False)
    flat = axes.ravel()
    for column, stage in enumerate(stages):
        here = [row for row in rows if row["stage"] == stage]
        for line, (measure, label) in enumerate(MEASURES.items()):
            axis = flat[line] if folded else axes[line, column]
            _panel(axis, here, measure, look, dashes, thin)
            step_axis(axis, [float(row["step"]) for row in here], 5)
            axis.grid(axis="y")
            if folded or column == 0:
                axis.set_ylabel(label)
            if line == 0 and len(stages) > 1:
                axis.set_title(pretty(stage), fontsize=7, loc="left")
    for axis in flat:  # only now: a limit set earlier would stop the scale from growing with the next stage's lines
        axis.set_ylim(bottom=0)
    for axis in axes[-1]:
        axis.set_xlabel("Training step")
    handles = [Line2D([], [], color=look[name]["color"], marker=look[name]["marker"], ms=2.6) for name in organisms]
    seeds = {name: len({row["seed"] for row in rows if row["organism"] == name}) for name in organisms}
    labels = [pretty(name) + (f" ({n} training seeds)" if n > 1 else "") for name, n in seeds.items()]
    for handle, label in seed_handles(rows, marks=False):
        handles.append(handle)
        labels.append(label)
    legend_below(figure, handles, labels)
    return figure, rows


def _panel(axis: Axes, rows: list[dict], measure: str, look: dict, dashes: dict, thin: float) -> None:
    """A line a run, or one line that says so where all runs have the same values, such as a learning rate."""
    runs = unique(rows, "organism", "seed")
    lines = [[row for row in rows if (row["organism"], row["seed"]) == run] for run in runs]
    values = {tuple((row["step"], row[measure]) for row in line) for line in lines}
    if len(runs) > len(values) == 1 and any(row[measure] for row in rows):
        axis.plot(*points(lines[0], measure), color="#333333", linewidth=1, marker="." if len(lines[0]) == 1 else "")
        text = f"the same in all {len(runs)} runs"
        axis.text(0.98, 0.95, text, ha="right", va="top", fontsize=6, transform=axis.transAxes)
        return
    for (organism, seed), line in zip(runs, lines, strict=True):
        _line(axis, line, measure, look[organism], dashes[seed], thin)


def _line(axis: Axes, run: list[dict], measure: str, look: dict, dash: str | tuple, thin: float) -> None:
    """A run's line with some markers on it, by which organisms are told apart without colours."""
    mark = {"marker": look["marker"], "ms": 2.6, "mfc": look["color"] if dash == "-" else "white", "mew": 0.5}
    every = (len(run) // 12, max(1, len(run) // 6))
    axis.plot(*points(run, measure), linewidth=thin, linestyle=dash, color=look["color"], markevery=every, **mark)
