"""The mixed model: against the likelihood by quadrature, against other fits, and when there is none."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import expit

from tests.bench import mixed_model as bench
from tests.unit.test_contrasts import answers, contrast, side, spread
from workflow_scripts.em.stats.mixed import PRIOR_SD, PRIOR_SPREAD, fit
from workflow_scripts.em.stats.mixed_rows import mixed_rows

CELLS = [(9, 0.5), (14, 0.5), (3, 0.5), (21, 0.5), (11, 0.5), (5, -0.5), (8, -0.5), (2, -0.5), (15, -0.5), (4, -0.5)]
GROUPS = [0, 1, 2, 3, 4] * 2


def test_one_random_effect_against_quadrature():
    """The marginal likelihood by Gauss-Hermite quadrature, with its prior, has its mode where Laplace's has."""
    events, sides = np.array([e for e, _ in CELLS]), np.array([x for _, x in CELLS])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def negative(at):
        value = 0.0
        for group in range(5):
            rows = np.array(GROUPS) == group
            logit = at[0] + at[1] * sides[rows][:, None] + np.exp(at[2]) * nodes
            value += np.log(weights @ np.prod(stats.binom.pmf(events[rows][:, None], 30, expit(logit)), axis=0))
        return ((at[2] - np.log(PRIOR_SD)) / PRIOR_SPREAD) ** 2 / 2 - value

    exact = optimize.minimize(negative, [-1, 0.5, -1])
    found = fit(events, [30] * 10, sides, {"question": GROUPS})
    assert found.converged and found.effect == pytest.approx(exact.x[1], abs=0.02)
    assert found.sds["question"] == pytest.approx(np.exp(exact.x[2]), rel=0.1)
    assert found.error == pytest.approx(np.sqrt(exact.hess_inv[1, 1]), rel=0.1)


def test_estimates_are_those_of_another_fit_whose_error_is_too_small():
    data = bench.simulated(bench.WORLDS[1], 0)
    effect, error = bench.emtrace(*data)
    other, narrow = bench.variational(*data)
    assert effect == pytest.approx(other, abs=0.1) and error > 2 * narrow


def test_the_interval_covers_and_is_no_wider_than_it_must():
    share, error, spread_of, _ = bench.covered(bench.World("one model", 1, -1.4, 1, 0.5), bench.emtrace, 60)
    assert share >= 88 and 0.6 < error / spread_of < 1.5


def test_the_table_has_a_row_a_contrast_with_a_reason_where_there_is_no_fit():
    rows = (
        answers("bad", spread(0.5, 3))
        + answers("good", spread(0.15, 3))
        + answers("none", {0: [0.0] * 8, 1: [0.0] * 8})
    )
    rows += answers("one", spread(0.3, 1)) + answers("bad", spread(0.3, 3), condition="careful")
    declared = [
        contrast("recipes", side("bad"), side("good")),
        contrast("prompt", side("bad"), side("bad", condition="careful")),
    ]
    declared += [
        contrast("paired", side("bad"), side("good"), paired_by_seed=True),
        contrast("run", side("bad"), side("one")),
    ]
    declared += [
        contrast("zero", side("bad"), side("none")),
        contrast("mean", side("bad"), side("good"), measure="mean_alignment"),
    ]
    found = {row["contrast"]: row for row in mixed_rows(rows, declared)}
    assert [row["status"].partition(":")[0] for row in found.values()] == ["fitted"] * 3 + ["this run only"] + [
        "not estimable"
    ] * 2
    assert {name: row["df"] for name, row in found.items()} == dict.fromkeys(found) | {
        "recipes": 4,
        "prompt": 7,
        "paired": 2,
    }
    recipes, paired = found["recipes"], found["paired"]
    raw = np.log(0.5 / 0.5) - np.log(0.15 / 0.85)
    assert recipes["log_odds_ratio"] == pytest.approx(raw, abs=0.4) and recipes["log_odds_ratio_low"] > 0
    assert recipes["odds_ratio"] == pytest.approx(np.exp(recipes["log_odds_ratio"]))
    assert recipes["sd_seed_by_side"] is None and paired["sd_seed_by_side"] > 0
    assert found["prompt"]["estimand"] == "such questions, these runs" and recipes["estimand"] == "this recipe"
    assert found["zero"]["log_odds_ratio"] is None and "no events in b" in found["zero"]["status"]
    assert found["mean"]["n_events_a"] is None
