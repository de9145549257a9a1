"""Statistics that hold: coverage of intervals for such questions, false positives of comparisons of recipes."""

import math
from itertools import product

import numpy as np
from scipy.special import expit, logit
from scipy.stats import fisher_exact, t, ttest_rel

from tests.bench.common import table
from workflow_scripts.em.stats.contrasts import permutation
from workflow_scripts.em.stats.intervals import clustered, wilson
from workflow_scripts.em.stats.power import Recipes, draw, welch
from workflow_scripts.em.stats.profile import centre

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
SPREADS = (0.5, 1.0, 1.5)
RUNS, BOOTSTRAPPED, RESAMPLES = 10_000, 1000, 1000
ELSEWHERE = 2000  # runs of other designs
PERMUTED = {3: 2000, 5: 2000, 8: 300}  # studies a permutation test is run on, by seeds


def simulated(rate: float, spread: float, questions: int, samples: int, runs: int) -> np.ndarray:
    """Events (runs, questions): question rates logit-normal with this SD, their population's mean being `rate`."""
    random = np.random.default_rng(7)
    middle = centre(np.array(math.log(rate / (1 - rate))), spread)
    return random.binomial(samples, expit(random.normal(middle, spread, (runs, questions))))


def wilson_pooled(events: np.ndarray, n: int) -> np.ndarray:
    return np.array([wilson(int(count), events.shape[1] * n)[:2] for count in events.sum(axis=1)])


def bootstrap(events: np.ndarray, n: int) -> np.ndarray:
    """Percentile bootstrap over questions, of the first BOOTSTRAPPED runs."""
    events, k = events[:BOOTSTRAPPED], events.shape[1]
    weights = np.random.default_rng(8).multinomial(k, np.full(k, 1 / k), RESAMPLES)
    return np.quantile(events @ weights.T / (k * n), [0.025, 0.975], axis=1).T


def _moments(events: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Pooled rate, its clustered standard error, t quantile."""
    k = events.shape[1]
    return events.mean(axis=1) / n, events.std(axis=1, ddof=1) / n / math.sqrt(k), float(t.ppf(0.975, k - 1))


def clustered_t(events: np.ndarray, n: int) -> np.ndarray:
    rate, error, quantile = _moments(events, n)
    return np.stack([rate - quantile * error, rate + quantile * error], axis=1)


def logit_t(events: np.ndarray, n: int) -> np.ndarray:
    """Clustered t on the logit scale with a binomial floor, Wilson's interval without events."""
    rate, error, quantile = _moments(events, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.maximum(error, np.sqrt(rate * (1 - rate) / events.shape[1] / n)) / (rate * (1 - rate))
        bounds = expit(logit(rate)[:, None] + np.array([-1, 1]) * quantile * error[:, None])
    return np.where(((rate == 0) | (rate == 1))[:, None], wilson_pooled(events, n), bounds)


def emtrace(events: np.ndarray, n: int) -> np.ndarray:
    return np.array([clustered(row, [n] * len(row))[:2] for row in events.tolist()])


METHODS = {
    "Wilson, pooled": wilson_pooled,
    "bootstrap over questions": bootstrap,
    "clustered t": clustered_t,
    "clustered logit t": logit_t,
    "emtrace": emtrace,
}


def covered(bounds: np.ndarray, rate: float) -> float:
    return 100 * float(np.mean((bounds[:, 0] <= rate) & (rate <= bounds[:, 1])))


def width(bounds: np.ndarray) -> float:
    return 100 * float(np.median(bounds[:, 1] - bounds[:, 0]))


def coverage() -> tuple[str, float]:
    """The table for 8 questions of 50 samples, and the lowest coverage of emtrace's interval."""
    rows, lowest = [], 100.0
    for rate, spread in product(RATES, SPREADS):
        events = simulated(rate, spread, 8, 50, RUNS)
        bounds = {name: method(events, 50) for name, method in METHODS.items()}
        found = {name: covered(bound, rate) for name, bound in bounds.items()}
        lowest = min(lowest, found["emtrace"])
        widths = [f"{width(bounds[name]):.1f}" for name in ("clustered logit t", "emtrace")]
        rows.append([f"{rate:.0%}", spread, *(f"{value:.1f}" for value in found.values()), *widths])
    return table(["rate", "SD", *METHODS, "width, logit t", "width, emtrace"], rows), lowest


def other_designs() -> str:
    rows = []
    for questions, samples in ((3, 50), (5, 50), (8, 20), (8, 100), (20, 50), (50, 20)):
        cells = []
        for rate, spread in product(RATES, SPREADS):
            events = simulated(rate, spread, questions, samples, ELSEWHERE)
            found = {name: METHODS[name](events, samples) for name in ("clustered logit t", "emtrace")}
            cells.append([*(covered(bounds, rate) for bounds in found.values()), *map(width, found.values())])
        low, low_emtrace = np.min(cells, axis=0)[:2]
        at = list(product(RATES, SPREADS)).index((0.2, 1.0))
        rows.append([questions, samples, *(f"{value:.1f}" for value in (low, low_emtrace, *cells[at][2:]))])
    head = ["questions", "samples", "lowest coverage, logit t", "lowest coverage, emtrace"]
    return table([*head, "width at 20%, SD 1, logit t", "the same, emtrace"], rows)


def no_events() -> str:
    """Rates so low that runs without a single event are common."""
    rows = []
    for rate, spread in product((0.001, 0.003, 0.01), SPREADS):
        events = simulated(rate, spread, 8, 50, RUNS)
        none = 100 * float(np.mean(events.sum(axis=1) == 0))
        found = (covered(METHODS[name](events, 50), rate) for name in ("clustered logit t", "emtrace"))
        rows.append([f"{rate:.1%}", spread, f"{none:.0f}", *(f"{value:.1f}" for value in found)])
    return table(["rate", "SD", "% of runs without events", "logit t, else Wilson", "emtrace"], rows)


def false_positives() -> tuple[str, float]:
    """Two recipes that do not differ, told apart at p < 0.05; and the most that emtrace's test finds."""
    rows, most = [], 0.0
    for rate, seeds in product((0.05, 0.2, 0.5), (3, 5, 8)):
        recipes = Recipes(rate=rate, effect=0.0, sd_questions=1.0, sd_seeds=0.5)
        events = np.concatenate(
            [draw(recipes, seeds, 8, 50, 1000, np.random.default_rng(part)) for part in range(RUNS // 1000)]
        )
        found = 100 * float(np.mean(welch(events, 50)[0] < 0.05))
        most = max(most, found)
        values = events.mean(axis=3)[: PERMUTED[seeds]]
        permuted = [permutation(a, b).p < 0.05 for a, b in values]
        pooled, size = events.sum(axis=(2, 3))[:ELSEWHERE].tolist(), seeds * 400
        fisher = [fisher_exact([[a, size - a], [b, size - b]]).pvalue < 0.05 for a, b in pooled]
        by_question = events.mean(axis=2)
        paired = ttest_rel(by_question[:, 0], by_question[:, 1], axis=1).pvalue < 0.05
        rows.append([f"{rate:.0%}", seeds, *(f"{100 * np.mean(x):.1f}" for x in (fisher, paired))])
        rows[-1] += [f"{found:.1f}", f"{100 * np.mean(permuted):.1f} ({len(permuted)})"]
    head = ["rate", "seeds", "Fisher, pooled", "t paired by question", "Welch over seeds (emtrace)"]
    return table([*head, "permutation over seeds (studies)"], rows), most


def error(percent: float, runs: int) -> str:
    """Standard error of a simulated percentage, in points."""
    return f"{math.sqrt(percent * (100 - percent) / runs):.2f}"


def report() -> str:
    """The benchmark's section."""
    intervals, lowest = coverage()
    tests, most = false_positives()
    return (
        "## Statistics that hold: coverage and false positives\n\n"
        "Coverage in % of nominal 95% intervals for *such questions*: 8 questions of 50 samples each, question rates "
        "normal on the logit scale with the SD named, the truth being the mean rate of the population of questions. "
        f"{RUNS} runs a row ({BOOTSTRAPPED} of the bootstrap); the standard error of a coverage of 95% is "
        f"{error(95, RUNS)} points. Median widths in percentage points.\n\n"
        f"{intervals}\n\n**The lowest coverage of emtrace's interval is {lowest:.1f}% (standard error "
        f"{error(lowest, RUNS)}).**\n\n"
        f"Other designs, the lowest over the same rates and SDs ({ELSEWHERE} runs each, standard error at 93% "
        f"{error(93, ELSEWHERE)} points):\n\n{other_designs()}\n\n"
        f"Rates at which runs without any event are common, 8 questions of 50 samples:\n\n{no_events()}\n\n"
        "False positives in % at nominal 5%: two recipes that do not differ, runs with an SD of 0.5 logit, 8 questions "
        f"(SD 1) of 50 samples; {RUNS} studies a row (Fisher: {ELSEWHERE}), standard error at 5% {error(5, RUNS)} "
        f"points.\n\n{tests}\n\n**Welch's test over seeds is wrong at most {most:.1f}% of the time.** With 3 against "
        "3 seeds the permutation test cannot reach p < 0.05 at all.\n"
    )
