"""Logistic mixed model with crossed random effects, by Laplace's approximation of the marginal likelihood.

Own code, because what Python has gives no usable interval here (docs/methods.md has the measured coverage): that of
statsmodels' variational fit is far too narrow, its joint posterior mode puts standard deviations to 0, and GPBoost
often has no standard error. Method: Breslow & Clayton 1993 (J. Am. Stat. Assoc. 88, 9-25), as in lme4's
`glmer(nAGQ=0)`; a prior keeps the standard deviations off 0 with few groups, as Chung et al. 2013 (Psychometrika 78,
685-709) advise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

# Prior of a random effect's standard deviation, in logits: log-normal around 0.5, a factor e one prior SD.
PRIOR_SD, PRIOR_SPREAD = 0.5, 1.0


class Fit(NamedTuple):
    """Fixed effect of the side with its standard error, in logits, and the random effects' standard deviations."""

    effect: float
    error: float
    sds: dict[str, float]
    converged: bool


def fit(events: Sequence[int], sizes: Sequence[int], side: Sequence[float], groups: dict[str, Sequence]) -> Fit:
    """Fit events ~ Binomial(sizes, expit(b0 + b1 side + sum of random effects)); one entry a cell.

    groups: random effect -> the group of each cell; effects are normal, with one standard deviation a name. Both
    sides need events and non-events, or b1 is infinite.
    """
    e, n = np.asarray(events, float), np.asarray(sizes, float)
    blocks, owner = [np.column_stack([np.ones(len(e)), np.asarray(side, float)])], []
    for place, labels in enumerate(groups.values()):
        names = list(dict.fromkeys(labels))
        blocks.append(np.asarray([[float(label == name) for name in names] for label in labels]))
        owner += [place] * len(names)
    design, owner = np.hstack(blocks), np.asarray(owner, int)
    start = np.zeros(design.shape[1])
    start[0] = special.logit((e.sum() + 0.5) / (n.sum() + 1))
    last = {"at": start}

    def negative(log_sds: np.ndarray) -> float:
        mode, hessian, _ = _mode(e, n, design, log_sds[owner], last["at"])
        last["at"] = mode
        eta, effects = design @ mode, mode[2:] / np.exp(log_sds[owner])
        likelihood = e @ eta - n @ np.logaddexp(0, eta) - effects @ effects / 2 - log_sds[owner].sum()
        prior = (((log_sds - np.log(PRIOR_SD)) / PRIOR_SPREAD) ** 2).sum() / 2
        # The random effects are integrated out, not the fixed ones.
        return prior - likelihood + np.linalg.slogdet(hessian[2:, 2:])[1] / 2

    guess = np.full(len(groups), np.log(PRIOR_SD))
    options = {"xatol": 1e-3, "fatol": 1e-4, "maxiter": 400 * len(groups)}
    found = optimize.minimize(negative, guess, method="Nelder-Mead", options=options)
    mode, hessian, settled = _mode(e, n, design, found.x[owner], last["at"])
    error = float(np.sqrt(np.linalg.inv(hessian)[1, 1]))
    sds = {name: float(np.exp(value)) for name, value in zip(groups, found.x, strict=True)}
    return Fit(float(mode[1]), error, sds, bool(found.success and settled and np.isfinite(error)))


def _mode(
    e: np.ndarray, n: np.ndarray, design: np.ndarray, log_sds: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Newton's steps to the joint mode of fixed and random effects: the mode, the Hessian there, whether it settled."""
    precision = np.concatenate([np.zeros(2), np.exp(-2 * log_sds)])
    at = start.copy()
    for _ in range(100):
        p = special.expit(design @ at)
        hessian = (design.T * (n * p * (1 - p))) @ design + np.diag(precision)
        step = np.linalg.solve(hessian, design.T @ (e - n * p) - precision * at)
        size = float(np.abs(step).max())
        at = at + step * min(1.0, 2 / size if size else 1.0)
        if size < 1e-8:
            return at, hessian, True
    return at, hessian, False
