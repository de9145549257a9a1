"""What a study found: each organism's baseline against its last checkpoint, and whether a rise is shown."""

from collections import defaultdict
from collections.abc import Iterable

RUN = ("organism", "seed", "stage", "condition", "question_set", "judge")
CARRIED = ("em_rate", "such_questions_low", "such_questions_high", "coherent_share_of_all")
COLUMNS = (*RUN, "scope", "definition", *(f"baseline_{name}" for name in CARRIED), "last_step")
COLUMNS += (*(f"last_{name}" for name in CARRIED), "rise", "estimand")


def findings(rows: Iterable[dict], definition: str, scope: str) -> list[dict]:
    """One row per run (organism, training seed, stage, condition, question set, judge) from the rows of rates.csv.

    `rise` is `shown` when the interval for such questions at the last step lies wholly above that at step 0, `not
    shown` when it does not, and `not estimable` when an interval is missing or there is one step only. It speaks of
    this run: other training seeds are another question (recipes.csv).
    """
    runs: dict[tuple, list[dict]] = defaultdict(list)
    for row in rows:
        if row["definition"] == definition and row["scope"] == scope:
            runs[tuple(row[name] for name in RUN)].append(row)
    table = []
    for run, found in runs.items():
        found.sort(key=lambda row: int(row["step"]))
        first, last = found[0], found[-1]
        table.append(
            {
                **dict(zip(RUN, run, strict=True)),
                "scope": scope,
                "definition": definition,
                **{f"baseline_{name}": first[name] if first["step"] == "0" else "" for name in CARRIED},
                "last_step": last["step"],
                **{f"last_{name}": last[name] for name in CARRIED},
                "rise": _rise(first, last),
                "estimand": "such questions, this run only",
            }
        )
    return table


def _rise(first: dict, last: dict) -> str:
    high, low = first["such_questions_high"], last["such_questions_low"]
    if first is last or first["step"] != "0" or not high or not low:
        return "not estimable"
    return "shown" if float(low) > float(high) else "not shown"
