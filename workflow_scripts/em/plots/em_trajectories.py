"""EM rate over training steps, baseline included."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.plots.style import INTERVALS, SCOPES, noted, pretty, select
from workflow_scripts.em.plots.trajectories import draw_lines

KEEP = ("organism", "seed", "stage", "step", "condition", "question_set", "judge", "scope", "definition")
COUNTS = ("n_questions_counted", "n_denominator", "n_events")


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of rates.csv. Raises UserError when none has a rate."""
    kind = style["interval"] or "such_questions"
    chosen = []
    rows = list(rows)
    for row in select(rows, style, "definition", "scope"):
        values = {"rate": row["em_rate"], "low": row[f"{kind}_low"], "high": row[f"{kind}_high"]}
        kept = {name: row[name] for name in (*KEEP, *COUNTS)}
        chosen.append({**kept, **values, "interval": row["such_questions_method"] if kind[0] == "s" else "wilson"})
    label = f"EM rate (%)\n{pretty(style['definition'])}, {SCOPES[style['scope']]}"
    return draw_lines(chosen, style, label, INTERVALS[kind], noted(chosen, rows, "point"))
