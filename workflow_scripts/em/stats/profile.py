"""The mean rate of a population of questions whose own rates are normal on the logit scale: likelihood and bounds."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logit, ndtr

PENALTY = 2.0  # logits: scale of the half-normal penalty on the SD between questions
MOST = 4000  # a question with more responses counts as one with this many, so that no likelihood is finer than STEP
STEP = 0.05
OWN = np.arange(-12, 12 + STEP / 2, STEP)  # a question's own logit
SPREADS = 0.6 * np.sinh(0.17 * np.arange(16))  # SD between questions: 0 to 3.8 logits, finer near 0
MEANS = np.concatenate([np.arange(-16, -6, 0.4), np.arange(-6, 6, 0.15), np.arange(6, 16.2, 0.4)])  # logit of the mean
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS /= WEIGHTS.sum()


def centre(mean_logit: np.ndarray, spread: float) -> np.ndarray:
    """The mu for which questions normal(mu, spread) on the logit scale have the mean rate expit(mean_logit)."""
    mu, change = np.array(mean_logit, dtype=float), np.inf
    while np.max(np.abs(change)) > 1e-9:  # Newton on the logit of the mean, which is nearly linear in mu
        own = mu[..., None] + spread * NODES
        mean, rest = expit(own) @ WEIGHTS, expit(-own) @ WEIGHTS
        slope = (expit(own) * expit(-own)) @ WEIGHTS / (mean * rest)
        change = (np.log(mean / rest) - mean_logit) / slope
        mu -= change
    return mu


def profile_bounds(events: Sequence[int], sizes: Sequence[int], quantile: float) -> tuple[float, float]:
    """Where the signed root of the mean rate's likelihood ratio passes -quantile and +quantile. One entry a question.

    Question k has e_k ~ binomial(n_k, expit(x_k)), x_k ~ normal(mu, s): the exact binomial-normal model of Stijnen,
    Hamza & Ozdemir 2010 (Stat. Med. 29, 3046-67), in terms of the mean rate m = E expit(x) and s. For each m the
    likelihood is at its best s (Hardy & Thompson 1996, Stat. Med. 15, 619-29), with a half-normal penalty of scale
    PENALTY on s, which few events do not bound (a weakly informative prior: Gelman 2006, Bayesian Anal. 1, 515-34).
    Needs an event and a non-event, or the likelihood has no maximum inside.
    """
    found = _profile(events, sizes)
    top = int(np.clip(found.argmax(), 1, len(found) - 2))
    left, middle, right = found[top - 1 : top + 2]
    best, place = _peak(left, middle, right)
    root = np.sqrt(2 * np.maximum(best - found, 0))
    signed = np.where(np.arange(len(found)) < top + place, -root, root)
    # The signed root is nearly linear in the logit, far more so than the likelihood.
    low, high = expit(np.interp([-quantile, quantile], signed, MEANS))
    return float(low) if signed[0] < -quantile else 0.0, float(high) if signed[-1] > quantile else 1.0


def spread(events: Sequence[int], sizes: Sequence[int]) -> float:
    """The most likely SD in logits between the questions (or between runs), at most SPREADS[-1], without a penalty.

    Its square is multiplied by K/(K-1), as a sample variance's. Needs two entries, an event and a non-event.
    """
    table = _table(events, sizes)
    top = int(np.clip(table.max(axis=1).argmax(), 1, len(SPREADS) - 2))
    _, place = _peak(*table.max(axis=1)[top - 1 : top + 2])
    best = float(np.interp(top + place, np.arange(len(SPREADS)), SPREADS))
    return best * math.sqrt(len(sizes) / (len(sizes) - 1))


def bound_without_events(sizes: Sequence[int], tail: float, spread: float) -> float:
    """The mean rate at which no event at all has probability `tail`, when questions differ by an SD of `spread` logits.

    It solves prod_k E[(1 - expit(x_k))^n_k] = tail. With spread 0 it is Clopper & Pearson's upper bound (1934,
    Biometrika 26, 404-13).
    """

    def excess(mean_logit: float) -> float:
        none = log_expit(-centre(np.array(mean_logit), spread) - spread * NODES)
        return float(sum(np.log(max(np.exp(n * none) @ WEIGHTS, 1e-300)) for n in sizes)) - math.log(tail)

    start = float(logit(-math.expm1(math.log(tail) / sum(sizes))))  # at spread 0; it is never less
    return float(expit(brentq(excess, start - 1e-6, start + 25)))


def _profile(events: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """Penalised log-likelihood by mean rate (MEANS), at its best spread, up to a constant."""
    table = _table(events, sizes) - 0.5 * (SPREADS[:, None] / PENALTY) ** 2
    top = np.clip(table.argmax(axis=0), 1, len(SPREADS) - 2)
    return _peak(*np.take_along_axis(table, top + np.array([[-1], [0], [1]]), axis=0))[0]


def _table(events: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """Log-likelihood by spread (SPREADS) and mean rate (MEANS), up to a constant."""
    shares = [min(1, MOST / n) for n in sizes]
    return sum(_question(e * share, n * share) for e, n, share in zip(events, sizes, shares, strict=True))


def _peak(left: np.ndarray, middle: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height and place (-1 to 1) of the top of the parabola through three neighbours; the higher end if outside."""
    bend, slope = np.minimum(left - 2 * middle + right, -1e-12), 0.5 * (right - left)
    place = np.clip(-slope / bend, -1, 1)
    return middle + place * slope + 0.5 * place**2 * bend, place


@lru_cache(maxsize=2048)
def _question(events: float, n: float) -> np.ndarray:
    """Log-likelihood of one question, up to a constant, by spread and mean rate."""
    own = events * log_expit(OWN) + (n - events) * log_expit(-OWN)
    alike = events * log_expit(MEANS) + (n - events) * log_expit(-MEANS)
    # A value below all floats is far from any maximum; a large number instead of infinity keeps differences defined.
    mixed = np.log(np.maximum(_kernel() @ np.exp(own - own.max()), 1e-300)) + own.max()
    return np.concatenate([alike[None], mixed])


@lru_cache(maxsize=1)
def _kernel() -> np.ndarray:
    """Share of questions at each own logit, by spread above 0 and mean rate: (15, len(MEANS), len(OWN))."""
    rows = []
    for spread in SPREADS[1:]:
        z = (OWN - centre(MEANS, spread)[:, None]) / spread
        share = np.exp(-0.5 * z * z) * STEP / spread / math.sqrt(2 * math.pi)
        share[:, 0] = ndtr(z[:, 0] + STEP / 2 / spread)  # beyond the grid a rate is as good as 0 or 1
        share[:, -1] = ndtr(-z[:, -1] + STEP / 2 / spread)
        rows.append(share)
    return np.array(rows)
