"""A study's EM rates beside published ones that count the same."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import percent_axis
from workflow_scripts.em.plots.style import GREY, INTERVALS, OKABE_ITO, number, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped

LINE = 0.125  # inches a line of text


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of literature.csv: a block for each organism and EM definition. Raises NothingToDraw."""
    rows = list(rows)
    if not rows:
        raise NothingToDraw("no organism has a rate under the definition of a published one")
    wide = 0.45 * style["width_inches"]
    labels = [wrapped(_label(row, rows), wide, 6) for row in rows]
    blocks = unique(rows, "organism", "definition")
    inches = style["width_inches"] - wide - 0.2
    titles = [wrapped(f"{pretty(organism)}: {_counts(rows, organism, name)}", inches, 7) for organism, name in blocks]
    heights, places = [], []
    for block in blocks:
        own = [i for i, row in enumerate(rows) if (row["organism"], row["definition"]) == block]
        places.append(own)
        heights.append(sum((labels[i].count("\n") + 1.6) * LINE for i in own))
    figure = Figure(
        figsize=(
            style["width_inches"],
            sum(heights) + 0.45 + sum(0.1 + LINE * (text.count("\n") + 1) for text in titles),
        )
    )
    axes = figure.subplots(len(blocks), 1, sharex=True, squeeze=False, height_ratios=heights).ravel()
    for axis, own, title in zip(axes, places, titles, strict=True):
        at = []
        top = 0.0
        for i in own:
            tall = (labels[i].count("\n") + 1.6) * LINE
            at.append(top + tall / 2)
            top += tall
            _mark(axis, rows[i], at[-1])
        axis.set_yticks(at, [labels[i] for i in own], fontsize=6)
        axis.set_ylim(top, 0)
        axis.tick_params(axis="y", length=0)
        axis.set_title(title, fontsize=7, loc="left")
        percent_axis(axis, 1.06 * max(number(row[k]) for row in rows for k in ("em_rate", "high") if row[k]), "x")
    axes[-1].set_xlabel("EM rate (%)")
    handles = [Line2D([], [], color=OKABE_ITO[0], marker="o", ms=3.6, lw=0.9)]
    handles += [Line2D([], [], color=GREY, marker="s", mfc="white", ms=3.6, lw=0.9)]
    legend_below(
        figure, handles, ["this study, last checkpoint", f"published; {INTERVALS['these_questions']} where n is known"]
    )
    return figure, rows


def _mark(axis, row: dict, y: float) -> None:
    own = not row["published"]
    colour = OKABE_ITO[0] if own else GREY
    face = {"mfc": colour if own else "white", "marker": "o" if own else "s"}
    if row["low"]:
        axis.plot([number(row["low"]), number(row["high"])], [y, y], color=colour, linewidth=0.9, clip_on=False)
    if row["em_rate"]:
        axis.plot(number(row["em_rate"]), y, color=colour, ms=3.6, clip_on=False, zorder=3, **face)
    else:
        axis.text(0.004, y, "no rate", va="center", fontsize=5, color="#555555", transform=axis.get_yaxis_transform())


def _label(row: dict, rows: list[dict]) -> str:
    n = f"n = {row['n_denominator']}" if row["n_denominator"] else "n not given"
    if not row["published"]:
        parts = [pretty(row["organism"])]
        own = [other for other in rows if not other["published"]]
        parts += [pretty(row[name]) for name in ("condition", "question_set") if len(unique(own, name)) > 1]
        return f"{', '.join(parts)}; judge {pretty(row['judge'])}, {n}"
    return f"{row['model']}, {row['data']}; judge {row['judge']}, {n}. {row['source']}"


def _counts(rows: list[dict], organism: str, definition: str) -> str:
    found = next(row for row in rows if (row["organism"], row["definition"]) == (organism, definition))
    return f"{found['counts']} ({pretty(definition)})"
