"""95% intervals for a rate: for these very questions, for questions like them, and for further training seeds."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from scipy.special import expit, logit
from scipy.stats import binomtest, t

from workflow_scripts.em.stats.profile import bound_without_events, profile_bounds

LEVEL = 0.95
EXACT_SPREAD = 1.5  # logits: SD between questions at which the bound without events is exact


class Interval(NamedTuple):
    """Bounds in [0, 1], or None when they cannot be estimated; `method` says how they were got, or why not."""

    low: float | None
    high: float | None
    method: str


@lru_cache(maxsize=65536)
def wilson(events: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson score interval: fresh samples of the *same questions*.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), Wilson 1927. It treats responses as independent draws,
    which they are once the questions are held fixed, and stays inside [0, 1] with no or all events.
    """
    if n == 0:
        return Interval(None, None, "not_estimable_no_responses")
    found = binomtest(events, n).proportion_ci(level, method="wilson")
    return Interval(max(0.0, float(found.low)), min(1.0, float(found.high)), "wilson")


def clustered(events: Sequence[int], sizes: Sequence[int], level: float = LEVEL) -> Interval:
    """Interval for *other questions like these*: of two that hold, what either covers. One entry a question.

    With p = sum(e)/sum(n) over the K questions that have responses, N = sum(n) and r_k = e_k - p n_k:
    1. Cluster-robust t on the logit scale: V = K/(K-1) sum(r_k^2) / N^2 (Cameron, Gelbach & Miller 2008; Miller 2024,
       arXiv 2411.00640, without the factor), expit(logit(p) +- t_{K-1} sqrt(V) / (p(1-p))). V is not let below the
       binomial p(1-p)/N: a smaller one is the noise of few questions. It assumes no distribution of the questions,
       but is short when rare events stem from a few questions.
    2. `profile.profile_bounds` at the quantile sqrt(K log(1 + t_{K-1}^2/(K-1))), which is exact for the mean of K
       normal values. It takes the questions to be normal on the logit scale, and knows that a rate can hide in
       questions not asked.
    `method` ends in `_widened` where 2 goes beyond 1. With no or all events: `profile.bound_without_events`, that is
    Clopper & Pearson's bound for questions that differ by an SD of EXACT_SPREAD logits. Below two questions nothing is
    known about other questions. Coverage: docs/methods.md and `python -m tests.bench coverage`.
    """
    pairs = sorted((int(e), int(n)) for e, n in zip(events, sizes, strict=True) if n)
    return _clustered(tuple(pairs), level)


@lru_cache(maxsize=65536)
def _clustered(pairs: tuple[tuple[int, int], ...], level: float) -> Interval:
    k = len(pairs)
    if k < 2:
        return Interval(None, None, "not_estimable_one_question" if k else "not_estimable_no_responses")
    events, sizes = zip(*pairs, strict=True)
    total, count = sum(sizes), sum(events)
    if count in (0, total):
        bound = bound_without_events(sizes, (1 - level) / 2, EXACT_SPREAD)
        return Interval(0.0, bound, "exact_no_events") if count == 0 else Interval(1 - bound, 1.0, "exact_all_events")
    p = count / total
    robust = k / (k - 1) * sum((e - p * n) ** 2 for e, n in pairs) / total**2
    low, high, method = _logit_t(p, robust, p * (1 - p) / total, k - 1, level, "clustered_logit_t")
    quantile = math.sqrt(k * math.log1p(float(t.ppf(0.5 + level / 2, k - 1)) ** 2 / (k - 1)))
    ends = profile_bounds(events, sizes, quantile)
    if ends[0] >= low and ends[1] <= high:
        return Interval(low, high, method)
    return Interval(min(low, ends[0]), max(high, ends[1]), f"{method}_widened")


def over_seeds(rates: Sequence[float], sizes: Sequence[int], level: float = LEVEL) -> Interval:
    """t interval on the logit scale around the mean of the seeds' rates: *other training seeds of this recipe*.

    m = mean(rates), V = sd(rates)^2 / S, interval expit(logit(m) +- t_{S-1} sqrt(V) / (m(1-m))): the clustered interval
    with seeds as clusters of equal weight. V is not let below m(1-m) / sum(sizes), so two seeds that agree by luck do
    not give a point. One seed says nothing about a recipe; all seeds at 0 or at 1 have no spread to estimate from.
    """
    count = len(rates)
    if count < 2:
        return Interval(None, None, "this run only" if count else "not_estimable_no_rate")
    mean = sum(rates) / count
    if mean <= 0 or mean >= 1:
        return Interval(None, None, "not_estimable_no_events" if mean <= 0 else "not_estimable_all_events")
    spread = sum((rate - mean) ** 2 for rate in rates) / (count - 1) / count
    return _logit_t(mean, spread, mean * (1 - mean) / sum(sizes), count - 1, level, "seeds_logit_t")


def _logit_t(p: float, variance: float, floor: float, df: int, level: float, method: str) -> Interval:
    """The t interval on the logit scale by the delta method, d logit(p)/dp = 1/(p(1-p))."""
    half = float(t.ppf(0.5 + level / 2, df)) * math.sqrt(max(variance, floor)) / (p * (1 - p))
    method = method if variance >= floor else f"{method}_binomial_floor"
    return Interval(float(expit(logit(p) - half)), float(expit(logit(p) + half)), method)
