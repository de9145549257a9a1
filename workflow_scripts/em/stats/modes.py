"""Two ways of asking the same checkpoints: how far their EM rates are apart, and which shows EM earlier."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from scipy.stats import norm

from workflow_scripts.em.stats.curves import Curve, draw, ratio
from workflow_scripts.em.stats.onset import (
    ALL,
    TAIL,
    Found,
    bracket,
    ends,
    estimand,
    estimate,
    read,
    several,
    unknown,
    whole,
)

Pair = tuple[Curve, Curve]
PAIR = ("organism", "stage", "judge", "seed", "n_seeds", "condition_a", "question_set_a", "mode_a")
PAIR += ("condition_b", "question_set_b", "mode_b", "definition", "scope", "estimand", "n_shared_questions")
SIDE = ("rate", "n_denominator", "n_events", "fitted")
STEP_COLUMNS = (*PAIR, "step", *(f"{name}_{side}" for side in "ab" for name in SIDE))
STEP_COLUMNS += ("difference", "difference_low", "difference_high", "reason")
LEAD_COLUMNS = (*PAIR, "margin", "last_step", "onset_a", "onset_b", "lead", "lead_low", "lead_high")
LEAD_COLUMNS += ("share_b_first", "share_without_a", "share_without_b", "reason")


def pairs(curves: list[Curve], modes: dict[str, str]) -> Iterator[Pair]:
    """Every condition in assistant mode (a) with every one in predictive mode (b), for an organism's stage and judge.

    On the question sets that both are asked; if there is none, on every two sets (as when raw text has a set of its
    own). Steps and seeds are those that both have. `modes`: condition -> mode.
    """
    groups: dict[tuple, dict[str, dict[str, Curve]]] = {}
    for curve in curves:
        organism, stage, condition, question_set, judge = curve.key
        groups.setdefault((organism, stage, judge), {}).setdefault(condition, {})[question_set] = curve
    for conditions in groups.values():
        sides = ([name for name in conditions if modes.get(name) == mode] for mode in ("assistant", "predictive"))
        for a, b in product(*sides):
            ours, theirs = conditions[a], conditions[b]
            same = [(name, name) for name in ours if name in theirs]
            for one, other in same or [(x, y) for x in ours for y in theirs]:
                first, second = ours[one], theirs[other]
                seeds = set(first.seeds) & set(second.seeds)
                steps = set(first.steps) & set(second.steps)
                if seeds and len(steps) > 1:
                    yield first.part(seeds, steps), second.part(seeds, steps)


def pair_rows(
    pair: Pair, margin: float, rng: np.random.Generator, about: dict, modes: dict[str, str]
) -> tuple[list[dict], list[dict]]:
    """Rows of mode_divergence.csv and of lead_times.csv: for each training seed and, of several, for all."""
    apart, leads = [], []
    parts = [(seed, tuple(curve.part([seed]) for curve in pair)) for seed in pair[0].seeds]
    parts += [(ALL, pair)] if len(pair[0].seeds) > 1 else []
    for seed, (a, b) in parts:
        organism, stage, condition, question_set, judge = a.key
        told = {"organism": organism, "stage": stage, "judge": judge, "seed": seed, "n_seeds": len(a.seeds)}
        told |= {"condition_a": condition, "question_set_a": question_set, "mode_a": modes.get(condition, "")}
        told |= {"condition_b": b.key[2], "question_set_b": b.key[3], "mode_b": modes.get(b.key[2], "")}
        told |= {**about, "estimand": estimand(a), "n_shared_questions": len(set(a.questions) & set(b.questions))}
        drawn = draw([a, b], rng)
        found = tuple(estimate(curve, drawn[i], margin) for i, curve in enumerate((a, b)))
        apart += [{name: told.get(name, row.get(name)) for name in STEP_COLUMNS} for row in _steps(a, b, drawn, found)]
        row = told | {"margin": margin, "last_step": whole(a.steps[-1])} | lead(a, b, found)
        leads.append({name: row.get(name) for name in LEAD_COLUMNS})
    return apart, leads


def _steps(a: Curve, b: Curve, drawn: list, found: tuple[Found, Found]) -> Iterator[dict]:
    """The difference at each step, b less a, with the percentile interval of its draws.

    The interval is not let be narrower than that of two independent binomial samples, which the draws of a step
    without events would make a point. Each is for its step alone.
    """
    sides = [(curve.events.sum(axis=(0, 1)), curve.sizes.sum(axis=(0, 1))) for curve in (a, b)]
    rates = [ratio(*side) for side in sides]
    half = norm.ppf(1 - TAIL) * np.sqrt(sum(_binomial(*side) for side in sides))
    for k, step in enumerate(a.steps):
        row: dict = {"step": whole(step)}
        for side, (events, sizes), rate, estimates in zip("ab", sides, rates, found, strict=True):
            values = (None if np.isnan(rate[k]) else float(rate[k]), int(sizes[k]), int(events[k]), estimates.fit[k])
            row |= {f"{name}_{side}": value for name, value in zip(SIDE, values, strict=True)}
        difference, draws = float(rates[1][k] - rates[0][k]), drawn[1][0][:, k] - drawn[0][0][:, k]
        if np.isnan(difference):
            yield row | {"reason": "a rate is not defined"}
        elif not (several(a) and several(b)):
            yield row | {"difference": difference, "reason": "one question: nothing is known about others"}
        elif not np.isfinite(draws).any():
            yield row | {"difference": difference, "reason": "no draw has a rate on both sides"}
        else:
            low, high = ends(draws[np.isfinite(draws)], a)
            low, high = min(low, difference - half[k]), max(high, difference + half[k])
            yield row | {"difference": difference, "difference_low": max(-1.0, low), "difference_high": min(1.0, high)}


def _binomial(events: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    share = (events + 0.5) / (sizes + 1)
    return share * (1 - share) / np.maximum(sizes, 1)


def lead(a: Curve, b: Curve, found: tuple[Found, Found]) -> dict:
    """How many steps before a's onset b's lies, with the interval of their common bootstrap draws.

    Each draw's onsets may lie anywhere between the checkpoints beside them, so the low end takes a's earlier and b's
    later one, the high end the others; b is first where its later checkpoint comes before a's.
    In a draw without an onset of a (of b) the lead is only known to be above (below) what the last step allows; where
    neither has one nothing is known of it, and it counts against both ends.
    """
    why = unknown(a) or unknown(b)
    if why:
        return {"reason": why}
    last = float(a.steps[-1])
    sides = {"a": (a, found[0]), "b": (b, found[1])}
    row = {f"onset_{side}": _said(est.onset, est.onset, last) for side, (_, est) in sides.items()}
    if all(several(curve) for curve in (a, b)):
        onsets = [estimates.onsets for estimates in found]
        shares = [float(np.isinf(values).mean()) for values in onsets]
        row |= {"share_without_a": shares[0], "share_without_b": shares[1]}
        first, second = (bracket(values, a.steps) for values in onsets)
        row["share_b_first"] = float((second[1] < first[1]).mean())
        neither = np.isinf(onsets[0]) & np.isinf(onsets[1])
        for end, place, unsure in (("low", 0, -np.inf), ("high", 1, np.inf)):
            of_a, of_b = first[place], second[1 - place]
            apart = np.where(neither, unsure, of_a - np.where(neither, 0.0, of_b))
            seen = np.minimum(of_a, last) - np.minimum(of_b, last)
            row[f"lead_{end}"] = _said(ends(apart, a)[place], ends(seen, a)[place], None)
    none = [f"{curve.key[2]} ({curve.key[3]})" for curve, est in sides.values() if np.isinf(est.onset)]
    if len(none) < 2:
        point = found[0].onset - found[1].onset
        row["lead"] = _said(point, min(found[0].onset, last) - min(found[1].onset, last), None)
    row["reason"] = f"no onset within {whole(last)} steps: {', '.join(none)}" if none else ""
    return row


def _said(value: float, seen: float, last: float | None) -> float | str:
    """A number of steps as it is written: one that is not seen to its end with > or <."""
    if np.isfinite(value):
        return read(value)
    return f"{'>' if value > 0 else '<'}{read(seen if last is None else last)}"
