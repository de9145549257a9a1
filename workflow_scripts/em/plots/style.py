"""What a figure may be told, and how every figure looks: colours, sizes, names, files."""

import re
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file
from workflow_scripts.em.stats.tables import write_table

# Okabe & Ito's palette for colour-blind readers, less its yellow, which is too pale for lines on white.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "h")
HATCHES = ("", "/////", ".....", "xxxxx")
GREY = "#8c8c8c"
POINTS = 7  # of type, at which every figure is laid out
PPI = 300  # of a PNG
SELECTORS = ("organism", "stage", "condition", "question_set", "judge")
DEFAULTS = {
    "definition": "betley",
    "scope": "out_of_domain",
    **dict.fromkeys(SELECTORS),
    "interval": None,
    "by": "domain",
    "width_inches": 6.75,
    "font_size": POINTS,
    "order": None,
    "palette": None,
    "threshold": None,
    "groups": None,
    "layers": None,
    "definitions": None,
}
INTERVALS = {"such_questions": "95% interval, such questions", "these_questions": "95% interval, these questions"}
SCOPES = {"all": "all questions", "in_domain": "in domain", "out_of_domain": "out of domain"}
RC = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.2,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a name or an answer with two dollar signs is text, not a formula
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "emtrace",  # element ids that do not change from run to run
    "figure.constrained_layout.use": True,
}


def parse(value: Any) -> dict:
    """Fill a style object with the defaults. Raises UserError on an unknown key or a value that is not one offered.

    `width_inches` of what is returned is the width at which the figure is laid out in type of POINTS; `save` scales it.
    """
    if not isinstance(value, dict):
        raise UserError("figure style: give a JSON object")
    unknown = sorted(set(value) - set(DEFAULTS))
    if unknown:
        raise UserError(f"figure style: unknown key {unknown[0]!r}; keys are {', '.join(DEFAULTS)}")
    style = {**DEFAULTS, **value}
    for name, choices in (("scope", SCOPES), ("interval", {None: "", **INTERVALS}), ("by", ("domain", "in_domain"))):
        if style[name] not in choices:
            raise UserError(f"figure style: {name} {style[name]!r} is not one of {', '.join(map(str, choices))}")
    width, size = _from_to(style, "width_inches", 2.5, 20), _from_to(style, "font_size", 5, 12)
    style["width_inches"] = width * POINTS / size
    if style["width_inches"] < 2.5:
        raise UserError(f"figure style: type of {size:g} points needs width_inches {2.5 * size / POINTS:.2f} or more")
    return style


def _from_to(style: dict, name: str, low: float, high: float) -> float:
    value = style[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UserError(f"figure style: {name} {value!r} is not a number from {low:g} to {high:g}")
    return value


def select(rows: Iterable[dict], style: dict, *keys: str) -> list[dict]:
    """The rows a figure is about: those that agree with the style in `keys` and in every selector that is set.

    A list of organisms also gives their order.
    """
    wanted = {name: style[name] for name in (*keys, *SELECTORS) if style[name] is not None}
    wanted = {name: set(value) if isinstance(value, list) else {value} for name, value in wanted.items()}
    chosen = [row for row in rows if all(row.get(name, "") in value for name, value in wanted.items())]
    if isinstance(style["organism"], list):
        chosen.sort(key=lambda row: style["organism"].index(row["organism"]))
    return chosen


def pretty(name: str) -> str:
    """A name of the config as it is shown: underscores become spaces."""
    return name.replace("_", " ").strip()


def unique(rows: Iterable[dict], *names: str) -> list[tuple[str, ...]]:
    """The distinct values of some columns, in order of first appearance."""
    return list(dict.fromkeys(tuple(row.get(name, "") for name in names) for row in rows))


def looks(names: list[str], style: dict) -> dict[str, dict]:
    """Colour, marker and hatch of each organism: no two of the first 63 have both colour and marker in common.

    They go by the style's `order` of organisms, else by its list of those drawn, then by first appearance: an organism
    looks the same in every figure of a study, whichever others are drawn.
    """
    palette = style["palette"] or OKABE_ITO
    listed = style["order"] or (style["organism"] if isinstance(style["organism"], list) else [])
    return {
        name: {
            "color": palette[place % len(palette)],
            "marker": MARKERS[place % len(MARKERS)],
            "hatch": HATCHES[place // len(palette) % len(HATCHES)],
        }
        for place, name in enumerate(dict.fromkeys([*listed, *names]))
    }


def seed_dashes(rows: Iterable[dict]) -> dict[str, Any]:
    """The dash of each training seed, the same for every organism; all are solid where they are too many to tell."""
    seeds = sorted({row["seed"] for row in rows}, key=lambda seed: (len(seed), seed))
    return {seed: DASHES[place] if len(seeds) <= len(DASHES) else "-" for place, seed in enumerate(seeds)}


def noted(drawn: list[dict], rows: list[dict], mark: str, key: str = "n_denominator") -> str:
    """What marks count ("n = 20 to 24 responses a point"), and the judge drawn where `rows` have several."""
    sizes = sorted({int(row[key]) for row in drawn if row[key] != ""}) or [0]
    n = f"n = {sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "")
    judges = unique(drawn, "judge")
    several = len(unique(rows, "judge")) > 1 and len(judges) == 1 and judges[0][0]
    return f"{n} responses a {mark}" + (f"; judge: {pretty(judges[0][0])}" if several else "")


def number(text: str) -> float:
    """A table cell as a number; an empty one is NaN, which is not drawn."""
    return float(text) if text != "" else float("nan")


def plain(value: float, digits: int) -> str:
    """A number with so many digits after the point, with a true minus and never as minus zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def placeholder(reason: str, style: dict) -> Figure:
    """A figure that says in its place why there is nothing to draw."""
    figure = Figure(figsize=(style["width_inches"], 1.2))
    figure.text(0.5, 0.5, f"Nothing to draw: {reason}", ha="center", va="center", wrap=True)
    return figure


def save(
    figure: Figure, rows: list[dict], prefix: str, columns: list[str] | None = None, font_size: float = POINTS
) -> None:
    """Write PREFIX.png (300 dpi), PREFIX.svg and PREFIX.csv, the same bytes for the same figure.

    The figure is scaled so that type of POINTS has `font_size` points.
    """
    drawing = BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    with atomic_file(f"{prefix}.svg", "wb") as handle:
        handle.write(_scaled(drawing.getvalue(), font_size / POINTS))
    save_png(figure, f"{prefix}.png", font_size / POINTS)
    write_table(f"{prefix}.csv", rows, columns)


def _scaled(svg: bytes, scale: float) -> bytes:
    """An SVG whose width and height are changed; its viewBox stays, so all in it grows alike."""
    if scale == 1:
        return svg
    sides = re.compile(rb'(width|height)="([\d.]+)pt"')
    return sides.sub(lambda side: b'%s="%.6gpt"' % (side[1], scale * float(side[2])), svg, count=2)


def save_png(figure: Figure, path: str, scale: float = 1) -> None:
    """Write a PNG at 300 dpi, at less only where a side would pass what the PNG writer takes (65,535 pixels)."""
    dpi = min(PPI * scale, 60_000 / max(figure.get_size_inches()))
    with matplotlib.rc_context(RC), atomic_file(path, "wb") as handle:
        said = {"metadata": {"Software": None}, "pil_kwargs": {"dpi": (dpi / scale, dpi / scale)}}
        figure.savefig(handle, format="png", dpi=dpi, **said)
