"""Two ways of asking the same checkpoints: their EM rates, the difference below, and the lead of one over the other."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import percent_axis, title
from workflow_scripts.em.plots.series import COLOURS
from workflow_scripts.em.plots.style import GREY, SCOPES, number, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below
from workflow_scripts.em.stats.intervals import wilson
from workflow_scripts.em.stats.onset import ALL, LEAST_STEPS, read

SIDES = {"a": {"color": COLOURS[0], "marker": "o", "ls": "-"}, "b": {"color": COLOURS[2], "marker": "s", "ls": "-"}}
PAIR = ("condition_a", "question_set_a", "condition_b", "question_set_b")
CELL = ("organism", "stage", "judge", *PAIR)
PANEL = 2.0  # inches at least


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of mode_divergence.csv and lead_times.csv. Raises NothingToDraw without two comparable ways."""
    chosen = select(rows, style)
    cells = [cell for cell in unique(chosen, *CELL) if _n_steps(chosen, cell) >= LEAST_STEPS]
    chosen = [row for row in chosen if _cell(row) in cells]
    pooled = {cell for cell in cells if any(row["seed"] == ALL and _cell(row) == cell for row in chosen)}
    chosen = [row for row in chosen if (row["seed"] == ALL) == (_cell(row) in pooled)]
    steps, leads = ([row for row in chosen if ("step" in row) is found] for found in (True, False))
    tops = [
        wilson(int(row[f"n_events_{side}"]), int(row[f"n_denominator_{side}"])).high for row in steps for side in SIDES
    ]
    if not any(tops):
        raise NothingToDraw("no two conditions were asked at the same steps of an organism")
    runs = unique(steps, *CELL, "seed")  # without a pooled row there is one seed
    columns = max(1, min(len(runs), int(style["width_inches"] // PANEL)))
    blocks = -(-len(runs) // columns)
    figure = Figure(figsize=(style["width_inches"], blocks * 2.6 + 0.3))
    grid = figure.subplots(2 * blocks, columns, sharex=True, sharey="row", squeeze=False, height_ratios=[3, 2] * blocks)
    ends = [number(row[name]) for row in steps for name in ("difference", "difference_low", "difference_high")]
    reach = 1.08 * max(abs(end) for end in ends if end == end)
    for place in range(blocks * columns):
        block, column = divmod(place, columns)
        upper, lower = grid[2 * block][column], grid[2 * block + 1][column]
        if place >= len(runs):
            upper.set_visible(False)
            lower.set_visible(False)
            continue
        here, led = ([r for r in part if (*_cell(r), r["seed"]) == runs[place]] for part in (steps, leads))
        _rates(upper, here, led)
        percent_axis(upper, 1.06 * max(top for top in tops if top))
        _difference(lower, here, reach)
        title(upper, "\n".join([_title(runs[place], runs), *map(_lead, led), _n(here)]), figure, columns)
        lower.set_xlabel("Training step")
        lower.tick_params(labelbottom=True)
        if column == 0:
            upper.set_ylabel(f"EM rate (%)\n{pretty(steps[0]['definition'])}, {SCOPES[steps[0]['scope']]}")
            lower.set_ylabel("Difference\n(points)")
    _legend(figure, steps)
    return figure, steps


def _cell(row: dict) -> tuple:
    return tuple(row[name] for name in CELL)


def _n_steps(rows: list[dict], cell: tuple) -> int:
    return len({row["step"] for row in rows if "step" in row and _cell(row) == cell})


def _title(run: tuple, runs: list[tuple]) -> str:
    """The organism, and of the rest what differs between panels."""
    cell = dict(zip((*CELL, "seed"), run, strict=True))
    varying = [name for i, name in enumerate(CELL) if len({other[i] for other in runs}) > 1]
    shown = [cell[name] for name in ("organism", "stage", "judge") if name == "organism" or name in varying]
    if set(varying) & set(PAIR):
        shown.append(f"{cell['condition_b']} against {cell['condition_a']}")
    if cell["question_set_a"] == cell["question_set_b"] and "question_set_a" in varying:
        shown.append(cell["question_set_a"])
    return " · ".join(pretty(name) for name in shown)


def _n(rows: list[dict]) -> str:
    """Responses behind a point of each side."""
    sizes = [sorted(int(row[f"n_denominator_{side}"]) for row in rows) for side in SIDES]
    return "n " + ", ".join(
        f"{found[0]}" + (f"\N{EN DASH}{found[-1]}" if found[-1] > found[0] else "") for found in sizes
    )


def _rates(axis: Axes, rows: list[dict], leads: list[dict]) -> None:
    """Both rates with their fitted curves; onsets as vertical lines, the lead between them shaded."""
    at = [float(row["step"]) for row in rows]
    for side, look in SIDES.items():
        found = [wilson(int(row[f"n_events_{side}"]), int(row[f"n_denominator_{side}"])) for row in rows]
        known = [i for i, interval in enumerate(found) if interval.low is not None]
        bounds = [[getattr(found[i], end) for i in known] for end in ("low", "high")]
        axis.fill_between([at[i] for i in known], *bounds, color=look["color"], alpha=0.13, linewidth=0)
        rates = [number(row[f"rate_{side}"]) for row in rows]
        axis.plot(at, rates, color=look["color"], marker=look["marker"], ls="", clip_on=False, zorder=3)
        axis.plot(at, [number(row[f"fitted_{side}"]) for row in rows], color=look["color"], linewidth=0.9, zorder=2)
    for row in leads:
        onsets = {side: row[f"onset_{side}"] for side in SIDES}
        for side, onset in onsets.items():
            if onset and ">" not in onset:
                axis.axvline(float(onset), color=SIDES[side]["color"], linewidth=0.8, ls=(0, (2, 1.5)), zorder=1)
        if all(onsets.values()) and not any(">" in onset for onset in onsets.values()):
            axis.axvspan(*sorted(map(float, onsets.values())), color=GREY, alpha=0.2, linewidth=0, zorder=0)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))


def _lead(row: dict) -> str:
    if not row["lead"]:
        return "no lead: neither has an onset" if row["onset_a"] else f"no lead: {row['reason']}"
    ends = f" ({_steps(row['lead_low'])} to {_steps(row['lead_high'])})" if row["lead_low"] else ""
    return f"{row['mode_b']} leads {row['mode_a']} by {_steps(row['lead'])} steps{ends}"


def _steps(text: str) -> str:
    sign = text[0] if text[0] in "<>" else ""
    return f"{sign}{read(float(text.removeprefix(sign)))}".replace("-", "\N{MINUS SIGN}")


def _difference(axis: Axes, rows: list[dict], reach: float) -> None:
    at = [float(row["step"]) for row in rows]
    axis.axhline(0, color="#333333", linewidth=0.6)
    for x, row in zip(at, rows, strict=True):
        axis.plot(
            [x, x], [number(row["difference_low"]), number(row["difference_high"])], color="#333333", linewidth=0.8
        )
    axis.plot(at, [number(row["difference"]) for row in rows], "D", color="#333333", ms=2.6)
    axis.set_ylim(-reach, reach)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}".replace("-", "\N{MINUS SIGN}")))
    axis.grid(axis="y")


def _legend(figure: Figure, rows: list[dict]) -> None:
    handles: list = []
    labels: list[str] = []
    pairs = unique(rows, "condition_a", "condition_b")
    names = map(pretty, pairs[0]) if len(pairs) == 1 else ("after \u201cagainst\u201d", "before \u201cagainst\u201d")
    for look, name in zip(SIDES.values(), names, strict=True):
        handles.append(Line2D([], [], **look))
        labels.append(f"{name} (points; line: fitted)")
    about = " / ".join(dict.fromkeys(row["estimand"] for row in rows))
    handles += [
        Patch(facecolor=GREY, alpha=0.3, linewidth=0),
        Line2D([], [], color="#333333", marker="D", ms=2.6, lw=0.8),
    ]
    labels += [
        "above: 95% interval of the rate, these questions",
        f"below: difference, predictive less assistant, 95% interval, {about}",
    ]
    handles.append(Line2D([], [], color="#333333", linewidth=0.8, ls=(0, (2, 1.5))))
    labels.append("onset")
    legend_below(figure, handles, labels)
