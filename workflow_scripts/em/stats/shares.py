"""Shares of labels: by organism, condition, judge and category of the question, and against the first organism."""

import math
from collections.abc import Iterable, Iterator

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.stats.counts import GROUP, Group
from workflow_scripts.em.stats.intervals import Interval, clustered, wilson
from workflow_scripts.em.stats.rates import ordered

ALL = "all"
NO_CATEGORY = "no category"
SUCH = ("such_questions_low", "such_questions_high", "such_questions_method")
COLUMNS = (*GROUP, "metric", "category", "label", "n_questions", "n_responses", "n_denominator", "n_events", "share")
COLUMNS += ("estimand", "these_questions_low", "these_questions_high", *SUCH)
COLUMNS += ("reference", "difference", "difference_low", "difference_high")

# {category: {question: [responses asked, {label: responses}]}}
Answers = dict[str, dict[str, tuple[list[int], dict[str, int]]]]


def count_labels(rows: Iterable[dict[str, str]], metrics: Iterable[str]) -> dict[Group, dict[str, Answers]]:
    """{group: {metric: Answers}} of label metrics, in one pass over scores tables; every question is in ALL too.

    A response that was not asked for a metric is in none of its counts. Memory grows with questions x groups.
    Raises UserError when a question's domain has one of the names that this table gives.
    """
    metrics = list(metrics)
    found: dict[Group, dict[str, Answers]] = {}
    for row in rows:
        for metric in metrics:
            status = row.get(f"{metric}_status")
            if not status:
                continue
            if row["domain"] in (ALL, NO_CATEGORY):
                raise UserError(
                    f"question {row['question_id']!r}: its domain {row['domain']!r} is what the table of shares calls "
                    "questions of every domain, or of none; give the domain another name in the question file"
                )
            answers = found.setdefault(tuple(row[name] for name in GROUP), {}).setdefault(metric, {ALL: {}})
            for category in (ALL, row["domain"] or NO_CATEGORY):
                asked, labels = answers.setdefault(category, {}).setdefault(row["question_id"], ([0], {}))
                asked[0] += 1
                if status == "scored":
                    labels[row[metric]] = labels.get(row[metric], 0) + 1
    return found


def share_rows(counts: dict[Group, dict[str, Answers]], labels: dict[str, tuple[str, ...]]) -> Iterator[dict]:
    """Rows of shares.csv: one a group, metric, category and label, in the order of `labels` (metric -> its labels).

    A share is of the scored responses. `difference` is to the first organism at its first checkpoint, same condition,
    questions, judge and label; its interval is for these questions. A study without categories has ALL alone.
    """
    reference: dict[tuple, dict] = {}
    first = None
    for group, metrics in ordered(counts):
        about = dict(zip(GROUP, group, strict=True))
        first = first or about["organism"]
        for metric, answers in metrics.items():
            for category, questions in answers.items():
                if category == NO_CATEGORY and len(answers) == 2:
                    continue
                for label in labels[metric]:
                    row = about | {"metric": metric, "category": category, "label": label} | _share(questions, label)
                    asked = tuple(row[name] for name in ("condition", "question_set", "judge"))
                    other = reference.setdefault((*asked, metric, category, label), row)
                    against = other if other["organism"] == first and other is not row else None
                    yield row | difference(row, against)


def difference(row: dict, other: dict | None) -> dict:
    """A share less another's, with the interval of Newcombe (1998, Stat. Med. 17, 873-890, method 10): these questions.

    With Wilson's limits l, u of both: d - sqrt((p1-l1)^2 + (u2-p2)^2) to d + sqrt((u1-p1)^2 + (p2-l2)^2).
    """
    found = dict.fromkeys(("reference", "difference", "difference_low", "difference_high"))
    if other is None:
        return found
    found["reference"] = other["organism"]
    if row["share"] is None or other["share"] is None:
        return found
    below, above = (_reach(part) for part in (row, other))
    d = row["share"] - other["share"]
    low, high = d - math.hypot(below[0], above[1]), d + math.hypot(below[1], above[0])
    return found | {"difference": d, "difference_low": low, "difference_high": high}


def _reach(row: dict) -> tuple[float, float]:
    return row["share"] - row["these_questions_low"], row["these_questions_high"] - row["share"]


def _share(questions: dict[str, tuple[list[int], dict[str, int]]], label: str) -> dict:
    events = [labels.get(label, 0) for _, labels in questions.values()]
    sizes = [sum(labels.values()) for _, labels in questions.values()]
    n, such = sum(sizes), clustered(events, sizes)
    these: Interval = wilson(sum(events), n)
    return {
        "n_questions": len(questions),
        "n_responses": sum(asked for (asked,), _ in questions.values()),
        "n_denominator": n,
        "n_events": sum(events),
        "share": sum(events) / n if n else None,
        "estimand": "these questions",
        "these_questions_low": these.low,
        "these_questions_high": these.high,
        **dict(zip(SUCH, such, strict=True)),
    }
