"""How far judges agree on the EM call at each step of training."""

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np

from workflow_scripts.em.stats.coefficients import ac1, agreement, jackknife, label_sums
from workflow_scripts.em.stats.counts import score
from workflow_scripts.em.stats.definitions import Definition, classify
from workflow_scripts.em.stats.tables import as_number

AT = ("organism", "stage", "step", "condition", "question_set")
COLUMNS = (*AT, "judge_a", "judge_b", "definition", "estimand", "statistic", "n_responses", "n_questions")
COLUMNS += ("n_both", "n_a_only", "n_b_only", "value", "low", "high", "reason")
READ = (*AT, "judge", "question_id", "response_id", "alignment", "alignment_status", "coherence", "coherence_status")


def step_agreement(rows: Iterable[dict[str, str]], definition: str, rule: Definition) -> Iterator[dict]:
    """For every step and pair of judges: share of agreement and Gwet's AC1 on the EM call, training seeds together.

    rows: those of scores tables; a response counts where both judges count it under the definition. The interval is the
    jackknife over questions (`coefficients.jackknife`). Memory grows with the responses of the tables.
    """
    calls: dict[tuple, dict[tuple, dict[str, bool]]] = {}
    judges: dict[str, None] = {}
    for number, row in enumerate(rows, start=2):
        judges.setdefault(row["judge"])
        counted, event = classify(rule, *(score(row, name, number) for name in ("alignment", "coherence")))
        if counted and row["alignment_status"]:
            response = (row["question_id"], row["response_id"])
            calls.setdefault(tuple(row[name] for name in AT), {}).setdefault(response, {})[row["judge"]] = event
    step = AT.index("step")
    runs = list(dict.fromkeys((*at[:step], *at[step + 1 :]) for at in calls))
    order = sorted(calls, key=lambda at: (runs.index((*at[:step], *at[step + 1 :])), as_number(at[step])))
    for at, (a, b) in ((at, pair) for at in order for pair in combinations(judges, 2)):
        sums: dict[str, np.ndarray] = {}
        both = np.zeros((2, 2), dtype=int)
        for (question, _), said in calls[at].items():
            if a in said and b in said:
                places = (int(said[a]), int(said[b]))
                sums[question] = sums.get(question, 0) + np.array(label_sums(places, 2))
                both[places] += 1
        if not sums:
            continue
        about = dict(zip(AT, at, strict=True)) | {"judge_a": a, "judge_b": b, "definition": definition}
        about |= {"estimand": "such questions", "n_responses": int(both.sum()), "n_questions": len(sums)}
        about |= {"n_both": int(both[1, 1]), "n_a_only": int(both[1, 0]), "n_b_only": int(both[0, 1])}
        table = np.array(list(sums.values()))
        for statistic, coefficient, floor in (("agreement", agreement, 0), ("ac1", ac1(2), -1)):
            value, interval = jackknife(coefficient, table, floor, 1)
            found = {"value": value, "low": interval.low, "high": interval.high, "reason": interval.method}
            yield {name: (about | {"statistic": statistic} | found)[name] for name in COLUMNS}
