"""How each organism drifts along a direction: where it starts, how fast it goes, where it ends; and who differs."""

from collections.abc import Iterable
from string import ascii_lowercase

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots import projected
from workflow_scripts.em.plots.panels import PAGE, facet_of, facets, on_page
from workflow_scripts.em.plots.series import MARKERS, colours
from workflow_scripts.em.plots.style import SCOPES, number, pretty, unique
from workflow_scripts.em.plots.text import legend_below, wrapped

QUANTITIES = {
    "start": "Start: projection at the first step",
    "slope": "Slope: its rise in 10 steps",
    "saturation": "Saturation: its mean over the last third of the steps",
}
WHERE = ("direction", "stage", "condition", "question_set")
LINE, TIGHT, GAP, HEAD = 0.15, 0.11, 0.05, 0.75  # inches: a mark at most, at least, between organisms, of a panel


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw drift.csv, with letters from drift_contrasts.csv: organisms that share one are not shown to differ.

    Raises NothingToDraw when no organism has a value.
    """
    rows = list(rows)
    given = projected.chosen([row for row in rows if row.get("value")], style, "scope")
    layers = projected.shown_layers(given, style)
    given = projected.at_layer(given, layers)
    if not given:
        raise NothingToDraw("no organism was projected on a direction in the rows selected")
    found = [row for row in rows if row.get("organism_a") and row["scope"] == style["scope"]]
    pairs = [row for row in found if row["layer"] == layers.get(row["direction"])]
    readings, facets_of = [name for (name,) in unique(given, "reading")], facets(given, WHERE)
    palette = colours(style)
    looks = {
        name: {"color": palette[place % len(palette)], "marker": MARKERS[place % len(MARKERS)]}
        for place, name in enumerate(readings)
    }
    organisms = {
        facet: [name for (name,) in unique([row for row in given if facet_of(row, WHERE) == facet], "organism")]
        for facet in facets_of
    }
    spans = [len(own) * (TIGHT * len(readings) + GAP) + HEAD for own in organisms.values()]
    fitting = on_page(spans)
    names = dict(list(facets_of.items())[:fitting])
    given = [row for row in given if facet_of(row, WHERE) in names]
    lines = sum(len(organisms[facet]) for facet in names)
    slot = max(TIGHT, min(LINE, ((PAGE - HEAD * fitting) / lines - GAP) / len(readings)))
    span = slot * len(readings) + GAP
    width, heights = style["width_inches"], [len(organisms[facet]) * span for facet in names]
    figure = Figure(figsize=(width, sum(heights) + HEAD * fitting + 0.2))
    axes = figure.subplots(fitting, 3, squeeze=False, height_ratios=heights)
    for (facet, text), line in zip(names.items(), axes, strict=True):
        own = organisms[facet]
        for axis, quantity in zip(line, QUANTITIES, strict=True):
            read = [name for name in readings if any(_key(row) == (*facet, name, quantity) for row in given)]
            for place, reading in enumerate(read):
                chosen = (*facet, reading, quantity)
                here = {row["organism"]: row for row in given if _key(row) == chosen}
                verdicts = letters(list(here), [row for row in pairs if _key(row) == chosen])
                offset = (place - (len(read) - 1) / 2) * slot / span
                for name, row in here.items():
                    _mark(axis, row, own.index(name) + offset, looks[reading], verdicts[name])
            _scales(axis, quantity, [wrapped(pretty(name), 0.24 * width, 6.5) for name in own], width)
            axis.tick_params(axis="y", length=0, labelleft=axis is line[0])
        of = f"{text if len(names) > 1 else pretty(facet[0])}, layer {layers[facet[0]]}"
        line[0].set_title(wrapped(of, width / 2, 7), loc="left")
    _legend(
        figure, given, pairs, looks, [SCOPES[style["scope"]], *projected.left_out(fitting, len(facets_of), "drift")]
    )
    return figure, given


def _scales(axis: Axes, quantity: str, names: list[str], width: float) -> None:
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_yticks(range(len(names)), names)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=4 if width > 5 else 2))
    axis.margins(x=0.08)
    axis.grid(axis="x")
    axis.set_xlabel(wrapped(QUANTITIES[quantity], 0.22 * width, 7))


def _key(row: dict) -> tuple[str, ...]:
    return (*facet_of(row, WHERE), row["reading"], row["quantity"])


def letters(names: list[str], pairs: list[dict]) -> dict[str, str]:
    """Letters such that two names share one unless the interval of their difference is away from 0; "" without pairs.

    By insertion and absorption (Piepho 2004, J. Comput. Graph. Stat. 13:456).
    """
    if not pairs:
        return dict.fromkeys(names, "")
    groups = [set(names)]
    for row in pairs:
        a, b = row["organism_a"], row["organism_b"]
        if row["low"] and (float(row["low"]) > 0 or float(row["high"]) < 0):
            apart = [group - {name} for group in groups if {a, b} <= group for name in (a, b)]
            groups = [group for group in groups if not {a, b} <= group]
            groups += [one for one in apart if not any(one <= other for other in groups)]
    groups.sort(key=lambda group: sorted(map(names.index, group)))
    lettered = list(zip(ascii_lowercase, groups, strict=False))
    return {name: "".join(letter for letter, group in lettered if name in group) for name in names}


def _mark(axis: Axes, row: dict, y: float, look: dict, verdict: str) -> None:
    if row["low"]:
        axis.plot([number(row["low"]), number(row["high"])], [y, y], color=look["color"], linewidth=1, zorder=2)
    axis.plot(number(row["value"]), y, ms=3.2, zorder=3, **look)
    axis.annotate(
        verdict,
        (1, y),
        xycoords=axis.get_yaxis_transform(),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=5.5,
        color=look["color"],
        annotation_clip=False,
    )


def _legend(figure: Figure, rows: list[dict], pairs: list[dict], looks: dict[str, dict], notes: list[str]) -> None:
    handles = [Line2D([], [], ms=3.2, linewidth=1, **look) for look in looks.values()]
    labels = [f"reading: {pretty(name)}" for name in looks]
    about = " / ".join(dict.fromkeys(row["estimand"] for row in rows if row["low"]))
    seeds = sorted({int(row["n_seeds"]) for row in rows})
    over = f"{' or '.join(map(str, seeds))} training seed{'' if seeds == [1] else 's'}"
    texts = [f"{f'95% interval, {about}' if about else 'no interval'} ({'; '.join([over, *notes])})"]
    if any(row["low"] for row in pairs):
        texts.append("organisms that share a letter are not shown to differ (95%, each pair by itself)")
    for text in texts:
        handles.append(Line2D([], [], linewidth=0))
        labels.append(text)
    legend_below(figure, handles, labels)
