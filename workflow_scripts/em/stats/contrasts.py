"""Tests of a difference between two groups of rates: t tests over seeds or questions, and exact permutation."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from workflow_scripts.em.stats.intervals import LEVEL

# Up to this many rearrangements all are tried (16 pairs, 10 against 9 seeds); of more, a sample.
RESAMPLES = 99_999


class Difference(NamedTuple):
    """mean(a) - mean(b) with its 95% interval and two-sided p; NaN where it cannot be estimated."""

    difference: float
    low: float
    high: float
    statistic: float
    df: float
    p: float


class Permutation(NamedTuple):
    """Two-sided p; whether every rearrangement was tried; the smallest p that so few values can have."""

    p: float
    exact: bool
    smallest: float


def welch(a: Sequence[float], b: Sequence[float], floors: tuple[float, float] = (0.0, 0.0)) -> Difference:
    """Welch's t test of two independent groups, one value a training seed (Welch 1947, Biometrika 34, 28-35).

    t = (mean a - mean b) / sqrt(v_a + v_b), v = var/n, on Satterthwaite's (v_a + v_b)^2 / sum(v^2/(n-1)) degrees of
    freedom. `floors` are the least variances a value of each group can have: that of sampling its responses. Values
    that agree by luck would else have none. One value in a group has no variance: difference only.
    """
    difference = float(np.mean(a) - np.mean(b))
    if min(len(a), len(b)) < 2:
        return Difference(difference, *[math.nan] * 5)
    shares = [max(float(np.var(x, ddof=1)), floor) / len(x) for x, floor in zip((a, b), floors, strict=True)]
    squares = sum(share**2 / (len(x) - 1) for x, share in zip((a, b), shares, strict=True))
    return _t(difference, sum(shares), sum(shares) ** 2 / squares if squares else math.nan)


def paired(differences: Sequence[float], floor: float = 0.0) -> Difference:
    """Paired t test of differences, one a question or a seed; `floor` is the least variance one can have."""
    n, mean = len(differences), float(np.mean(differences))
    if n < 2:
        return Difference(mean, *[math.nan] * 5)
    return _t(mean, max(float(np.var(differences, ddof=1)), floor) / n, n - 1)


def _t(difference: float, variance: float, df: float) -> Difference:
    """t test and interval. Without any spread an interval would be a point: there is none, and p is 1 or unknown."""
    if variance < 1e-24:
        return Difference(difference, *[math.nan] * 4, 1.0 if abs(difference) < 1e-12 else math.nan)
    error = math.sqrt(variance)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * error
    p = 2 * float(stats.t.sf(abs(difference) / error, df))
    return Difference(difference, difference - half, difference + half, difference / error, df, p)


def permutation(a: Sequence[float], b: Sequence[float], pairs: bool = False) -> Permutation:
    """Permutation test of the difference of means (Fisher 1935): groups are exchanged, or with `pairs` signs flipped.

    The two-sided p is twice the smaller one-sided p, at most 1. It cannot be below 2 / (number of rearrangements):
    0.1 with 3 against 3 seeds, 2/2^K with K pairs. NaN with one pair, or one value on a side.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if min(len(a), len(b)) < 2:
        return Permutation(math.nan, True, math.nan)
    count = 2 ** len(a) if pairs else math.comb(len(a) + len(b), len(a))
    found = stats.permutation_test(
        (a - b,) if pairs else (a, b),
        _mean if pairs else _difference,
        permutation_type="samples" if pairs else "independent",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=10_000,
        rng=np.random.default_rng(0),
    )
    exact = count <= RESAMPLES
    return Permutation(float(found.pvalue), exact, min(1.0, 2 / (count if exact else RESAMPLES + 1)))


# Rounded, so that rearrangements of the same mean are ties whatever the order of their sums.
def _mean(x: np.ndarray, axis: int) -> np.ndarray:
    return np.round(np.mean(x, axis=axis), 12)


def _difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    return np.round(np.mean(x, axis=axis) - np.mean(y, axis=axis), 12)
