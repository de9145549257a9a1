"""EM rate of each question at the last checkpoint of each organism: points with intervals, or a heat map when many."""

from collections.abc import Iterable

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots.panels import facet_of, facets
from workflow_scripts.em.plots.ranges import draw_ranges
from workflow_scripts.em.plots.style import INTERVALS, noted, pretty, select, unique
from workflow_scripts.em.plots.text import width, wrapped
from workflow_scripts.em.stats.final import ASKED, for_table, last_checkpoints, pool

MISSING = "#d0d0d0"
MOST_POINTS = 60


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of question_rates.csv; questions by domain, trained domains outlined; training seeds pooled.

    Up to MOST_POINTS rates a panel are points with intervals, more are cells of a heat map, one panel below the other.
    Raises UserError on no rate.
    """
    given = list(rows)
    pooled = pool(
        last_checkpoints(select(given, style, "definition")),
        ("in_domain", "domain", "question_id", "organism"),
        "these_questions",
    )
    if all(row["rate"] is None for row in pooled):
        raise NothingToDraw("no rate is defined in the rows selected; check definition and judge")
    domains = [domain for (domain,) in unique(pooled, "domain")]
    pooled.sort(key=lambda row: domains.index(row["domain"]))
    label = f"EM rate at the last checkpoint (%), {pretty(style['definition'])}"
    panels, about = facets(pooled, ASKED), noted(pooled, given, "mark")
    if max(sum(facet_of(row, ASKED) == facet for row in pooled) for facet in panels) <= MOST_POINTS:
        note = f"{INTERVALS['these_questions']} ({about})"
        pooled = [{**row, "runs": []} for row in pooled]  # one question's rate in one run is mostly noise
        return draw_ranges(pooled, "question_id", "organism", style, label, note, bars=False), for_table(pooled)
    return _heat_map(pooled, panels, f"{label}; {about}", style), for_table(pooled)


def _heat_map(pooled: list[dict], panels: dict[tuple, str], label: str, style: dict) -> Figure:
    organisms = [name for (name,) in unique(pooled, "organism")]
    questions = {facet: _questions([row for row in pooled if facet_of(row, ASKED) == facet]) for facet in panels}
    cell = min(0.16, max(0.09, 9 / max(len(found) for found in questions.values())))
    heights = [len(found) * cell + 0.35 for found in questions.values()]
    narrow = 0.5 * style["width_inches"] / len(organisms) < 0.28
    names = [wrapped(pretty(name), 3 if narrow else 1.3, 6.5) for name in organisms]
    head = max(width(line, 6.5) for name in names for line in name.splitlines()) * (1 if narrow else 0.75)
    figure = Figure(figsize=(style["width_inches"], sum(heights) + head + 0.75))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).ravel()
    for place, (facet, text) in enumerate(panels.items()):
        here = [row for row in pooled if facet_of(row, ASKED) == facet]
        mesh = _panel(axes[place], here, questions[facet], organisms, cell, style)
        axes[place].set_title(text, fontsize=7, loc="left")
        axes[place].set_xticks(np.arange(len(names)) + 0.5, names if place + 1 == len(panels) else [""] * len(names))
        axes[place].tick_params(axis="x", length=0)
        for tick in axes[place].get_xticklabels():
            tick.set(
                rotation=90 if narrow else 45,
                ha="right",
                va="center" if narrow else "top",
                rotation_mode="anchor",
                linespacing=0.9,
            )
    bar = figure.colorbar(mesh, ax=list(axes), orientation="vertical", shrink=min(1.0, 2 / sum(heights)), aspect=18)
    bar.set_label(wrapped(label, max(1.2, 0.9 * sum(heights)), 7))
    bar.ax.tick_params(width=0.6)
    bar.outline.set_linewidth(0.4)
    handles = {"no rate": Patch(facecolor=MISSING)} if any(row["rate"] is None for row in pooled) else {}
    if any(row["in_domain"] == "1" for row in pooled):
        handles["trained on this domain"] = Patch(fill=False, edgecolor="black", linewidth=0.9)
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower left", fontsize=6.5)
    return figure


def _question(row: dict) -> tuple[str, str]:
    return row["domain"], row["question_id"]


def _questions(rows: list[dict]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(_question(row) for row in rows))


def _panel(axis, rows: list[dict], questions: list, organisms: list[str], cell: float, style: dict):
    rates = np.full((len(questions), len(organisms)), np.nan)
    for row in rows:
        place, column = questions.index(_question(row)), organisms.index(row["organism"])
        rates[place, column] = np.nan if row["rate"] is None else 100 * row["rate"]
        if row["in_domain"] == "1":
            outline = {"fill": False, "edgecolor": "black", "linewidth": 0.9, "zorder": 3}
            axis.add_patch(Rectangle((column + 0.02, place + 0.06), 0.96, 0.88, **outline))
    axis.set_facecolor(MISSING)
    colours = colormaps["Blues"]
    mesh = axis.pcolormesh(rates, cmap=colours, vmin=0, vmax=100, edgecolors="white", linewidth=0.4)
    axis.invert_yaxis()
    size = min(6.5, cell * 72 * 0.72)
    limit = 0.34 * style["width_inches"]
    labels = [_shorten(_label(question), limit, size) for question in questions]
    axis.set_yticks(np.arange(len(questions)) + 0.5, labels, fontsize=size)
    axis.tick_params(axis="y", length=0)
    for name in ("left", "bottom"):
        axis.spines[name].set_visible(False)
    for place in range(1, len(questions)):
        if questions[place][0] != questions[place - 1][0]:
            axis.axhline(place, color="#888888", linewidth=0.7)
    if len(organisms) * 0.3 < 0.5 * style["width_inches"]:
        for (line, column), value in np.ndenumerate(rates):
            if not np.isnan(value):
                colour = "white" if value > 55 else "black"
                axis.text(
                    column + 0.5, line + 0.53, f"{value:.0f}", ha="center", va="center", fontsize=size - 1, color=colour
                )
    return mesh


def _label(question: tuple[str, str]) -> str:
    domain, name = question
    return pretty(name) if not domain or domain in name else f"{pretty(domain)}: {pretty(name)}"


def _shorten(text: str, inches: float, size: float) -> str:
    """Cut the middle of a label that is too long: both ends of a question's name tell it from its neighbours."""
    kept = len(text)
    while kept > 4 and width(text, size) > inches:
        kept -= 1
        text = text[: -(-kept // 2)].rstrip("…") + "…" + text[-(kept // 2) :].lstrip("…")
    return text
