"""The step at which EM is first present, with its interval; and how much earlier one way of asking shows it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from workflow_scripts.em.config.onset import LEAST_STEPS
from workflow_scripts.em.stats.curves import SERIES, Curve, draw
from workflow_scripts.em.stats.trend import TAIL, Fall, fitted, largest_fall

COLUMNS = (*SERIES, "seed", "n_seeds", "definition", "scope", "estimand", "margin", "n_questions", "n_steps")
COLUMNS += ("first_step", "last_step", "baseline_rate", "onset", "onset_low", "onset_high", "onset_checkpoint")
COLUMNS += ("share_without_onset", "peak_step", "peak_rate", "last_rate", "fall", "fall_low", "fall_high")
COLUMNS += ("fall_from", "fall_to", "shape", "reason")
ALL = "all"  # in the column `seed`: the organism's training seeds together


class Found(NamedTuple):
    """What is estimated of one curve. `onsets`: of each draw, infinite where it has none; `fit`: (steps,)."""

    onset: float
    onsets: np.ndarray
    fit: np.ndarray
    fall: Fall


def crossing(steps: np.ndarray, fit: np.ndarray, margin: float) -> float:
    """Where a fitted curve first lies `margin` above its beginning, on the line between steps; infinite if nowhere."""
    level = fit[0] + margin
    above = np.flatnonzero(fit >= level)
    if not len(above):
        return np.inf
    k = above[0]
    return float(steps[k - 1] + (level - fit[k - 1]) / (fit[k] - fit[k - 1]) * (steps[k] - steps[k - 1]))


def bracket(onsets: np.ndarray | list[float], steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The evaluated steps before and at or after each onset: between them nothing was measured. Infinite stays so."""
    found = np.asarray(onsets, dtype=float)
    later = np.searchsorted(steps, found)
    earlier = np.where(np.isinf(found), np.inf, steps[np.maximum(later - 1, 0)])
    return earlier, np.append(steps, np.inf)[later]


def estimate(curve: Curve, drawn: tuple[np.ndarray, np.ndarray], margin: float) -> Found:
    """The onset of a curve and of its bootstrap draws, `drawn` being (rates, sizes) of `curves.draw`.

    The curve is fitted as one that does not fall; where its fall is shown (the interval excludes 0), as one that does
    not fall up to its peak.
    """
    sizes = curve.sizes.sum(axis=(0, 1))
    fall = largest_fall(curve.rates, sizes, drawn[0])
    peak = int(np.nanargmax(curve.rates)) if fall.low > 0 else None
    fit = fitted(curve.rates, sizes, peak)
    onsets = np.array([crossing(curve.steps, fitted(*pair, peak), margin) for pair in zip(*drawn, strict=True)])
    return Found(crossing(curve.steps, fit, margin), onsets, fit, fall)


def onset_rows(curve: Curve, margin: float, rng: np.random.Generator, about: dict) -> Iterator[dict]:
    """Rows of onset.csv: one a training seed and, of several, one for all. `about`: definition and scope."""
    parts = [(seed, curve.part([seed])) for seed in curve.seeds]
    parts += [(ALL, curve)] if len(curve.seeds) > 1 else []
    for seed, part in parts:
        row = {
            **dict(zip(SERIES, curve.key, strict=True)),
            "seed": seed,
            "n_seeds": len(part.seeds),
            **about,
            "estimand": estimand(part),
            "margin": margin,
            "n_questions": int((part.sizes.sum(axis=(0, 2)) > 0).sum()),
            "n_steps": len(part.steps),
            "first_step": whole(part.steps[0]),
            "last_step": whole(part.steps[-1]),
        }
        why = unknown(part)
        row |= {"reason": why} if why else _estimates(part, estimate(part, *draw([part], rng), margin), margin)
        yield {name: row.get(name) for name in COLUMNS}


def estimand(curve: Curve) -> str:
    """What an interval over a curve's seeds and questions is about."""
    return "this recipe" if len(curve.seeds) > 1 else "this run only"


def unknown(curve: Curve) -> str:
    """Why a curve has no onset that could be estimated; empty when it can."""
    if curve.steps[0] != 0:
        return f"no baseline: the first step evaluated is {whole(curve.steps[0])}"
    if np.isnan(curve.rates[0]):
        return "no baseline: no response was counted at step 0"
    if len(curve.steps) < LEAST_STEPS:
        return f"{len(curve.steps)} checkpoints evaluated: an onset needs {LEAST_STEPS}"
    return "" if np.isfinite(curve.rates[1:]).any() else "no response was counted after step 0"


def _estimates(curve: Curve, found: Found, margin: float) -> dict:
    rates, last = curve.rates, curve.steps[-1]
    low, high = (None, None)
    if several(curve):
        low, high = (bracket([end], curve.steps)[side][0] for side, end in enumerate(ends(found.onsets, curve)))
    without = float(np.isinf(found.onsets).mean())
    peak = int(np.nanargmax(rates))
    reason = "" if np.isfinite(found.onset) else f"no rise of {100 * margin:g} points within {whole(last)} steps"
    if not several(curve):
        reason = "; ".join(filter(None, [reason, "one question: no interval for questions like it"]))
    at = dict(zip(("fall_from", "fall_to"), found.fall[:2], strict=True))
    return {
        "baseline_rate": float(found.fit[0]),
        "onset": censored(found.onset, last),
        "onset_low": censored(low, last),
        "onset_high": censored(high, last),
        "onset_checkpoint": next((whole(step) for step in curve.steps if step >= found.onset), None),
        "share_without_onset": without if several(curve) else None,
        "peak_step": whole(curve.steps[peak]),
        "peak_rate": float(rates[peak]),
        "last_rate": float(rates[-1]) if np.isfinite(rates[-1]) else None,
        "fall": found.fall.size,
        "fall_low": found.fall.low if several(curve) else None,
        "fall_high": found.fall.high if several(curve) else None,
        **{name: None if place is None else whole(curve.steps[place]) for name, place in at.items()},
        "shape": "falls after a peak" if found.fall.low > 0 else "no fall shown",
        "reason": reason,
    }


def several(curve: Curve) -> bool:
    """Whether questions can be drawn: with one, nothing is known about others."""
    return int((curve.sizes.sum(axis=(0, 2)) > 0).sum()) > 1


def ends(values: np.ndarray, curve: Curve) -> tuple[float, float]:
    """The percentile interval of a curve's draws, which may be infinite.

    With several seeds the percentiles are those of the t distribution with seeds - 1 degrees of freedom, Phi(-+t):
    Hesterberg 2015 (Am. Stat. 69, 371-386). Up to four seeds that is the smallest and the largest draw.
    """
    tail = norm.cdf(-t.ppf(1 - TAIL, len(curve.seeds) - 1)) if len(curve.seeds) > 1 else TAIL
    low, high = (np.quantile(values, q, method="inverted_cdf") for q in (tail, 1 - tail))
    return float(low), float(high)


def censored(value: float | None, last: float) -> float | str | None:
    """A step as it is written; one after the last that was evaluated is only known to be so."""
    if value is None:
        return None
    return f">{whole(last)}" if np.isinf(value) else read(value)


def read(steps: float) -> int | float:
    """A number of steps as finely as it can be read off: whole, or with two significant digits below ten."""
    return whole(round(steps) if abs(steps) >= 10 else float(f"{steps:.2g}"))


def whole(step: float) -> int | float:
    """A step without a decimal point it does not need."""
    return int(step) if float(step).is_integer() else float(step)
