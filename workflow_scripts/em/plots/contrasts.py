"""Forest plot of the contrasts: what was claimed, the difference with its interval, and what follows."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.series import colours
from workflow_scripts.em.plots.style import number, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrap
from workflow_scripts.em.stats.contrast_cells import SHARES, SIDE

# What a difference speaks of, by the start of its estimand: marker, and whether it is filled.
ESTIMANDS = {"this recipe": ("o", True), "such questions": ("s", True), "this run only": ("D", False)}
WIDTHS = (0.36, 0.32, 0.32)  # claim, plot, numbers
SIZES = (6.5, 5.5)  # claims and verdicts, what explains them
LEADING = 1.35 / 72  # inches a line and point
GREY = "#555555"


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of contrasts.csv, in their order. Raises NothingToDraw when none has a difference."""
    rows = list(rows)
    if not any(row["difference"] for row in rows):
        raise NothingToDraw("no contrast has a difference; contrasts.csv says why")
    inches = [style["width_inches"] * share - 0.12 for share in WIDTHS]
    sides = [{name: row[f"{at}_{name}"] for name in SIDE} for row in rows for at in "ab"]
    varying = ["organism", *(name for name in SIDE[1:] if len({side[name] for side in sides}) > 1)]
    texts = [(_lines(_claim(row, varying), inches[0]), _lines(_numbers(row), inches[2])) for row in rows]
    heights = [max(sum(size * LEADING for _, size, _ in column) for column in pair) + 0.1 for pair in texts]
    figure = Figure(figsize=(style["width_inches"], sum(heights) + 0.5))
    left, axis, right = figure.subplots(1, 3, sharey=True, width_ratios=WIDTHS)
    palette = colours(style)
    shown = {kind: palette[place % len(palette)] for place, kind in enumerate(ESTIMANDS)}
    top = 0.0
    for row, pair, height in zip(rows, texts, heights, strict=True):
        for side, lines in zip((left, right), pair, strict=True):
            _write(side, lines, top, height)
        _mark(axis, row, top + height / 2, shown)
        top += height
        axis.axhline(top, color="#d9d9d9", linewidth=0.4)
    for side in (left, right):
        side.set_xlim(0, 1)
        side.axis("off")
    axis.set_ylim(top, 0)
    axis.axvline(0, color="#333333", linewidth=0.6)
    axis.tick_params(axis="y", left=False, labelleft=False)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x")
    axis.margins(x=0.08)
    axis.set_xlabel("\n".join(wrap(_unit(rows), inches[1], 7)))
    _legend(figure, rows, shown)
    return figure, rows


def _claim(row: dict, varying: list[str]) -> list[tuple[str, int]]:
    return [(pretty(row["hypothesis"]), 0), (_compared(row, varying), 1)]


def _compared(row: dict, varying: list[str]) -> str:
    """The two sides by what differs between them, then what they share that other contrasts have otherwise."""
    names = [name for name in SIDE if row[f"a_{name}"] != row[f"b_{name}"]]
    sides = [", ".join(_named(row, at, name) for name in names) for at in "ab"]
    common = [_named(row, "a", name) for name in SIDE if name in varying and name not in names]
    shared = f" ({', '.join(common)})" if common else ""
    measure = "" if row["measure"] == "em_rate" else f"; {pretty(row['measure'])}"
    return f"{sides[0]} \N{MINUS SIGN} {sides[1]}{shared}{measure}"


def _named(row: dict, at: str, name: str) -> str:
    text = pretty(row[f"{at}_{name}"])
    return f"step {text}" if name == "step" else text


def _numbers(row: dict) -> list[tuple[str, int]]:
    if not row["difference"]:
        return [("not estimable", 0), (row["note"], 1)]
    scale = 100 if row["measure"] in SHARES else 1
    value, low, high = (number(row[name]) * scale for name in ("difference", "difference_low", "difference_high"))
    interval = f" [{low:+.1f}, {high:+.1f}]" if row["difference_low"] else " (no interval)"
    p = f"p {_p(row['p_holm'])}, " if row["p_holm"] else ""
    seeds = row["n_seeds_a"] if row["n_seeds_a"] == row["n_seeds_b"] else f"{row['n_seeds_a']} v {row['n_seeds_b']}"
    counts = f"{seeds} seed{'' if seeds == '1' else 's'}, {row['n_questions']} questions, {row['n_a']} v {row['n_b']}"
    text = f"{value:+.1f}{interval}".replace("-", "\N{MINUS SIGN}")
    return [(text, 0), (f"{p}{row['verdict']}", 0), (f"{counts} responses", 1)]


def _p(text: str) -> str:
    p = float(text)  # three digits near the thresholds: 0.0496 is not 0.05
    return "< 0.001" if p < 0.001 else f"= {p:.3g}" if p < 0.1 else f"= {p:.2g}"


def _lines(parts: list[tuple[str, int]], inches: float) -> list[tuple[str, float, int]]:
    """(line, size, kind) of wrapped texts."""
    return [(line, SIZES[kind], kind) for text, kind in parts for line in wrap(text, inches, SIZES[kind])]


def _write(axis: Axes, lines: list[tuple[str, float, int]], top: float, height: float) -> None:
    y = top + (height - sum(size * LEADING for _, size, _ in lines)) / 2
    for line, size, kind in lines:
        axis.text(0.02, y + size * LEADING / 2, line, size=size, va="center", color=GREY if kind else "black")
        y += size * LEADING


def _mark(axis: Axes, row: dict, y: float, shown: dict[str, str]) -> None:
    if not row["difference"]:
        return
    kind, scale = _kind(row), 100 if row["measure"] in SHARES else 1
    marker, filled = ESTIMANDS[kind]
    if row["difference_low"]:
        ends = [number(row[f"difference_{end}"]) * scale for end in ("low", "high")]
        axis.plot(ends, [y, y], color=shown[kind], linewidth=1.0)
    face = shown[kind] if filled else "white"
    axis.plot(number(row["difference"]) * scale, y, marker, color=shown[kind], mfc=face, ms=4)


def _kind(row: dict) -> str:
    return row["estimand"].partition(",")[0]


def _unit(rows: list[dict]) -> str:
    kinds = {row["measure"] in SHARES for row in rows}
    unit = (
        {True: "percentage points", False: "points"}[kinds.pop()]
        if len(kinds) == 1
        else "percentage points; scores: points"
    )
    return f"Difference ({unit})"


def _legend(figure: Figure, rows: list[dict], shown: dict[str, str]) -> None:
    present = {_kind(row) for row in rows}
    handles, labels = [], []
    for kind, (marker, filled) in ESTIMANDS.items():
        if kind in present:
            face = shown[kind] if filled else "white"
            handles.append(Line2D([], [], color=shown[kind], marker=marker, mfc=face, linewidth=1.0, ms=4))
            of = " / ".join(name for (name,) in unique(rows, "estimand") if name.partition(",")[0] == kind)
            labels.append(
                {"this run only": "this run only: 95% interval, such questions"}.get(kind, f"95% interval, {of}")
            )
    definitions = [f"{pretty(name)}, {pretty(scope)}" for name, scope in unique(rows, "definition", "scope")]
    tested = sum(row["p_holm"] != "" for row in rows)
    handles.append(Line2D([], [], linewidth=0))
    labels.append(f"EM definition and questions: {'; '.join(definitions)}. p after Holm over {tested} of {len(rows)}")
    legend_below(figure, handles, labels)
