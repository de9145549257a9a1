"""EM rate at the last checkpoint of each organism under every definition, side by side."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.plots.ranges import draw_ranges
from workflow_scripts.em.plots.series import definition_looks
from workflow_scripts.em.plots.style import INTERVALS, SCOPES, noted, select, unique
from workflow_scripts.em.stats.final import for_table, last_checkpoints, pool


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of rates.csv. Raises UserError when none has a rate.

    The interval is always that of these questions: rates.csv has no counts per question to cluster by over seeds.
    """
    given = list(rows)
    pooled = pool(last_checkpoints(select(given, style, "scope")), ("organism", "definition"), "these_questions")
    label = f"EM rate at the last checkpoint (%), {SCOPES[style['scope']]}"
    note = f"{INTERVALS['these_questions']} ({noted(pooled, given, 'mark')})"
    look = definition_looks([name for (name,) in unique(pooled, "definition")], style)
    return draw_ranges(pooled, "organism", "definition", style, label, note, look), for_table(pooled)
