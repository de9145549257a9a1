"""Coherence over training steps: the share past the definition's gate, or the mean score where there is no gate."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.plots.em_trajectories import KEEP
from workflow_scripts.em.plots.style import INTERVALS, SCOPES, noted, pretty, select
from workflow_scripts.em.plots.trajectories import draw_lines


def draw(rows: Iterable[dict], style: dict) -> tuple[Figure, list[dict]]:
    """Draw the rows of rates.csv. Raises UserError when no response has a coherence score."""
    rows = list(rows)
    chosen = select(rows, style, "definition", "scope")
    gate = any(row["n_coherent"] != "" for row in chosen)
    drawn = []
    for row in chosen:
        mean = row["mean_coherence"] and f"{float(row['mean_coherence']) / 100:.6g}"
        low, high = row["coherent_these_questions_low"], row["coherent_these_questions_high"]
        values = {"rate": row["coherent_share_of_scored"], "low": low, "high": high} if gate else {"rate": mean}
        kept = {name: row[name] for name in (*KEEP, "n_coherence_scored", "n_coherent")}
        drawn.append({**kept, "low": "", "high": "", **values})
    where = SCOPES[style["scope"]]
    measure = f"Coherent share (%)\n{pretty(style['definition'])} gate, {where}" if gate else "Mean coherence (0-100)"
    note = noted(drawn, rows, "point", "n_coherence_scored")
    return draw_lines(drawn, style, measure if gate else f"{measure}\n{where}", INTERVALS["these_questions"], note)
