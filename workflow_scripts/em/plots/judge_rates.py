"""EM rate at the last checkpoint of each organism under each judge, side by side."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.plots.ranges import draw_ranges
from workflow_scripts.em.plots.series import judge_looks
from workflow_scripts.em.plots.style import INTERVALS, SCOPES, noted, pretty, select, unique
from workflow_scripts.em.stats.final import for_table, last_checkpoints, pool


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of rates.csv, every judge of the style's. Raises UserError when none has a rate."""
    rows = last_checkpoints(select(rows, style, "scope", "definition"))
    # `judge` divides panels; here it divides the marks of one.
    pooled = pool(
        [{**row, "judge": "", "judged_by": row["judge"]} for row in rows], ("organism", "judged_by"), "these_questions"
    )
    label = f"EM rate at the last checkpoint (%), {pretty(style['definition'])}, {SCOPES[style['scope']]}"
    note = f"{INTERVALS['these_questions']} ({noted(pooled, [], 'mark')})"
    look = judge_looks([name for (name,) in unique(pooled, "judged_by")], style)
    figure = draw_ranges(pooled, "organism", "judged_by", style, label, note, look)
    table = ({**row, "judge": row["judged_by"]} for row in for_table(pooled))
    return figure, [{name: row[name] for name in row if name != "judged_by"} for row in table]
