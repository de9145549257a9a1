"""Intervals against numbers worked out by hand, their limits, and a small check of coverage."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import beta

from tests.bench.coverage import covered, emtrace, simulated, wilson_pooled
from workflow_scripts.em.stats.intervals import EXACT_SPREAD, clustered, over_seeds, wilson
from workflow_scripts.em.stats.profile import PENALTY, bound_without_events, centre, profile_bounds

T2 = 4.302652729911275  # t, 2 degrees of freedom, 97.5%
Z2 = 1.959963984540054**2


def expit(x):
    return 1 / (1 + math.exp(-x))


def test_wilson_matches_its_formula():
    k, n = 10, 50
    p = k / n
    centre, half = p + Z2 / (2 * n), math.sqrt(Z2 * (p * (1 - p) / n + Z2 / (4 * n * n)))
    low, high, method = wilson(k, n)
    assert low == pytest.approx((centre - half) / (1 + Z2 / n))
    assert high == pytest.approx((centre + half) / (1 + Z2 / n))
    assert (round(low, 4), round(high, 4), method) == (0.1124, 0.3304, "wilson")


def test_no_events_in_400_still_allow_one_per_cent():
    low, high, _ = wilson(0, 400)
    assert low == 0
    assert high == pytest.approx(0.0095, abs=5e-5)
    assert wilson(400, 400).low == pytest.approx(1 - high)


def test_nothing_is_invented_without_responses():
    assert wilson(0, 0) == (None, None, "not_estimable_no_responses")
    assert clustered([], []) == (None, None, "not_estimable_no_responses")
    assert clustered([0, 0], [0, 0]) == (None, None, "not_estimable_no_responses")


def test_clustered_by_hand():
    # p = 12/30 = 0.4; residuals 1-4, 3-4, 8-4 = -3, -1, 4; V = 3/2 * 26/900; sd(logit) = sqrt(V)/0.24
    error = math.sqrt(1.5 * 26 / 900) / 0.24
    centre = math.log(0.4 / 0.6)
    low, high, method = clustered([1, 3, 8], [10, 10, 10])
    assert method == "clustered_logit_t"
    assert low == pytest.approx(expit(centre - T2 * error))
    assert high == pytest.approx(expit(centre + T2 * error))
    assert clustered([8, 1, 3], [10, 10, 10]) == (low, high, method), "the order of questions does not matter"


def test_unequal_questions_weigh_by_their_responses():
    # p = 5/20; residuals 1 - 2.5 = -1.5 and 4 - 2.5 = 1.5 of clusters with 10; an empty question is no cluster
    error = math.sqrt(2 * 4.5 / 400) / (0.25 * 0.75)
    low, _, _ = clustered([1, 4, 0], [10, 10, 0])
    assert low == pytest.approx(expit(math.log(1 / 3) - 12.706204736432095 * error), rel=1e-6)


def test_questions_that_agree_by_luck_do_not_give_a_point():
    low, high, method = clustered([4, 4, 4], [10, 10, 10])
    error = math.sqrt(0.24 / 30) / 0.24
    assert method == "clustered_logit_t_binomial_floor"
    assert low == pytest.approx(expit(math.log(2 / 3) - T2 * error))
    assert low < wilson(12, 30).low < wilson(12, 30).high < high


def test_a_few_rare_events_widen_the_interval_to_the_profile_likelihood():
    events, sizes = [5, 1, 0, 0, 0, 0, 0, 1], [50] * 8
    low, high, method = clustered(events, sizes)
    assert method == "clustered_logit_t_widened"
    # K log(1 + t^2/(K-1)): the likelihood ratio at which the mean of K normal values has the t interval
    ends = profile_bounds(events, sizes, math.sqrt(8 * math.log(1 + 2.3646242515927844**2 / 7)))
    p, squares = 7 / 400, (5 - 0.875) ** 2 + 2 * (1 - 0.875) ** 2 + 5 * 0.875**2
    half = 2.3646242515927844 * math.sqrt(8 / 7 * squares / 400**2) / (p * (1 - p))
    t_ends = [expit(math.log(p / (1 - p)) + sign * half) for sign in (-1, 1)]
    assert (low, high) == pytest.approx((min(ends[0], t_ends[0]), max(ends[1], t_ends[1])), rel=1e-6)
    assert high > t_ends[1]


def test_the_profile_likelihood_against_a_direct_one():
    """The same likelihood by plain sums on a fine grid, and maximised over the SD by a search."""
    events, sizes, quantile = [1, 4, 9], [10, 12, 11], 2.0
    own = np.arange(-20, 20, 0.01)
    rates = 1 / (1 + np.exp(-own))
    answers = [rates**e * (1 - rates) ** (n - e) for e, n in zip(events, sizes, strict=True)]

    def likelihood(mean, spread):
        mu = float(centre(np.array(math.log(mean / (1 - mean))), spread))
        share = np.exp(-0.5 * ((own - mu) / spread) ** 2) * 0.01 / spread / math.sqrt(2 * math.pi)
        return sum(math.log(share @ answer) for answer in answers) - 0.5 * (spread / PENALTY) ** 2

    def profile(mean):
        return -minimize_scalar(lambda s: -likelihood(mean, s), bounds=(0.05, 4), method="bounded").fun

    best = -minimize_scalar(lambda m: -profile(m), bounds=(0.1, 0.9), method="bounded").fun
    low, high = profile_bounds(events, sizes, quantile)
    assert math.sqrt(2 * (best - profile(low))) == pytest.approx(quantile, abs=0.02)
    assert math.sqrt(2 * (best - profile(high))) == pytest.approx(quantile, abs=0.02)
    assert 0 < low < sum(events) / sum(sizes) < high < 1


def test_the_profile_likelihood_of_alike_questions_is_the_binomial_one():
    # 4000 questions that do not differ: 2 (l(p) - l(m)) = 4, the binomial likelihood ratio
    low, high = profile_bounds([5] * 4000, [10] * 4000, 2.0)
    half = 2 * math.sqrt(0.25 / 40_000)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=2e-4)
    few, many = profile_bounds([1, 9], [10, 10], 2.0), profile_bounds([1, 9], [4000, 36_000], 2.0)
    assert few[1] < 1 and many[1] < 0.1, "counts beyond the most a question may have keep their share"


def test_no_events_leave_an_exact_bound_for_questions_that_differ():
    low, high, method = clustered([0] * 8, [50] * 8)
    assert (low, method) == (0.0, "exact_no_events")
    # At the bound, no event in 8 x 50 has a probability of 2.5%.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    rates = [expit(x) for x in centre(np.array(math.log(high / (1 - high))), EXACT_SPREAD) + EXACT_SPREAD * nodes]
    none = np.dot(weights / weights.sum(), [(1 - rate) ** 50 for rate in rates]) ** 8
    assert none == pytest.approx(0.025, rel=1e-6)
    assert high > wilson(0, 400).high, "questions not asked may have events"
    assert clustered([50] * 8, [50] * 8) == (pytest.approx(1 - high), 1.0, "exact_all_events")
    assert bound_without_events([50] * 8, 0.025, 0.0) == pytest.approx(beta.ppf(0.975, 1, 400)), "Clopper & Pearson"


def test_one_question_says_nothing_about_others():
    assert clustered([3], [10]) == (None, None, "not_estimable_one_question")
    assert clustered([0, 0], [10, 0]) == (None, None, "not_estimable_one_question")


def test_seeds_by_hand():
    # mean 0.3, sd^2 = 0.01, V = 0.01/3
    error = math.sqrt(0.01 / 3) / 0.21
    low, high, method = over_seeds([0.2, 0.3, 0.4], [100, 100, 100])
    assert method == "seeds_logit_t"
    assert low == pytest.approx(expit(math.log(3 / 7) - T2 * error))
    assert high == pytest.approx(expit(math.log(3 / 7) + T2 * error))


def test_seeds_without_a_spread_are_not_dressed_up():
    assert over_seeds([0.4], [100]) == (None, None, "this run only")
    assert over_seeds([], []) == (None, None, "not_estimable_no_rate")
    assert over_seeds([0.0, 0.0], [100, 100]) == (None, None, "not_estimable_no_events")
    assert over_seeds([1.0, 1.0], [100, 100]) == (None, None, "not_estimable_all_events")
    low, high, method = over_seeds([0.3, 0.3], [100, 100])
    assert method == "seeds_logit_t_binomial_floor"
    assert low < 0.25 and high > 0.35


@pytest.mark.parametrize(("rate", "spread", "runs"), [(0.01, 1.5, 300), (0.05, 1.5, 2000), (0.2, 1.0, 300)])
def test_coverage_for_new_questions(rate, spread, runs):
    """8 questions x 50 samples: near 95% by `clustered`, far less by Wilson. tests/bench/coverage.py says more."""
    events = simulated(rate, spread, 8, 50, runs)
    assert 92 <= covered(emtrace(events, 50), rate) <= 100
    assert covered(wilson_pooled(events, 50), rate) < 85
