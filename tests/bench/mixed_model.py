"""The logistic mixed model of contrasts: coverage of its interval, beside the fits that statsmodels has."""

import time
import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import t
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

from tests.bench.common import table
from workflow_scripts.em.stats.mixed import fit

RUNS, COMPARED = 400, 60
QUESTIONS, SAMPLES = 8, 50


class World(NamedTuple):
    """What is simulated, in logits: recipes (seeds of their own), paired seeds, or one model asked in two ways."""

    design: str
    seeds: int
    middle: float
    effect: float
    by_side: float  # SD between questions of the difference


WORLDS = [
    World("recipes", 2, -1.4, 0, 0.3),
    World("recipes", 3, -1.4, 0, 0.3),
    World("recipes", 3, -3, 1, 0.3),
    World("recipes", 5, -1.4, 1, 0.3),
    World("paired seeds", 3, -1.4, 1, 0.3),
    World("paired seeds", 5, -1.4, 0, 0.3),
    World("one model", 1, -1.4, 0, 0.5),
    World("one model", 1, -3, 1, 0.5),
    World("one model", 3, -1.4, 1, 1.0),
]


def simulated(world: World, run: int) -> tuple[np.ndarray, np.ndarray, dict[str, list]]:
    """Events and side of each cell, and the groups of the model that contrasts fit."""
    random, cells = np.random.default_rng([7, run]), []
    questions, by_side = random.normal(0, 1, QUESTIONS), random.normal(0, world.by_side, (2, QUESTIONS))
    together = random.normal(0, 0.5, world.seeds) * (world.seeds > 1)
    for side in (0, 1):
        seeds = random.normal(0, 0.5, world.seeds) if world.design == "recipes" else together
        seeds = seeds + random.normal(0, 0.4 * (world.design == "paired seeds"), world.seeds)
        for seed, question in np.ndindex(world.seeds, QUESTIONS):
            logit = world.middle + world.effect * (side - 0.5) + questions[question] + by_side[side, question]
            cells.append((random.binomial(SAMPLES, expit(logit + seeds[seed])), side - 0.5, seed, question))
    groups: dict[str, list] = {"question": [q for *_, q in cells]}
    if world.seeds > 1:
        groups["seed"] = [(side, seed) if world.design == "recipes" else seed for _, side, seed, _ in cells]
    groups["question_by_side"] = [(side, q) for _, side, _, q in cells]
    if world.design == "paired seeds":
        groups["seed_by_side"] = [(side, seed) for _, side, seed, _ in cells]
    return np.array([e for e, *_ in cells]), np.array([side for _, side, _, _ in cells]), groups


def emtrace(events: np.ndarray, side: np.ndarray, groups: dict[str, list]) -> tuple[float, float]:
    found = fit(events, [SAMPLES] * len(events), side, groups)
    return (found.effect, found.error) if found.converged else (np.nan, np.nan)


def _statsmodels(events: np.ndarray, side: np.ndarray, groups: dict[str, list]) -> BinomialBayesMixedGLM:
    rows = np.repeat(np.arange(len(events)), SAMPLES)
    answers = np.concatenate([np.arange(SAMPLES) < count for count in events]).astype(float)
    blocks = [np.equal.outer([*map(str, x)], [*dict.fromkeys(map(str, x))]) for x in groups.values()]
    owner = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks])
    fixed = np.column_stack([np.ones(len(side)), side])
    return BinomialBayesMixedGLM(answers, fixed[rows], np.hstack(blocks)[rows].astype(float), owner, vcp_p=1, fe_p=3)


def variational(*data) -> tuple[float, float]:
    found = _statsmodels(*data).fit_vb()
    return found.fe_mean[1], found.fe_sd[1]


def posterior_mode(*data) -> tuple[float, float]:
    found = _statsmodels(*data).fit_map()
    return found.params[1], float(np.sqrt(found.cov_params()[1, 1]))


def covered(world: World, method, runs: int) -> tuple[float, float, float, float]:
    """Coverage in %, median standard error, SD of the estimates, seconds a fit."""
    df = {"recipes": 2 * world.seeds - 2, "paired seeds": world.seeds - 1, "one model": QUESTIONS - 1}[world.design]
    start = time.perf_counter()
    found = np.array([method(*simulated(world, run)) for run in range(runs)])
    seconds = (time.perf_counter() - start) / runs
    inside = np.abs(found[:, 0] - world.effect) < t.ppf(0.975, df) * found[:, 1]
    return 100 * float(inside.mean()), float(np.nanmedian(found[:, 1])), float(np.nanstd(found[:, 0])), seconds


def _cells(found: tuple[float, ...]) -> list[str]:
    return [f"{found[0]:.1f}", *(f"{value:.2f}" for value in found[1:])]


def report() -> str:
    """The benchmark's section."""
    rows, lowest = [], 100.0
    for world in WORLDS:
        found = covered(world, emtrace, RUNS)
        lowest = min(lowest, found[0])
        rows.append([*map(str, world), *_cells(found)])
    methods = {"emtrace": emtrace, "statsmodels fit_vb": variational, "statsmodels fit_map": posterior_mode}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fit did not converge shows in the table
        compared = [[name, *_cells(covered(WORLDS[1], method, COMPARED))] for name, method in methods.items()]
    head = ["design", "seeds a side", "middle", "effect", "SD question by side", "coverage %"]
    costs = ["median error", "SD of estimates", "seconds"]
    return (
        "## The mixed model of contrasts\n\n"
        f"Coverage of nominal 95% intervals of the log odds ratio: {QUESTIONS} questions (SD 1) of {SAMPLES} samples, "
        "seeds with an SD of 0.5 logit, the two sides of paired seeds with one of 0.4 besides. "
        f"{RUNS} runs a row; a coverage of 95% has a standard error of 1.1 points.\n\n"
        f"{table([*head, *costs], rows)}\n\n**The lowest coverage is {lowest:.1f}%.**\n\n"
        f"The second row's world with other fits ({COMPARED} runs; the same t quantile and random effects; standard "
        f"error at 95% 2.8 points):\n\n{table(['fit', 'coverage %', *costs], compared)}\n"
    )
