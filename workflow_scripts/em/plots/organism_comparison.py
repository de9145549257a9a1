"""EM rate at the last checkpoint by the two things in which organisms differ, such as size and training data."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.plots.groups import grouped
from workflow_scripts.em.plots.ranges import draw_ranges
from workflow_scripts.em.plots.style import INTERVALS, SCOPES, noted, pretty, select
from workflow_scripts.em.stats.final import ASKED, for_table, last_checkpoints, pool


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of question_rates.csv. Raises UserError on no rate and without groups."""
    if not style["groups"]:
        raise UserError("figure style: organism_comparison needs `groups`")
    given = list(rows)
    rows = last_checkpoints(select(given, style, "definition"))
    if style["scope"] != "all":
        rows = [row for row in rows if (row["in_domain"] == "1") == (style["scope"] == "in_domain")]
    rows, style = grouped(rows, style)
    kind = style["interval"] or "such_questions"
    pooled = pool(rows, ("panel", "organism"), kind)
    label = f"EM rate at the last checkpoint (%), {pretty(style['definition'])}, {SCOPES[style['scope']]}"
    note = f"{INTERVALS[kind]} ({noted(pooled, given, 'bar')})"
    figure = draw_ranges(pooled, "panel", "organism", style, label, note)
    first, second = style["groups"]["by"]
    drawn = [{first: row["panel"], second: row["organism"], **row} for row in for_table(pooled)]
    names = [*ASKED, first, second, *(name for name in drawn[0] if name not in (*ASKED, "panel", "organism"))]
    return figure, [{name: row[name] for name in dict.fromkeys(names)} for row in drawn]
