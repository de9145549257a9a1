"""Held-out projection against EM rate: a point a checkpoint, with the rank correlation over all of them."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots import projected
from workflow_scripts.em.plots.panels import blocks, facet_of, facets, percent_axis, shape, title
from workflow_scripts.em.plots.style import SCOPES, looks, number, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped

WHERE = ("direction", "reading", "condition", "question_set", "judge")
PANEL = 2.1, 1.9  # inches
ALL = "all"  # as projection_em.csv calls the row of all organisms


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw projection_points.csv, with the correlations of projection_em.csv; rates are proportions.

    Raises NothingToDraw when no checkpoint has both a projection and a rate.
    """
    rows = list(rows)
    points = [row for row in rows if row.get("em_rate") and row.get("projection")]
    points = projected.chosen(points, style, "definition", "scope")
    layers = projected.shown_layers(points, style)
    points = projected.at_layer(points, layers)
    if not points:
        raise NothingToDraw("no checkpoint has both a projection and an EM rate in the rows selected")
    organisms = [name for (name,) in unique(points, "organism")]
    over = ALL if len(unique((row for row in rows if row.get("em_rate")), "organism")) > 1 else organisms[0]
    found = [row for row in rows if row.get("n_checkpoints") and row["organism"] == over]
    found = projected.chosen(found, {**style, "organism": None}, "definition", "scope")
    correlations = {facet_of(row, WHERE): row for row in projected.at_layer(found, layers)}
    look = {name: {key: own[key] for key in ("color", "marker")} for name, own in looks(organisms, style).items()}
    look = {name: look[name] for name in organisms}
    names, panels = facets(points, WHERE[1:]), facets(points, WHERE)
    lines = [[facet for facet in panels if facet[0] == direction] for (direction,) in unique(points, "direction")]
    width = style["width_inches"]
    columns = shape(max(map(len, lines)), width, PANEL[0])[1]
    fitting = projected.fitting(lines, columns, PANEL[1])
    figure, grid = blocks([len(line) for line in lines[:fitting]], columns, width, PANEL[1], sharex=False)
    top = 1.06 * max(number(row[key] or row["em_rate"]) for row in points for key in ("em_rate", "em_high"))
    for line, axes in zip(lines, grid, strict=False):
        for place, (axis, facet) in enumerate(zip(axes, line, strict=True)):
            here = [row for row in points if facet_of(row, WHERE) == facet]
            _points(axis, here, look)
            own = correlations.get(facet)
            text = "\n".join(filter(None, (names[facet[1:]], own and _rho(own))))
            title(axis, text, figure, columns)
            percent_axis(axis, top)
            direction = f"{pretty(facet[0])}, layer {layers[facet[0]]}"
            label = f"Held-out projection on {direction}"
            axis.set_xlabel(wrapped(label, width / columns - 0.5, 7))
            if place % columns == 0:
                axis.set_ylabel(f"EM rate (%)\n{pretty(style['definition'])}, {SCOPES[style['scope']]}")
        reach = [limit for axis in axes for limit in axis.get_xlim()]
        for axis in axes:
            axis.set_xlim(min(reach), max(reach))
    drawn = [row for row in points if facet_of(row, WHERE) in [facet for line in lines[:fitting] for facet in line]]
    _legend(figure, drawn, look, correlations, projected.left_out(fitting, len(lines)))
    return figure, drawn


def _points(axis: Axes, rows: list[dict], look: dict) -> None:
    for row in rows:
        colour, x, y = look[row["organism"]]["color"], number(row["projection"]), number(row["em_rate"])
        for ends, low, high in (("x", "low", "high"), ("y", "em_low", "em_high")):
            if row[low]:
                span = [number(row[low]), number(row[high])]
                line = (span, [y, y]) if ends == "x" else ([x, x], span)
                axis.plot(*line, color=colour, linewidth=0.4, alpha=0.5, zorder=2, clip_on=False)
        marker = look[row["organism"]]["marker"]
        axis.plot(x, y, marker, color=colour, ms=3, mec="white", mew=0.3, zorder=3, clip_on=False)
    axis.grid(axis="x")


def _rho(row: dict) -> str:
    """The rank correlation in words, as far as it is known."""
    of = f"{row['n_checkpoints']} checkpoints of {row['n_runs']} run{'' if row['n_runs'] == '1' else 's'}"
    if not row["rho"]:
        return f"no correlation, {of}: {row['reason']}"
    value, low, high = (row[name] and f"{float(row[name]):.2f}" for name in ("rho", "low", "high"))
    interval = f" [{low}, {high}]" if low else " (no interval)"
    return f"Spearman's \N{GREEK SMALL LETTER RHO} {value}{interval}, {of}".replace("-", "\N{MINUS SIGN}")


def _legend(figure: Figure, rows: list[dict], look: dict, correlations: dict, left_out: list[str]) -> None:
    handles = [Line2D([], [], ls="", ms=3.5, **look[name]) for name in look]
    labels = [pretty(name) for name in look]
    handles.append(Line2D([], [], color="#333333", linewidth=0.4))
    labels.append("95% intervals of a checkpoint, such questions")
    if about := " / ".join(dict.fromkeys(row["estimand"] for row in correlations.values() if row["low"])):
        left_out = [f"\N{GREEK SMALL LETTER RHO} over all checkpoints, with its 95% interval for {about}", *left_out]
    for text in left_out:
        handles.append(Line2D([], [], linewidth=0))
        labels.append(text)
    legend_below(figure, handles, labels)
