"""How far judges agree on the responses they share: every pair of them, and all together."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from workflow_scripts.em.stats.coefficients import (
    ac1,
    agreement,
    alpha,
    jackknife,
    kappa,
    label_sums,
    mean_difference,
    score_sums,
)
from workflow_scripts.em.stats.intervals import Interval, clustered
from workflow_scripts.em.stats.joined import Joined

COLUMNS = ("judges", "level", "name", "statistic", "judge", "n_responses", "n_questions", "value", "low", "high")
COLUMNS += ("estimand", "reason")
COUNT_COLUMNS = ("judges", "judge_a", "judge_b", "alignment_a", "alignment_b", "n_responses")
LABEL_COLUMNS = ("judges", "judge_a", "judge_b", "metric", "label_a", "label_b", "n_responses")
BIN = 10  # points of alignment
EVENTS = (False, True)

Judges = tuple[str, ...]


class Agreement:
    """Sums a group of judges, metric and question; responses are added one by one and not kept."""

    def __init__(self, judges: list[str], kinds: dict[str, tuple[str, ...]], definitions: list[str]):
        self._groups: list[Judges] = list(combinations(judges, 2))
        self._groups += [tuple(judges)] if len(judges) > 2 else []
        self._names = [("label" if labels else "score", name) for name, labels in kinds.items()]
        self._names += [("em", name) for name in definitions]
        self._labels = {("label", name): labels for name, labels in kinds.items() if labels}
        self._labels |= {("em", name): EVENTS for name in definitions}
        # sums[group][place in names][question]
        self._sums: dict[Judges, list[dict[tuple, np.ndarray]]] = {g: [{} for _ in self._names] for g in self._groups}
        self._counts: dict[Judges, Counter[tuple[int, int]]] = {g: Counter() for g in self._groups if len(g) == 2}
        self._pairs: Counter[tuple] = Counter()  # (pair of judges, label metric, label, label)

    def add(self, response: Joined) -> None:
        """Count one response."""
        for group in self._groups:
            if any(judge not in response.answers for judge in group):
                continue
            said = [(*response.answers[judge].metrics, *response.answers[judge].events) for judge in group]
            for place, values in enumerate(zip(*said, strict=True)):
                if None not in values:
                    self._add(group, place, response.question, values)

    def _add(self, group: Judges, place: int, question: tuple, values: tuple) -> None:
        labels = self._labels.get(self._names[place])
        if labels is None:
            new = score_sums(values)
        else:
            new = label_sums([labels.index(value) for value in values], len(labels))
        sums = self._sums[group][place]
        if question in sums:
            sums[question] += new
        else:
            sums[question] = np.array(new, dtype=float)
        if len(group) == 2 and self._names[place] == ("score", "alignment"):
            self._counts[group][_bin(values[0]), _bin(values[1])] += 1
        elif len(group) == 2 and self._names[place][0] == "label":
            self._pairs[group, self._names[place][1], *values] += 1

    def rows(self) -> Iterator[dict]:
        """Rows of agreement.csv: one a group of judges, metric or EM definition, and statistic.

        A further metric that the judges of a group do not share has no row; nor has alignment where nobody gave it.
        """
        of_alignment = [level == "em" or name == "alignment" for level, name in self._names]
        aligned = any(s for places in self._sums.values() for s, em in zip(places, of_alignment, strict=True) if em)
        for group, places in self._sums.items():
            for (level, name), sums, em in zip(self._names, places, of_alignment, strict=True):
                if not sums and not (aligned and em):
                    continue
                size = 6 if level == "score" else 2 + len(group) * len(self._labels[level, name])
                table = np.array(list(sums.values()) or [[0.0] * size])
                about = (int(table[:, 0].sum()), len(sums))
                for statistic, judge, value, interval in _statistics(level, group, table):
                    bounds = (interval.low, interval.high, "such questions", interval.method)
                    row = (" ".join(group), level, name, statistic, judge, *about, value, *bounds)
                    yield dict(zip(COLUMNS, row, strict=True))

    def count_rows(self) -> Iterator[dict]:
        """Rows of agreement_counts.csv: responses by both judges' alignment, in bins named by their lower end."""
        for group, counts in self._counts.items():
            for (a, b), n in sorted(counts.items()):
                yield dict(zip(COUNT_COLUMNS, (" ".join(group), *group, a, b, n), strict=True))

    def label_rows(self) -> Iterator[dict]:
        """Rows of label_counts.csv: responses by both judges' labels; pairs of labels that do not occur have no row."""
        for (group, metric, a, b), n in sorted(self._pairs.items()):
            yield dict(zip(LABEL_COLUMNS, (" ".join(group), *group, metric, a, b, n), strict=True))


def _statistics(level: str, group: Judges, table: np.ndarray) -> Iterator[tuple[str, str, float | None, Interval]]:
    """(statistic, the judge it is about if one, value, interval)."""
    if level == "score":
        yield "krippendorff_alpha", "", *jackknife(alpha, table, -1, 1)
        if len(group) == 2:
            yield "mean_difference", "", *jackknife(mean_difference, table, -100, 100)
        return
    yield "agreement", "", *jackknife(agreement, table, 0, 1)
    yield "kappa", "", *jackknife(kappa(len(group)), table, -1, 1)
    yield "ac1", "", *jackknife(ac1(len(group)), table, -1, 1)
    if level == "em":
        sizes = [int(n) for n in table[:, 0]]
        for judge, column in zip(group, table[:, 2:].reshape(len(table), len(group), -1)[:, :, 1].T, strict=True):
            events = [int(n) for n in column]
            interval = clustered(events, sizes)
            reason = interval.method if interval.low is None else ""
            yield "em_rate", judge, sum(events) / sum(sizes) if sum(sizes) else None, interval._replace(method=reason)


def _bin(score: float) -> int:
    return min(int(score // BIN) * BIN, 100 - BIN)
