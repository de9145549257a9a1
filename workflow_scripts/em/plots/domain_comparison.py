"""EM rate at the last checkpoint by organism and by the domain of the question."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.plots.ranges import draw_ranges
from workflow_scripts.em.plots.style import INTERVALS, SCOPES, noted, pretty, select
from workflow_scripts.em.stats.final import ASKED, for_table, last_checkpoints, pool


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of question_rates.csv, by `domain` or `in_domain` of the question. Raises UserError on no rate."""
    given = list(rows)
    rows = last_checkpoints(select(given, style, "definition"))
    kind = style["interval"] or "these_questions"
    if style["by"] == "in_domain":
        names = {"1": SCOPES["in_domain"], "0": SCOPES["out_of_domain"]}
        rows = [{**row, "domain": names[row["in_domain"]]} for row in rows]
    pooled = pool(rows, ("domain", "organism"), kind)
    label = f"EM rate at the last checkpoint (%), {pretty(style['definition'])}"
    note = f"{INTERVALS[kind]} ({noted(pooled, given, 'bar')})"
    figure = draw_ranges(pooled, "domain", "organism", style, label, note)
    names = [*ASKED, "domain", "organism"]
    return figure, [{name: row[name] for name in (*names, *row)} for row in for_table(pooled)]
