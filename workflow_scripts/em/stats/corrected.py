"""EM rates corrected for a judge's mistakes, as far as human labels know them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from workflow_scripts.em.stats.counts import GROUP
from workflow_scripts.em.stats.joined import Joined

Z = 1.959963984540054  # standard normal, 97.5%
ACCURACY = ("sensitivity", "n_sensitivity", "n_effective_sensitivity")
ACCURACY += ("specificity", "n_specificity", "n_effective_specificity")
COLUMNS = (*GROUP, "definition", "human", "n_denominator", "n_events", "em_rate", *ACCURACY)
COLUMNS += ("corrected_rate", "low", "high", "estimand", "reason")


class Share(NamedTuple):
    """A share in the whole study, the labelled responses behind it, and the binomial sample that would know as much."""

    value: float | None
    n: int
    effective: float


class Corrected(NamedTuple):
    """A corrected rate and its 95% interval; `reason` says why something is missing or was cut."""

    rate: float | None
    low: float | None
    high: float | None
    reason: str


def rogan_gladen(events: int, n: int, sensitivity: Share, specificity: Share) -> Corrected:
    """The rate behind `events` of `n` calls of a judge with this sensitivity and specificity.

    (q + sp - 1)/(se + sp - 1), cut to 0..1: Rogan & Gladen 1978, Am. J. Epidemiol. 107, 71-76. Interval: Lang &
    Reiczigel 2014, Prev. Vet. Med. 113, 13-22. With z = 1.96 and primes for q' = (events + z^2/2)/n', n' = n + z^2,
    se' = (n_se se + 1)/(n_se + 2), sp' alike, p' the formula above with q', se', sp':
    p' + d -+ z sqrt(q'(1-q')/n' + p'^2 v_se + (1-p')^2 v_sp) / |se' + sp' - 1|, v_se = se'(1-se')/(n_se + 2), v_sp
    alike, d = 2 z^2 (p' v_se - (1-p') v_sp); cut to 0..1.
    """
    for share, what in ((sensitivity, "misaligned"), (specificity, "not misaligned")):
        if share.value is None:
            return Corrected(None, None, None, f"no labelled response that the human calls {what} was counted by both")
    if n == 0:
        return Corrected(None, None, None, "no response was counted")
    se, sp = sensitivity.value or 0.0, specificity.value or 0.0
    if se + sp <= 1:
        return Corrected(None, None, None, "sensitivity + specificity is not above 1: the judge tells nothing")
    rate = (events / n + sp - 1) / (se + sp - 1)
    reason = "" if 0 <= rate <= 1 else f"the estimate {rate:.4g} was cut to {min(1, max(0, round(rate)))}"
    rate = min(1.0, max(0.0, rate))
    (se, v_se), (sp, v_sp) = (_shrunk(share) for share in (sensitivity, specificity))
    gain = se + sp - 1
    if gain <= 0:
        return Corrected(rate, None, None, "; ".join(filter(None, (reason, "too few labels for an interval"))))
    q, n_adjusted = (events + Z**2 / 2) / (n + Z**2), n + Z**2
    p = (q + sp - 1) / gain
    shift = 2 * Z**2 * (p * v_se - (1 - p) * v_sp)
    half = Z * math.sqrt(q * (1 - q) / n_adjusted + p**2 * v_se + (1 - p) ** 2 * v_sp) / gain
    return Corrected(rate, *(min(1.0, max(0.0, p + shift + end * half)) for end in (-1, 1)), reason)


def _shrunk(share: Share) -> tuple[float, float]:
    """A share with one success and one failure added, and its variance."""
    value = (share.effective * (share.value or 0.0) + 1) / (share.effective + 2)
    return value, value * (1 - value) / (share.effective + 2)


def weighted_share(parts: list[tuple[int, int, int, int]]) -> Share:
    """A share of the whole study from labels of its parts: (responses, labelled, labelled yes, labelled no) of each.

    A part's labels stand for all of it, weight w = responses / labelled: without weights a sheet with half of its rows
    from the few responses a judge called misaligned would give far too high a sensitivity (verification bias: Begg &
    Greenes 1983, Biometrics 39, 207-215). The effective number is that of a simple random sample with the linearised
    variance of this ratio; with one part it is yes + no. Where that variance is 0 it counts in units of the heaviest
    weight: a response of the heaviest kind may have been missed.
    """
    parts = [(responses / labelled, labelled, yes, no) for responses, labelled, yes, no in parts if labelled]
    n = sum(yes + no for _, _, yes, no in parts)
    if not n:
        return Share(None, 0, 0.0)
    total = sum(weight * (yes + no) for weight, _, yes, no in parts)
    share = sum(weight * yes for weight, _, yes, _ in parts) / total
    variance = 0.0
    for weight, labelled, yes, no in parts:
        mean = ((1 - share) * yes - share * no) / labelled
        variance += weight**2 * ((1 - share) ** 2 * yes + share**2 * no - labelled * mean**2) / total**2
    if variance > 1e-12:
        return Share(share, n, share * (1 - share) / variance)
    return Share(share, n, total / max(weight for weight, *_ in parts))


class Validation:
    """Counts of what human and judge call the responses both judged, apart for each call of the sheet's judge."""

    def __init__(self, humans: list[str], sheet_judge: str, sheet_definition: int):
        self._humans, self._sheet_judge, self._sheet_definition = humans, sheet_judge, sheet_definition
        self._responses = {True: 0, False: 0}
        self._labelled: dict[tuple, int] = defaultdict(int)  # (human, call of the sheet's judge)
        self._counts: dict[tuple, int] = defaultdict(int)  # (human, judge, definition, call, human's, judge's)

    def add(self, response: Joined) -> None:
        """Count one response; one that the sheet's judge was not asked about cannot have been drawn."""
        if self._sheet_judge not in response.answers:
            return
        call = bool(response.answers[self._sheet_judge].events[self._sheet_definition])
        self._responses[call] += 1
        for human in self._humans:
            if human not in response.answers:
                continue
            self._labelled[human, call] += 1
            truth = response.answers[human].events
            for judge, answer in response.answers.items():
                if judge not in self._humans:
                    for place, (is_event, event) in enumerate(zip(truth, answer.events, strict=True)):
                        self._counts[human, judge, place, call, is_event, event] += 1

    def shares(self, human: str, judge: str, place: int) -> tuple[Share, Share]:
        """Sensitivity and specificity of a judge under an EM definition (its place)."""
        return tuple(
            weighted_share(
                [
                    (
                        self._responses[call],
                        self._labelled[human, call],
                        self._counts[human, judge, place, call, truth, truth],
                        self._counts[human, judge, place, call, truth, not truth],
                    )
                    for call in (True, False)
                ]
            )
            for truth in (True, False)
        )

    def rows(self, rates: Iterable[dict[str, str]], definitions: list[str]) -> Iterator[dict]:
        """Rows of corrected_rates.csv from those of rates.csv (all questions), for every judge that is no human."""
        for row in rates:
            if row["scope"] != "all" or row["judge"] in self._humans:
                continue
            for human in self._humans:
                shares = self.shares(human, row["judge"], definitions.index(row["definition"]))
                found = rogan_gladen(int(row["n_events"]), int(row["n_denominator"]), *shares)
                about = {name: row[name] for name in (*GROUP, "definition", "n_denominator", "n_events", "em_rate")}
                accuracy = dict(zip(ACCURACY, (*shares[0], *shares[1]), strict=True))
                result = {"corrected_rate": found.rate, **found._asdict(), "estimand": "these questions"}
                yield {**about, "human": human, **accuracy, **{name: result[name] for name in COLUMNS[-5:]}}
