"""How many training seeds, questions and samples a difference between two recipes needs: simulated power."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import t

from workflow_scripts.em.stats.intervals import LEVEL
from workflow_scripts.em.stats.profile import centre

RUNS = 5000  # simulated studies: power is within 1.4 points 95 times in 100
CHUNK = 500
COLUMNS = ("seeds", "questions", "samples", "n_responses", "rate_a", "rate_b", "effect_logits", "sd_questions")
COLUMNS += ("sd_seeds", "estimand", "test", "power", "power_error", "interval_width")


class Recipes(NamedTuple):
    """Two recipes to tell apart. SDs in logits; `rate` is the mean rate of a, `effect` what is added to its logits."""

    rate: float
    effect: float
    sd_questions: float
    sd_seeds: float

    def middle(self) -> float:
        """The logit of a's typical run and question, at which its mean rate over both is `rate`."""
        return float(centre(np.array(math.log(self.rate / (1 - self.rate))), self.spread()))

    @classmethod
    def between(cls, rate: float, other: float, sd_questions: float, sd_seeds: float) -> "Recipes":
        """Recipes with mean rates `rate` and `other`."""
        logits = np.log([rate / (1 - rate), other / (1 - other)])
        middles = centre(logits, math.hypot(sd_questions, sd_seeds))
        return cls(rate, float(middles[1] - middles[0]), sd_questions, sd_seeds)

    def spread(self) -> float:
        """SD over runs and questions together."""
        return math.hypot(self.sd_questions, self.sd_seeds)

    def means(self) -> tuple[float, float]:
        """Mean rates of a and b over runs and questions."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        rates = expit(self.middle() + np.array([[0.0], [self.effect]]) + self.spread() * nodes)
        a, b = rates @ weights / weights.sum()
        return float(a), float(b)


def draw(recipes: Recipes, seeds: int, questions: int, samples: int, runs: int, random) -> np.ndarray:
    """Events of simulated studies: (runs, 2 recipes, seeds, questions), each a count out of `samples`.

    logit = middle + effect of the recipe + question + run: the two recipes are asked the same questions, normal with SD
    sd_questions; each run shifts all of its questions by a normal with SD sd_seeds.
    """
    question = random.normal(recipes.middle(), recipes.sd_questions, (runs, 1, 1, questions))
    run = random.normal(0, recipes.sd_seeds, (runs, 2, seeds, 1))
    effect = np.array([0.0, recipes.effect]).reshape(1, 2, 1, 1)
    return random.binomial(samples, expit(question + run + effect))


def welch(events: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """p and the interval's width of `contrasts.welch` for each simulated study, a run's mean rate being its value.

    As in contrasts.csv, a variance over seeds is not let below what sampling the responses alone makes.
    """
    rates = events / samples
    seeds, questions = events.shape[2:]
    floor = (rates * (1 - rates)).mean(axis=(2, 3)) / max(samples - 1, 1) / questions
    values = rates.mean(axis=3)
    shares = np.maximum(values.var(axis=2, ddof=1), floor) / seeds
    total = shares.sum(axis=1)
    # Where nothing at all varies, as with no events anywhere, there is no test: p is 1 and the width 0.
    safe = np.where(total > 0, total, 1.0)
    df = np.where(total > 0, safe**2 / np.maximum((shares**2).sum(axis=1) / (seeds - 1), 1e-300), 1.0)
    statistic = np.abs(values[:, 0].mean(axis=1) - values[:, 1].mean(axis=1)) / np.sqrt(safe)
    return np.where(total > 0, 2 * t.sf(statistic, df), 1.0), 2 * t.ppf(0.5 + LEVEL / 2, df) * np.sqrt(total)


def plan(
    recipes: Recipes, seeds: Sequence[int], questions: Sequence[int], samples: Sequence[int], runs: int = RUNS
) -> Iterator[dict]:
    """Rows of power.csv, one a design. Smaller designs are parts of the same simulated studies, so that rows compare.

    `power_error` is the simulation's standard error; `interval_width` the median width of Welch's 95% interval of the
    difference of mean rates.
    """
    p: dict[tuple, list[np.ndarray]] = {}
    widths: dict[tuple, list[np.ndarray]] = {}
    for n in samples:
        random = np.random.default_rng(0)
        for start in range(0, runs, CHUNK):
            events = draw(recipes, max(seeds), max(questions), n, min(CHUNK, runs - start), random)
            for s, k in product(seeds, questions):
                found = welch(events[:, :, :s, :k], n)
                p.setdefault((s, k, n), []).append(found[0])
                widths.setdefault((s, k, n), []).append(found[1])
    for s, k, n in product(seeds, questions, samples):
        power = float(np.mean(np.concatenate(p[s, k, n]) < 1 - LEVEL))
        about = (s, k, n, 2 * s * k * n, *recipes.means(), recipes.effect, recipes.sd_questions, recipes.sd_seeds)
        error = math.sqrt(power * (1 - power) / runs)
        width = float(np.median(np.concatenate(widths[s, k, n])))
        yield dict(zip(COLUMNS, (*about, "this recipe", "welch t over seeds", power, error, width), strict=True))


def smallest(rows: Iterable[dict], power: float) -> dict | None:
    """The design that reaches `power` with the fewest seeds, and of these with the fewest responses; None if none."""
    enough = [row for row in rows if row["power"] >= power]
    return min(enough, key=lambda row: (row["seeds"], row["n_responses"], row["questions"]), default=None)
