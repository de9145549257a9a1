"""Coherence over training steps: the share past the definition's gate, or the mean score where there is no gate."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.plots.em_trajectories import KEEP
from workflow_scripts.em.plots.series import gated
from workflow_scripts.em.plots.style import INTERVALS, SCOPES, noted, pretty, select
from workflow_scripts.em.plots.trajectories import draw_lines
from workflow_scripts.em.stats.definitions import parse


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
    bottom = _bottom(drawn)
    measure = f"Coherent share (%)\n{_gate(style)}, " if gate else "Mean coherence (0-100)\n"
    measure += SCOPES[style["scope"]] + (f"\naxis from {100 * bottom:g}, not 0" if bottom else "")
    note = noted(drawn, rows, "point", "n_coherence_scored")
    return draw_lines(drawn, style, measure, INTERVALS["these_questions"], note, bottom)


def _gate(style: dict) -> str:
    """The definition's gate in words, as far as the style tells it."""
    name, rules = style["definition"], style["definitions"] or {}
    rule = parse(name, rules[name]) if name in rules else None
    return f"{gated(rule)} ({pretty(name)})" if rule and rule.coherence is not None else f"{pretty(name)} gate"


def _bottom(rows: list[dict]) -> float:
    """Where the axis begins: 0, but at the ten below all of them where all values and intervals lie above one half."""
    least = min((float(row[key]) for row in rows for key in ("rate", "low") if row[key] != ""), default=0.0)
    return min(0.8, int(10 * least) / 10) if least > 0.5 else 0.0
