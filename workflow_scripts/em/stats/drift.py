"""How projections drift along training: where they start, how fast they rise, where they settle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import t

from workflow_scripts.em.config.onset import DRIFT_STEPS
from workflow_scripts.em.stats.intervals import LEVEL
from workflow_scripts.em.stats.projections import in_scope
from workflow_scripts.em.stats.rates import SCOPES
from workflow_scripts.em.stats.tables import as_number

ABOUT = ("direction", "reading", "layer", "stage", "condition", "question_set")
FOUND = ("n_seeds", "stage", "condition", "question_set", "scope", "quantity")
ENDS = ("low", "high", "estimand", "reason")
COLUMNS = ("direction", "reading", "layer", "organism", *FOUND, "value", *ENDS)
CONTRAST = ("direction", "reading", "layer", "organism_a", "organism_b", *FOUND, "difference", *ENDS)
PER_STEPS = 10  # a slope is the rise over so many steps


@dataclass(frozen=True)
class Course:
    """Held-out projections of an organism along a stage. `about`: values of ABOUT; `scopes`: scope -> its questions.

    `values`: (seed, question, step) -> mean projection. `steps` rise; they are those that every seed has.
    """

    about: tuple[str, ...]
    organism: str
    scopes: dict[str, list[str]]
    values: dict[tuple[str, str, float], float]

    @property
    def seeds(self) -> list[str]:
        """Training seeds, by number."""
        return sorted({seed for seed, _, _ in self.values}, key=as_number)

    @property
    def steps(self) -> list[float]:
        """Steps that every seed has."""
        each = ({step for at, _, step in self.values if at == seed} for seed in self.seeds)
        return sorted(set.intersection(*each)) if self.values else []

    def questions(self, scope: str, seeds: list[str], steps: list[float]) -> list[str]:
        """Questions of a scope that have a value for each of these seeds and steps."""
        wanted = [(seed, step) for seed in seeds for step in steps]
        return [name for name in self.scopes[scope] if all((seed, name, step) in self.values for seed, step in wanted)]

    def quantities(self, questions: list[str], seeds: list[str], steps: list[float]) -> dict[str, np.ndarray]:
        """Quantity -> its values, (seeds, questions)."""
        found = [[[self.values[seed, name, step] for step in steps] for name in questions] for seed in seeds]
        return {name: np.array(found) @ weights for name, weights in quantity_weights(steps).items()}


def quantity_weights(steps: list[float]) -> dict[str, np.ndarray]:
    """What each step's projection counts in a quantity: each is a weighted sum over steps, (steps,).

    start: the first step; slope: least squares, a rise per PER_STEPS steps; saturation: the mean of the last third.
    """
    n, at = len(steps), np.array(steps, float)
    apart = at - at.mean()
    last = max(1, n // 3)
    return {
        "start": (np.arange(n) == 0).astype(float),
        "slope": PER_STEPS * apart / (apart**2).sum(),
        "saturation": (np.arange(n) >= n - last) / last,
    }


def courses(rows: Iterable[dict[str, str]]) -> list[Course]:
    """The courses in tables of projections/, in their order."""
    found: dict[tuple, Course] = {}
    for row in rows:
        key = (tuple(row[name] for name in ABOUT), row["organism"])
        course = found.setdefault(key, Course(*key, {scope: [] for scope in SCOPES}, {}))
        question = row["question_id"]
        for scope, names in course.scopes.items():
            if in_scope(row, scope) and question not in names:
                names.append(question)
        if row["held_out"]:
            course.values[row["seed"], question, float(row["step"])] = float(row["held_out"])
    return list(found.values())


def crossed(values: np.ndarray) -> tuple[float, float | None, float | None]:
    """(mean, low, high) of values (seeds, questions): for other questions and, of several seeds, for other seeds too.

    With the variances v_s of the S seeds' means and v_q of the K questions' means,

        mean +- sqrt(t_{S-1}^2 v_s / S + t_{K-1}^2 v_q / K)

    (Howe 1974, J. Am. Stat. Assoc. 69, 789-794: the sum of two means with few degrees of freedom each). One seed: the t
    interval over questions. Coverage: docs/methods.md.
    """
    mean, squares = float(values.mean()), 0.0
    if values.shape[1] < 2:
        return mean, None, None
    for means in (values.mean(axis=1), values.mean(axis=0)):
        if len(means) > 1:
            squares += float(t.ppf(0.5 + LEVEL / 2, len(means) - 1)) ** 2 * float(means.var(ddof=1)) / len(means)
    # As in contrasts: without any spread the interval would be a point, so there is none.
    return (mean, mean - squares**0.5, mean + squares**0.5) if squares > 1e-24 else (mean, None, None)


def drift_rows(found: list[Course]) -> Iterator[dict]:
    """Rows of drift.csv: each quantity of each course and scope."""
    for course in found:
        for scope, names in course.scopes.items():
            seeds, steps = course.seeds, course.steps
            questions = course.questions(scope, seeds, steps)
            about = {"organism": course.organism, "n_seeds": len(seeds), "scope": scope, "estimand": _estimand(seeds)}
            values = course.quantities(questions, seeds, steps) if questions and len(steps) >= DRIFT_STEPS else {}
            if names:
                yield from _rows(course, about, values, "value", _unknown(course, steps, questions), COLUMNS)


def contrast_rows(found: list[Course]) -> Iterator[dict]:
    """Rows of drift_contrasts.csv: a less b, over the steps, questions and training seeds that both have.

    Without a seed that both have, the question means of all of a's less those of all of b's.
    """
    alike: dict[tuple, list[Course]] = {}
    for course in found:
        alike.setdefault(course.about, []).append(course)
    for a, b in (pair for group in alike.values() for pair in combinations(group, 2)):
        steps = [step for step in a.steps if step in b.steps]
        both = [seed for seed in a.seeds if seed in b.seeds]
        seeds = (both, both) if both else (a.seeds, b.seeds)
        for scope in SCOPES:
            if not a.scopes[scope] or not b.scopes[scope]:
                continue
            one = a.questions(scope, seeds[0], steps)
            questions = [name for name in one if name in b.questions(scope, seeds[1], steps)]
            values = {}
            if questions and len(steps) >= DRIFT_STEPS:
                sides = [course.quantities(questions, at, steps) for course, at in zip((a, b), seeds, strict=True)]
                if not both:
                    sides = [{name: z.mean(axis=0, keepdims=True) for name, z in side.items()} for side in sides]
                values = {name: sides[0][name] - sides[1][name] for name in sides[0]}
            about = {"organism_a": a.organism, "organism_b": b.organism, "scope": scope, "n_seeds": len(both)}
            about["estimand"] = _estimand(both) if both else "such questions, these runs"
            yield from _rows(a, about, values, "difference", _unknown(a, steps, questions), CONTRAST)


def _rows(course: Course, about: dict, values: dict, column: str, reason: str, columns: tuple) -> Iterator[dict]:
    for quantity in ("start", "slope", "saturation"):
        row = {**dict.fromkeys(columns), **dict(zip(ABOUT, course.about, strict=True)), **about, "quantity": quantity}
        row["reason"] = reason
        if quantity in values:
            row[column], row["low"], row["high"] = crossed(values[quantity])
            if row["low"] is None and not reason:
                row["reason"] = "the same for every question: no spread to estimate from"
        yield {name: row[name] for name in columns}


def _estimand(seeds: list[str]) -> str:
    return "this recipe" if len(seeds) > 1 else "this run only"


def _unknown(course: Course, steps: list[float], questions: list[str]) -> str:
    """Why there is no value, or no interval; empty when there are both."""
    if not course.values:
        return "no held-out projection: the direction has no halves (directions.csv)"
    if len(steps) < DRIFT_STEPS:
        return f"{len(steps)} checkpoints evaluated: drift needs {DRIFT_STEPS}"
    if not questions:
        return "no question has responses at every step"
    return "one question: no interval for questions like it" if len(questions) == 1 else ""
