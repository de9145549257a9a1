"""The shape of a curve along training: its monotone fit, and the largest fall from a step to a later one."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from workflow_scripts.em.stats.intervals import LEVEL

TAIL = (1 - LEVEL) / 2
NO_WEIGHT = 1e-9  # of a step where nothing was counted: it takes its neighbours' value


class Fall(NamedTuple):
    """The largest fall of a curve: from step number `start` to `end`, its size and 95% interval.

    `start` and `end` are None, and the size 0, where no later step is lower than an earlier one.
    """

    start: int | None
    end: int | None
    size: float
    low: float
    high: float


def fitted(rates: np.ndarray, sizes: np.ndarray, peak: int | None = None) -> np.ndarray:
    """Least squares fit that does not fall (after `peak`: that does not rise), each step weighted by its responses.

    Isotonic regression by pooling adjacent violators (Ayer et al. 1955; Barlow et al. 1972): scipy's. rates, sizes:
    (steps,); a rate that is NaN weighs nothing.
    """
    weights = np.where(np.isnan(rates), NO_WEIGHT, np.maximum(sizes, NO_WEIGHT))
    values = np.nan_to_num(rates)
    if peak is None:
        return isotonic_regression(values, weights=weights).x
    rise = isotonic_regression(values[: peak + 1], weights=weights[: peak + 1]).x
    fall = isotonic_regression(values[peak:], weights=weights[peak:], increasing=False).x
    return np.concatenate([rise, fall[1:]])


def largest_fall(rates: np.ndarray, sizes: np.ndarray, draws: np.ndarray) -> Fall:
    """The largest p(s) - p(t) over steps s < t, with an interval that allows for the choice of s and t.

    The largest of many noisy differences is too large, and its own percentile interval knows nothing of that. So all
    differences get one band: with se their bootstrap standard errors, c the 97.5% point of the largest
    (d* - d)/se over all pairs in a draw, the low end is the largest d - c se; the high end likewise (max-t:
    Westfall & Young 1993; bounds of a maximum: Chernozhukov, Lee & Rosen 2013, Econometrica 81, 667-737). An se is not
    let below the binomial one. rates, sizes: (steps,); draws: (draws, steps) as of `curves.draw`.
    """
    known = np.flatnonzero(~np.isnan(rates) & ~np.isnan(draws).any(axis=0))
    first, later = (known[place] for place in np.triu_indices(len(known), 1))
    if not len(first):
        return Fall(None, None, 0.0, 0.0, 0.0)
    found, drawn = rates[first] - rates[later], draws[:, first] - draws[:, later]
    smoothed = (rates * sizes + 0.5) / (sizes + 1)
    variance = smoothed * (1 - smoothed) / np.maximum(sizes, 1)
    error = np.maximum(drawn.std(axis=0), np.sqrt(variance[first] + variance[later]))
    apart = (drawn - found) / error
    down, up = (np.quantile((sign * apart).max(axis=1), 1 - TAIL) for sign in (1, -1))
    low, high = float((found - down * error).max()), float((found + up * error).max())
    largest = int(found.argmax())
    size = float(found[largest])
    at = (int(first[largest]), int(later[largest])) if size > 0 else (None, None)
    return Fall(*at, max(0.0, size), max(0.0, low), min(1.0, max(0.0, high)))
