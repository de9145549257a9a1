"""The two designs of a contrast: the same runs asked in two ways (questions vary), and other runs (seeds vary)."""

import math
from statistics import fmean
from typing import NamedTuple

from workflow_scripts.em.stats.contrast_cells import Cell, Cells
from workflow_scripts.em.stats.contrasts import Difference, Permutation, paired, permutation, welch

NOWHERE = Difference(*[math.nan] * 6)
UNTRIED = Permutation(math.nan, True, math.nan)


class Outcome(NamedTuple):
    """What is known of one contrast. `p` is the primary one, of `test`; `found` and `chance` are the two tests.

    seeds, responses and means are (of a, of b); responses are those counted in the questions compared.
    """

    design: str
    estimand: str = ""
    questions: int = 0
    seeds: tuple[int, int] = (0, 0)
    responses: tuple[int, int] = (0, 0)
    means: tuple[float, float] = (math.nan, math.nan)
    found: Difference = NOWHERE
    method: str = "not_estimable"
    chance: Permutation = UNTRIED
    test: str = ""
    p: float = math.nan
    note: str = "no question has counted responses on both sides"


def over_questions(a: Cells, b: Cells) -> Outcome:
    """Two ways to ask the same runs: paired by question, after averaging a question's training seeds.

    The primary p is that of the permutation test.
    """
    design = "same runs, paired by question"
    pairs: dict[str, list[tuple[Cell, Cell]]] = {}
    for seed, questions in a.items():
        for question, cell in questions.items():
            if question in b.get(seed, {}):
                pairs.setdefault(question, []).append((cell, b[seed][question]))
    if not pairs:
        return Outcome(design)
    seeds = sum(bool(questions.keys() & b.get(seed, {}).keys()) for seed, questions in a.items())
    values = [[fmean(pair[at].value for pair in found) for found in pairs.values()] for at in (0, 1)]
    floor = fmean(sum(x.sampling + y.sampling for x, y in found) / len(found) ** 2 for found in pairs.values())
    found, chance = _paired(*values, floor), permutation(*values, pairs=True)
    note = "one question: no test" if len(pairs) < 2 else ""
    if chance.smallest > 0.05:
        note = f"with {len(pairs)} questions p cannot be below {chance.smallest:.3g}"
    return Outcome(
        design=design,
        estimand="such questions" if seeds == 1 else "such questions, these runs",
        questions=len(pairs),
        seeds=(seeds, seeds),
        responses=tuple(sum(pair[at].n for found in pairs.values() for pair in found) for at in (0, 1)),
        means=(fmean(values[0]), fmean(values[1])),
        found=found,
        method=_method("paired_t_over_questions", found, len(pairs)),
        chance=chance,
        test="sign flips over questions" if len(pairs) > 1 else "",
        p=chance.p,
        note=note,
    )


def over_seeds(a: Cells, b: Cells, pairs: bool) -> Outcome:
    """Two recipes, or two checkpoints of one: training seeds are the replicate, over the questions that all have.

    The primary p is that of the t test. One seed on a side: no p, and the interval is over questions.
    """
    design = "training seeds, paired" if pairs else "training seeds"
    seeds = [[seed for seed, questions in side.items() if questions] for side in (a, b)]
    if pairs:
        seeds = [[seed for seed in seeds[0] if seed in seeds[1]]] * 2
    runs = [[side[seed] for seed in kept] for side, kept in zip((a, b), seeds, strict=True)]
    same = [q for q in runs[0][0] if all(q in run for run in [*runs[0], *runs[1]])] if all(runs) else []
    if not same:
        return Outcome(design, note="no question has counted responses in every run") if all(runs) else Outcome(design)
    values = [[fmean(run[question].value for question in same) for run in side] for side in runs]
    # The variance of one run's value that sampling its responses alone makes.
    floors = [fmean(sum(run[q].sampling for q in same) for run in side) / len(same) ** 2 for side in runs]
    lost = len(a) + len(b) - len(runs[0]) - len(runs[1])
    dropped = len({question for run in [*runs[0], *runs[1]] for question in run}) - len(same)
    one = min(map(len, runs)) < 2
    if one:
        by_question = [[fmean(run[q].value for run in side) for q in same] for side in runs]
        sampling = sum(len(same) * floor / len(side) for floor, side in zip(floors, runs, strict=True))
        found, name, n, chance = _paired(*by_question, sampling), "paired_t_over_questions", len(same), UNTRIED
    else:
        found = _paired(*values, sum(floors)) if pairs else welch(*values, floors=tuple(floors))
        name, n = "paired_t_over_seeds" if pairs else "welch_t_over_seeds", min(map(len, runs))
        chance = permutation(*values, pairs=pairs)
    notes = [f"{lost} runs left out: no counted response, or no run of the same seed"] if lost else []
    notes += [f"{dropped} questions dropped: no counted response in one run or more"] if dropped else []
    notes += ["no spread between seeds: no t test"] if not one and math.isnan(found.p) else []
    return Outcome(
        design=design,
        estimand="this run only" if one else "this recipe",
        questions=len(same),
        seeds=(len(runs[0]), len(runs[1])),
        responses=tuple(sum(run[q].n for run in side for q in same) for side in runs),
        means=(fmean(values[0]), fmean(values[1])),
        found=found,
        method=_method(name, found, n),
        chance=chance,
        test="" if one else name.replace("_", " "),
        p=math.nan if one else found.p,
        note="; ".join(notes),
    )


def _paired(a: list[float], b: list[float], floor: float) -> Difference:
    return paired([x - y for x, y in zip(a, b, strict=True)], floor)


def _method(name: str, found: Difference, n: int) -> str:
    return name if not math.isnan(found.low) else "not_estimable_one_question" if n < 2 else "not_estimable_no_spread"
