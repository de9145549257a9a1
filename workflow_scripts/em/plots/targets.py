"""Targets: mean scores of each organism's last checkpoint against the thresholds they must pass."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.style import looks, number, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of targets.csv, a line a target and organism; the side that passes is shaded.

    Raises NothingToDraw when no mean is defined.
    """
    rows = [row for row in rows if row["organism"] != ""]  # one without is a target that nothing was asked for
    if not any(row["mean"] != "" for row in rows):
        raise NothingToDraw("no mean score is defined; look into targets.csv")
    names = [name for (name,) in unique(rows, "organism")]
    look, targets = looks(names, style), [name for (name,) in unique(rows, "target")]
    figure = Figure(figsize=(style["width_inches"], 0.17 * len(rows) + 0.14 * len(targets) + 0.7))
    axis = figure.subplots()
    at, ticks, texts = 0.0, [], []
    for target in targets:
        own = [row for row in rows if row["target"] == target]
        low, high = (
            (0.0, number(own[0]["threshold"])) if own[0]["side"] == "below" else (number(own[0]["threshold"]), 100)
        )
        axis.fill_betweenx([at - 0.5, at + len(own) - 0.5], low, high, color="#e3efe6", linewidth=0, zorder=0)
        ticks.append(at + (len(own) - 1) / 2)
        asked = f"{pretty(own[0]['metric'])} {own[0]['side']} {number(own[0]['threshold']):g}"
        texts.append("\n".join(wrapped(text, 0.3 * style["width_inches"], 6.5) for text in (pretty(target), asked)))
        for row in own:
            mark = {"color": look[row["organism"]]["color"], "marker": look[row["organism"]]["marker"]}
            face = mark["color"] if row["met"] == "yes" else "white"
            axis.plot(number(row["mean"]), at, mfc=face, ls="", ms=4, zorder=3, clip_on=False, **mark)
            if row["low"] != "":
                axis.plot([number(row["low"]), number(row["high"])], [at, at], color=mark["color"], lw=0.8, zorder=2)
            at += 1
        at += 0.8
    axis.set_yticks(ticks, texts)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(at - 1.1, -0.7)
    axis.set_xlim(0, 100)
    axis.set_xlabel("Mean score at the last checkpoint (0-100)")
    axis.grid(axis="x")
    counts = sorted({int(row["n_scored"]) for row in rows})
    responses = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "") + " responses a mark"
    handles: list = [
        Line2D([], [], ls="", ms=4, color=look[name]["color"], marker=look[name]["marker"]) for name in names
    ]
    handles += [Line2D([], [], ls="", ms=4, color="#333333", marker="o", mfc="white")]
    handles += [Patch(facecolor="#e3efe6"), Line2D([], [], color="#333333", lw=0.8)]
    labels = [*map(pretty, names), "target not met", "target", f"95% interval, such questions ({responses})"]
    legend_below(figure, handles, labels)
    return figure, rows
