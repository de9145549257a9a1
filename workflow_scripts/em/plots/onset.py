"""The step at which EM sets in, for each organism and way of asking, with its interval."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import step_axis
from workflow_scripts.em.plots.ranges import DOT
from workflow_scripts.em.plots.style import GREY, MARKERS, looks, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below, wrapped
from workflow_scripts.em.stats.onset import ALL

LINE = 0.17  # inches of a mark
SIZES = {"ms": 4, "mew": 0.9}
WAY = ("stage", "condition", "question_set", "judge")


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of onset.csv, and name those that have none; NothingToDraw when no onset could be looked for."""
    chosen = [row for row in select(rows, style) if row["last_step"]]
    each = [row for row in chosen if row["seed"] == ALL or (row["n_seeds"] == "1" and not _pooled(row, chosen))]
    shown = [row for row in each if row["onset"]]
    without = _without([row for row in each if not row["onset"]])
    if not shown:
        raise NothingToDraw("; ".join(without) or "no trajectory with a later step than its first")
    ways = unique(shown, *WAY)
    names = _names(ways)
    organisms = [name for (name,) in unique(shown, "organism")]
    look = looks(organisms, style)
    marks = {way: MARKERS[place % len(MARKERS)] for place, way in enumerate(ways)} if len(ways) > 1 else {}
    lines = [(organism, way) for organism in organisms for way in ways if _of(shown, organism, way)]
    width = style["width_inches"]
    figure = Figure(figsize=(width, len(lines) * LINE + 0.12 * len(organisms) + 0.55))
    axis = figure.subplots()
    last = max(float(row["last_step"]) for row in shown)
    y, ticks = 0.0, {}
    for organism in organisms:
        places = []
        for way in (way for name, way in lines if name == organism):
            [row] = _of(shown, organism, way)
            runs = [one for one in chosen if _pooled(one, [row]) and one["seed"] != ALL]
            own = look[organism]
            _mark(axis, row, runs, y, {"color": own["color"], "marker": marks.get(way, own["marker"])})
            places.append(y)
            y += LINE
        text = wrapped(f"{pretty(organism)}\n{_n(shown, organism)}", 0.32 * width, 6.5)
        y = max(y, places[0] + 0.105 * (text.count("\n") + 1)) + 0.1
        ticks[sum(places) / len(places)] = text
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.set_ylim(y - 0.05 - LINE / 2, -LINE / 2 - 0.09)
    figure.set_figheight(y + 0.53)
    axis.tick_params(axis="y", length=0)
    step_axis(axis, [0.0, last], 8)
    axis.set_xlim(-0.03 * last, 1.06 * last)  # an interval that begins at step 0 is seen to begin there
    axis.grid(axis="x")
    label = f"Onset: training step at which the EM rate has risen by {100 * float(shown[0]['margin']):g} points"
    axis.set_xlabel(wrapped(label, 0.6 * width, 7))
    _legend(figure, {names[way]: mark for way, mark in marks.items()}, chosen, shown, without)
    return figure, chosen


def _pooled(row: dict, rows: list[dict]) -> bool:
    """Whether one of `rows` is that of all seeds of the same trajectory."""
    return any(one["seed"] == ALL and all(one[name] == row[name] for name in ("organism", *WAY)) for one in rows)


def _of(rows: list[dict], organism: str, way: tuple) -> list[dict]:
    return [row for row in rows if row["organism"] == organism and tuple(row[name] for name in WAY) == way]


def _n(rows: list[dict], organism: str) -> str:
    """How many questions and seeds are behind an organism's marks, and of what their intervals speak."""
    found = []
    for column, word in (("n_questions", "question"), ("n_seeds", "seed")):
        values = sorted({int(row[column]) for row in rows if row["organism"] == organism})
        several = values != [1]
        found.append(f"{' or '.join(map(str, values))} {word}{'s' if several else ''}")
    about = " or ".join(dict.fromkeys(row["estimand"] for row in rows if row["organism"] == organism))
    return f"{', '.join(found)}\n{about}"


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
        begin = f"; interval from {float(row['onset_low']):g} on" if row["onset_low"].isdecimal() else ""
        said = {"ha": "right", "va": "bottom", "fontsize": 5.5, "color": look["color"]}
        axis.text(0.98 * last, y - 0.02, f"no onset{begin}", **said)
        axis.plot(last, y, look["marker"], color=look["color"], mfc="white", zorder=3, **SIZES)
    else:
        axis.plot(float(row["onset"]), y, look["marker"], color=look["color"], zorder=3, **SIZES)
    for run in runs:
        if run["onset"] and ">" not in run["onset"]:
            axis.plot(float(run["onset"]), y + 0.05, zorder=4, **DOT)  # below the mark, which it would hide


def _step(text: str, last: float) -> float:
    return last if text.startswith(">") else float(text)


def _without(rows: list[dict]) -> list[str]:
    """Why these rows have no onset, a text a reason, with the organisms and ways of asking that it is said of."""
    said, ways = {}, _names(unique(rows, *WAY))
    for row in rows:
        way = f" · {ways[tuple(row[name] for name in WAY)]}" if len(ways) > 1 else ""
        said.setdefault(row["reason"], []).append(pretty(row["organism"]) + way)
    return [f"{', '.join(names)} ({reason})" for reason, names in said.items()]


def _legend(figure: Figure, marks: dict[str, str], chosen: list[dict], shown: list[dict], without: list[str]) -> None:
    """Ways of asking by their markers, where there are several, the seeds, the interval, and what is not drawn."""
    found = [(Line2D([], [], color=GREY, marker=mark, linewidth=0, **SIZES), name) for name, mark in marks.items()]
    if any(row["onset"] and ">" not in row["onset"] and _pooled(row, shown) and row["seed"] != ALL for row in chosen):
        found.append((Line2D([], [], **DOT), "one training seed"))
    line = Line2D([], [], color=GREY, linewidth=1)
    found.append((line, "95% interval, of what is named beside it; an arrow: later than the last step"))
    found += [(Line2D([], [], linewidth=0), f"Not drawn: {text}") for text in without]
    legend_below(figure, *map(list, zip(*found, strict=True)))
