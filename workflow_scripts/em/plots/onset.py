"""The step at which EM sets in, for each organism and way of asking, with its interval."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.style import MARKERS, looks, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below, wrapped
from workflow_scripts.em.stats.onset import ALL

LINE = 0.17  # inches of a mark
SIZES = {"ms": 4, "mew": 0.9}
WAY = ("stage", "condition", "question_set", "judge")


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of onset.csv. Raises NothingToDraw when no trajectory has an onset that could be looked for."""
    chosen = [row for row in select(rows, style) if row["last_step"]]
    shown = [row for row in chosen if row["seed"] == ALL or (row["n_seeds"] == "1" and not _pooled(row, chosen))]
    shown = [row for row in shown if row["onset"]]
    if not shown:
        raise NothingToDraw("no trajectory with a baseline and a later step")
    ways = unique(shown, *WAY)
    names = _names(ways)
    look = looks([names[way] for way in ways], {**style, "organism": [names[way] for way in ways]})
    marks = {names[way]: MARKERS[place % len(MARKERS)] for place, way in enumerate(ways)}
    organisms = [name for (name,) in unique(shown, "organism")]
    lines = [(organism, way) for organism in organisms for way in ways if _of(shown, organism, way)]
    width = style["width_inches"]
    figure = Figure(figsize=(width, len(lines) * LINE + 0.12 * len(organisms) + 0.55))
    axis = figure.subplots()
    last = max(float(row["last_step"]) for row in shown)
    y, ticks = 0.0, {}
    for organism in organisms:
        places = []
        for way in (way for name, way in lines if name == organism):
            [row], name = _of(shown, organism, way), names[way]
            runs = [one for one in chosen if _pooled(one, [row]) and one["seed"] != ALL]
            _mark(axis, row, runs, y, {"color": look[name]["color"], "marker": marks[name]})
            places.append(y)
            y += LINE
        ticks[sum(places) / len(places)] = wrapped(f"{pretty(organism)}\n{_n(shown, organism)}", 0.28 * width, 6.5)
        y += 0.12
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.set_ylim(y - 0.12 - LINE / 2, -LINE / 2 - 0.04)
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, 1.06 * last)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, steps=[1, 2, 5, 10]))
    axis.grid(axis="x")
    label = f"Onset: training step at which the EM rate has risen by {100 * float(shown[0]['margin']):g} points"
    axis.set_xlabel(wrapped(label, 0.6 * width, 7))
    _legend(figure, ways, names, look, marks, chosen, shown)
    return figure, chosen


def _pooled(row: dict, rows: list[dict]) -> bool:
    """Whether one of `rows` is that of all seeds of the same trajectory."""
    return any(one["seed"] == ALL and all(one[name] == row[name] for name in ("organism", *WAY)) for one in rows)


def _of(rows: list[dict], organism: str, way: tuple) -> list[dict]:
    return [row for row in rows if row["organism"] == organism and tuple(row[name] for name in WAY) == way]


def _n(rows: list[dict], organism: str) -> str:
    """How many questions and seeds are behind an organism's marks."""
    found = []
    for column, word in (("n_questions", "question"), ("n_seeds", "seed")):
        values = sorted({int(row[column]) for row in rows if row["organism"] == organism})
        several = values != [1]
        found.append(f"{' or '.join(map(str, values))} {word}{'s' if several else ''}")
    return ", ".join(found)


def _names(ways: list[tuple]) -> dict[tuple, str]:
    """What tells the ways of asking apart, in words."""
    varying = [place for place in range(len(WAY)) if len({way[place] for way in ways}) > 1]
    return {way: " · ".join(pretty(way[place]) for place in varying) or "onset" for way in ways}


def _mark(axis: Axes, row: dict, runs: list[dict], y: float, look: dict) -> None:
    """A point and its interval; what lies beyond the last step is an arrow that ends there."""
    last, line = float(row["last_step"]), {"color": look["color"], "linewidth": 1}
    if row["onset_low"]:
        low, high = (min(_step(row[name], last), last) for name in ("onset_low", "onset_high"))
        axis.plot([low, high], [y, y], **line, solid_capstyle="butt", zorder=2)
    if ">" in (row["onset"] + row["onset_high"]):
        axis.plot([last, 1.03 * last], [y, y], **line, zorder=2, clip_on=False)
        axis.plot(1.03 * last, y, ">", color=look["color"], ms=3.5, zorder=2, clip_on=False)
    if ">" in row["onset"]:
        axis.text(0.995 * last, y - 0.01, "no onset", ha="right", va="bottom", fontsize=5.5, color=look["color"])
    else:
        axis.plot(float(row["onset"]), y, look["marker"], color=look["color"], zorder=3, **SIZES)
    for run in runs:
        if run["onset"] and ">" not in run["onset"]:
            axis.plot(float(run["onset"]), y, "o", ms=2, mfc="white", mec="#333333", mew=0.4, zorder=4)


def _step(text: str, last: float) -> float:
    return last if text.startswith(">") else float(text)


def _legend(figure: Figure, ways: list, names: dict, look: dict, marks: dict, chosen: list, shown: list) -> None:
    handles, labels = [], []
    for way in ways:
        name = names[way]
        handles.append(Line2D([], [], color=look[name]["color"], marker=marks[name], linewidth=1, **SIZES))
        labels.append(name)
    if len(chosen) > len(shown):
        handles.append(Line2D([], [], marker="o", ms=2, mfc="white", mec="#333333", mew=0.4, ls=""))
        labels.append("one training seed")
    about = " / ".join(dict.fromkeys(row["estimand"] for row in shown))
    handles.append(Line2D([], [], color="#333333", linewidth=1))
    labels.append(f"95% interval, {about}; an arrow: later than the last step")
    legend_below(figure, handles, labels)
