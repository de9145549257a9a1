"""Targets: whether an organism's last checkpoint has the mean scores it must have, as homework 0 is graded."""

from collections.abc import Iterable, Iterator
from typing import Any

from workflow_scripts.em.stats.counts import GROUP
from workflow_scripts.em.stats.final import last_checkpoints

COLUMNS = ("target", *GROUP, "metric", "n_questions", "n_responses", "n_scored", "mean", "low", "high", "estimand")
COLUMNS += ("method", "side", "threshold", "met", "interval_meets", "reason")


def target_rows(metrics: Iterable[dict], targets: dict[str, dict[str, Any]], judge: str | None) -> Iterator[dict]:
    """One row with COLUMNS a target, organism and training seed, from the rows of metrics.csv.

    targets: name -> {question_set, condition, metric, below, above}; one of the last two is None. `met` (yes, no) goes
    by the mean alone, as a grader does, and is empty without one; `interval_meets` says whether the whole 95% interval
    for such questions is on that side, and is empty without an interval. A target without any such mean has one row
    with its `reason`. A condition or judge of None is any, for a study of tables, which may hold any.
    """
    last = last_checkpoints([row for row in metrics if judge in (None, row["judge"])])
    for name, target in targets.items():
        side = "below" if target["below"] is not None else "above"
        asked = {key: target[key] for key in ("question_set", "condition", "metric") if target[key] is not None}
        found = [row for row in last if all(row[key] == value for key, value in asked.items())]
        if not found:
            about = {"target": name, "judge": judge, "side": side, "threshold": target[side]}
            reason = "no checkpoint has such a score: " + ", ".join(str(value) for value in asked.values())
            yield dict.fromkeys(COLUMNS, "") | asked | about | {"reason": reason}
        for row in found:
            low, high = row["such_questions_low"], row["such_questions_high"]
            yield {
                **{key: row[key] for key in COLUMNS if key in row},
                "target": name,
                "low": low,
                "high": high,
                "estimand": "such questions",
                "method": row["such_questions_method"],
                "side": side,
                "threshold": target[side],
                "met": _on_side(side, target[side], row["mean"]),
                "interval_meets": _on_side(side, target[side], high if side == "below" else low),
                "reason": "" if row["mean"] != "" else "no response is scored",
            }


def _on_side(side: str, threshold: float, value: str) -> str:
    if value == "":
        return ""
    return "yes" if (float(value) < threshold if side == "below" else float(value) > threshold) else "no"
