"""The runs of findings.csv with what rates.csv and the plan say of them beside: questions counted, a shared step 0."""

from collections import defaultdict
from typing import Any

from workflow_scripts.em.stats.findings import RUN

FEW = 5  # with fewer questions an interval for such questions is as good as none
BESIDE = {
    "n_questions": "n_questions_counted",
    "these_questions_low": "these_questions_low",
    "these_questions_high": "these_questions_high",
}


def with_questions(findings: list[dict[str, str]], rates: list[dict[str, str]]) -> list[dict[str, str]]:
    """Findings with `baseline_` and `last_` n_questions and interval for these questions, "" where there is no rate."""
    about = (*RUN, "scope", "definition")
    known = {(*(row[name] for name in about), row["step"]): row for row in rates}
    rows = []
    for row in findings:
        run = tuple(row[name] for name in about)
        at = {"baseline": known.get((*run, "0"), {}), "last": known.get((*run, row["last_step"]), {})}
        rows.append(
            row | {f"{which}_{name}": found.get(own, "") for which, found in at.items() for name, own in BESIDE.items()}
        )
    return rows


def few(row: dict[str, str], at: str) -> bool:
    """Whether the interval for such questions at `at` (baseline, last) rests on fewer than FEW questions."""
    known = row.get(f"{at}_n_questions") and row[f"{at}_such_questions_low"]
    return bool(known) and int(row[f"{at}_n_questions"]) < FEW


def shared_starts(told: dict[str, Any], findings: list[dict[str, str]]) -> list[str]:
    """Base models that are step 0 of several runs whose rates or coherent shares there are not the same."""
    found: dict[tuple, set] = defaultdict(set)
    for row in findings:
        organism = told["organisms"].get(row["organism"], {})
        stages = [stage["stage"] for stage in organism.get("stages", ())]
        if not stages or organism.get("from_organism") or row["stage"] != stages[0] or not row["baseline_em_rate"]:
            continue
        asked = tuple(row[name] for name in ("condition", "question_set", "judge"))
        found[organism["base_model"], *asked].add((row["baseline_em_rate"], row["baseline_coherent_share_of_all"]))
    return list(dict.fromkeys(key[0] for key, values in found.items() if len(values) > 1))
