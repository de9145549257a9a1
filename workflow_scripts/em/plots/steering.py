"""What steering did: the EM rate and the share of coherent answers of each checkpoint, unsteered and steered."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import facet_of, on_page, percent_axis
from workflow_scripts.em.plots.series import colours
from workflow_scripts.em.plots.style import GREY, INTERVALS, SCOPES, noted, number, pretty, select, unique
from workflow_scripts.em.plots.text import legend_below, wrapped

PANEL = ("organism", "stage", "step", "question_set", "judge", "reference")
DONE = ("direction", "layers", "from_layer", "positions")
OPERATIONS = ("none", "ablate", "ablate random", "add", "add random")
NAMES = {
    "none": "not steered",
    "ablate": "direction taken out",
    "ablate random": "random direction taken out",
    "add": "direction added",
    "add random": "random direction added",
}
TAKEN_OUT = {"zero": "taken out", "b": "held at side b's mean"}
LINE = 0.135  # inches of a line of text


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of steering.csv. Raises NothingToDraw when none has a rate."""
    given = list(rows)
    kind = style["interval"] or "such_questions"
    if kind != "such_questions":
        raise NothingToDraw("steering.csv has intervals for such questions only")
    rows = sorted(select(given, style, "definition", "scope"), key=_place)
    values = [float(row[key]) for row in rows for key in ("em_rate", f"{kind}_high") if row[key] != ""]
    if not values:
        raise NothingToDraw("no rate is defined in the rows selected; check definition, scope and judge")
    panels, palette = _titles(rows), colours(style)
    several = {name: len({row[name] for row in rows if row["operation"] != "none"}) > 1 for name in DONE}
    width = style["width_inches"]
    ticks = {panel: _ticks([row for row in rows if facet_of(row, PANEL) == panel], several, width) for panel in panels}
    heights = [0.08 + sum(LINE * (tick.count("\n") + 1) + 0.05 for tick in own.values()) for own in ticks.values()]
    shown = on_page(0.25 + height for height in heights)
    heights, shown_panels = heights[:shown], dict(list(panels.items())[:shown])
    figure = Figure(figsize=(width, sum(heights) + 0.25 * shown + 0.35))
    shared = {"squeeze": False, "sharex": "col", "sharey": "row", "height_ratios": heights, "width_ratios": (2.2, 1)}
    axes = figure.subplots(shown, 2, **shared)
    for (rates, shares), (panel, text) in zip(axes, shown_panels.items(), strict=True):
        here = [row for row in rows if facet_of(row, PANEL) == panel]
        at = _heights(here, list(ticks[panel]))
        _marks(rates, here, at, palette)
        _shares(shares, here, at)
        rates.set_yticks(range(len(ticks[panel])), list(ticks[panel].values()))
        rates.set_ylim(len(ticks[panel]) - 0.5, -0.5)
        rates.set_title(wrapped(text, width * 0.9, 7), loc="left")
        for axis, top in ((rates, 1.06 * max(values)), (shares, 1.0)):
            axis.tick_params(axis="y", length=0)
            percent_axis(axis, top, "x")
    label = f"EM rate (%), {pretty(style['definition'])}, {SCOPES[style['scope']]}"
    axes[-1, 0].set_xlabel(wrapped(label, width * 0.4, 7))
    axes[-1, 1].set_xlabel(wrapped("Coherent answers (%)", width * 0.2, 7))
    rows = [row for row in rows if facet_of(row, PANEL) in shown_panels]
    _legend(figure, rows, noted(rows, given, "mark"), len(panels), palette)
    return figure, rows


def _titles(rows: list[dict]) -> dict[tuple[str, ...], str]:
    """The panels, each by its checkpoint and what else differs between them."""
    found = unique(rows, *PANEL)
    varying = [place for place, name in enumerate(PANEL) if len({panel[place] for panel in found}) > 1]
    shown = [place for place, name in enumerate(PANEL) if place in varying or name in ("organism", "step")]
    words = lambda name, value: f"step {value}" if name == "step" else pretty(value) or "none"  # noqa: E731
    return {panel: " · ".join(words(PANEL[place], panel[place]) for place in shown) for panel in found}


def _place(row: dict) -> tuple:
    """Unsteered, taken out, then added by the amount; what differs in direction, layers or positions stays together."""
    amount = float(row["amount"]) if row["operation"].startswith("add") else 0.0
    return (OPERATIONS.index(row["operation"]), *(row[name] for name in DONE), amount)


def _ticks(rows: list[dict], several: dict[str, bool], width: float) -> dict[str, str]:
    """Condition -> what stands beside its marks: its name, what was done, and what of that differs in the study."""
    found = {}
    for row in rows:
        operation, _, random = row["operation"].partition(" ")
        said = "not steered"
        if operation == "ablate":
            said = ("random direction " if random else "") + TAKEN_OUT[row["amount"]]
        elif operation == "add":
            said = f"{float(row['amount']):+g} times {'a random' if random else 'the'} direction"
        details = [_detail(name, row[name]) for name in DONE if several[name] and row[name]]
        text = f"{pretty(row['condition'])}: {', '.join([said, *details])}"
        found[row["condition"]] = wrapped(text, width * 0.33, 6.5)
    return found


def _detail(name: str, value: str) -> str:
    positions = {"all": "all tokens", "response": "answers only"}.get(value)
    layers = {"layers": f"layers {value}", "from_layer": f"by that of layer {value}"}
    return (layers | {"direction": pretty(value), "positions": positions})[name]


def _look(operation: str, palette: list[str]) -> dict:
    """Colours by what was done; what was done with a random direction is hollow."""
    done, _, random = operation.partition(" ")
    colour = palette[("none", "ablate", "add").index(done)]
    return {"color": colour, "mfc": "white" if random else colour}


def _marks(axis: Axes, rows: list[dict], at: dict[tuple, float], palette: list[str]) -> None:
    """A mark a training seed, with its interval; a line along the amounts; what the checkpoint does by itself."""
    rows = [row for row in rows if row["em_rate"] != ""]
    added, along = [row for row in rows if row["operation"].startswith("add")], ("seed", "operation", *DONE)
    for same in unique(added, *along):
        doses = [row for row in added if facet_of(row, along) == same]
        line = [float(row["em_rate"]) for row in doses], [at[_mark(row)] for row in doses]
        axis.plot(*line, linewidth=0.6, linestyle=(0, (1, 1.2)), zorder=2, **_look("add", palette))
    for row in rows:
        look, y = _look(row["operation"], palette) | {"clip_on": False}, at[_mark(row)]
        if row["such_questions_low"] != "":
            ends = [number(row["such_questions_low"]), number(row["such_questions_high"])]
            axis.plot(ends, [y, y], linewidth=0.8, zorder=2.5, **look)
        axis.plot(float(row["em_rate"]), y, "o", ms=3.2, zorder=3, **look)
        if row["operation"] == "none":
            axis.axvline(float(row["em_rate"]), color=GREY, linewidth=0.5, linestyle=(0, (4, 3)), zorder=1)


def _shares(axis: Axes, rows: list[dict], at: dict[tuple, float]) -> None:
    look = {"marker": "s", "ms": 3, "mfc": "white", "mec": "#333333", "mew": 0.6, "ls": "", "clip_on": False}
    for row in rows:
        if row["coherent_share"] != "":
            axis.plot(float(row["coherent_share"]), at[_mark(row)], **look)


def _mark(row: dict) -> tuple[str, str]:
    return row["condition"], row["seed"]


def _heights(rows: list[dict], conditions: list[str]) -> dict[tuple, float]:
    """Where each mark stands: training seeds side by side."""
    seeds = [seed for (seed,) in unique(rows, "seed")]
    offset = {seed: 0.5 * (place - (len(seeds) - 1) / 2) / len(seeds) for place, seed in enumerate(seeds)}
    return {_mark(row): conditions.index(row["condition"]) + offset[row["seed"]] for row in rows}


def _legend(figure: Figure, rows: list[dict], note: str, panels: int, palette: list[str]) -> None:
    there = [name for name in OPERATIONS if any(row["operation"] == name for row in rows)]
    handles = [Line2D([], [], marker="o", ms=3.2, lw=0.8, **_look(name, palette)) for name in there]
    labels = [NAMES[name] for name in there]
    handles.append(Line2D([], [], color="#333333", marker="s", ms=3, mfc="white", mew=0.6, ls=""))
    labels.append("share of all answers that are coherent")
    handles.append(Line2D([], [], color=GREY, linewidth=0.8))
    each = "; a mark for each training seed" if len(unique(rows, "seed")) > 1 else ""
    labels.append(f"{INTERVALS['such_questions']} ({note}{each})")
    if (shown := len(unique(rows, *PANEL))) < panels:
        handles.append(Line2D([], [], ls=""))
        labels.append(f"the first {shown} of {panels} panels; steering.csv has all")
    legend_below(figure, handles, labels)
