"""Contrasts: which test by which replicate, numbers against scipy, Holm, verdicts in words, and the forest plot."""

import itertools
import math

import matplotlib
import numpy as np
import pytest
from scipy import stats

from tests.unit.test_figures import check_texts
from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots import contrasts as forest
from workflow_scripts.em.plots import style
from workflow_scripts.em.stats.contrast_rows import contrast_rows
from workflow_scripts.em.stats.contrasts import paired, permutation, welch
from workflow_scripts.em.stats.tables import cell

OPEN = {"stage": None, "step": None, "condition": None, "question_set": None, "judge": None}


def side(organism: str, **more) -> dict:
    return {"organism": organism} | OPEN | more


def contrast(name: str, a: dict, b: dict, **more) -> dict:
    about = {"name": name, "a": a, "b": b, "hypothesis": None, "expect": "differ", "measure": "em_rate"}
    return about | {"definition": "betley", "scope": "all", "paired_by_seed": False} | more


def answers(organism: str, rates: dict, n: int = 50, step: str = "9", condition: str = "c", **more) -> list[dict]:
    """Rows of question_rates.csv: {seed: rates of questions q0, q1, ...}; None is a question without a counted one."""
    names = {"organism": organism, "stage": "em", "step": step, "condition": condition, "question_set": "qs"}
    names |= {"judge": "j", "definition": "betley", "in_domain": "0", "n_coherence_scored": "0", "mean_coherence": ""}
    rows = []
    for seed, found in rates.items():
        for place, rate in enumerate(found):
            events, size = (0, 0) if rate is None else (round(n * rate), n)
            counts = {"n_responses": str(2 * n), "n_denominator": str(size), "n_events": str(events)}
            scores = {"n_coherent": str(size), "n_scored": str(size), "mean_alignment": str(100 - 50 * (rate or 0))}
            rows.append(names | {"seed": str(seed), "question_id": f"q{place}"} | counts | scores | more)
    return rows


def spread(middle: float, seeds: int, questions: int = 8) -> dict:
    """Rates that differ between questions and, by less, between seeds."""
    return {
        seed: [middle + 0.02 * (place - questions / 2) + 0.04 * (seed - seeds / 2) for place in range(questions)]
        for seed in range(seeds)
    }


def only(rows: list[dict], *declared: dict) -> dict:
    (found,) = contrast_rows(rows, list(declared))
    return found


def test_t_tests_are_scipys_until_a_floor_is_given():
    a, b = [0.30, 0.36, 0.41, 0.33], [0.22, 0.30, 0.25]
    found, expected = welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    bounds = expected.confidence_interval()
    assert (found.p, found.df) == pytest.approx((expected.pvalue, expected.df))
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))
    differences = [0.1, 0.2, -0.05, 0.12]
    assert paired(differences).p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    agreeing = welch([0.3, 0.3], [0.1, 0.1], floors=(0.004, 0.002))
    assert agreeing.p == pytest.approx(stats.ttest_ind_from_stats(0.3, 0.004**0.5, 2, 0.1, 0.002**0.5, 2, False)[1])
    assert math.isnan(welch([0.3, 0.3], [0.1, 0.1]).p) and welch([0.0, 0.0], [0.0, 0.0]).p == 1.0
    assert math.isnan(welch([0.3], [0.1, 0.2]).low) and welch([0.3], [0.1, 0.2]).difference == pytest.approx(0.15)


def test_permutation_tries_every_rearrangement_and_knows_how_small_p_can_be():
    apart = permutation([0.5, 0.6, 0.7], [0.1, 0.2, 0.3])
    assert apart == (pytest.approx(0.1), True, pytest.approx(0.1)), "3 against 3 seeds cannot reach 0.05"
    differences = [0.3, 0.1, -0.2, 0.4, 0.25]
    sums = [np.dot(signs, differences) for signs in itertools.product((1, -1), repeat=5)]
    by_hand = 2 * np.mean([value >= sum(differences) - 1e-12 for value in sums])
    assert permutation(differences, [0] * 5, pairs=True).p == pytest.approx(by_hand)
    many = permutation(np.linspace(0.1, 0.3, 30), np.zeros(30), pairs=True)
    assert not many.exact and many.p == many.smallest < 1e-4


def test_two_recipes_have_their_seeds_as_the_replicate():
    rows = answers("bad", spread(0.4, 3)) + answers("good", spread(0.1, 4))
    found = only(rows, contrast("x", side("bad"), side("good"), expect="a_higher"))
    values = [[np.mean(rates) for rates in spread(middle, seeds).values()] for middle, seeds in ((0.4, 3), (0.1, 4))]
    assert found["p"] == pytest.approx(stats.ttest_ind(*values, equal_var=False).pvalue, rel=1e-6)
    assert (found["estimand"], found["verdict"], found["test"]) == ("this recipe", "supported", "welch t over seeds")
    assert (found["n_seeds_a"], found["n_seeds_b"], found["n_questions"], found["n_a"]) == (3, 4, 8, 1200)
    assert found["p_permutation"] == pytest.approx(2 / 35) and found["permutation"] == "exact"
    (other,) = contrast_rows(rows, [contrast("x", side("bad"), side("good"), expect="b_higher")])
    assert other["verdict"] == "contradicted" and other["p_holm"] == other["p"]


def test_one_seed_on_a_side_speaks_of_this_run_only():
    rows = answers("bad", spread(0.4, 3)) + answers("good", spread(0.1, 1))
    found = only(rows, contrast("x", side("bad"), side("good"), expect="a_higher"))
    assert found["verdict"] == found["estimand"] == "this run only"
    assert found["p"] is found["p_holm"] is found["p_t"] is found["p_permutation"] is None
    assert found["difference_low"] < found["difference"] < found["difference_high"], "over questions"
    assert found["difference_method"] == "paired_t_over_questions" and found["df"] == 7


def test_pairs_of_seeds_and_steps_of_one_organism():
    rows = answers("o", {0: [0.0, 0.1], 1: [0.1, 0.2]}, step="0") + answers("o", {0: [0.4, 0.5], 1: [0.7, 0.8]})
    rows += answers("p", {0: [0.2, 0.3], 1: [0.2, 0.3], 7: [0.9, 0.9]})
    steps = only(rows, contrast("x", side("o"), side("o", step=0)))
    assert (steps["a_step"], steps["b_step"], steps["design"]) == ("9", "0", "training seeds, paired")
    assert steps["p"] == pytest.approx(stats.ttest_1samp([0.4, 0.6], 0).pvalue, rel=1e-6)
    assert (steps["difference_low"], steps["difference_high"]) == (pytest.approx(0.5 - 12.706 * 0.1, abs=1e-3), 1.0)
    together = only(rows, contrast("x", side("o"), side("p"), paired_by_seed=True))
    assert (together["n_seeds_a"], together["n_seeds_b"]) == (2, 2) and together["note"].startswith("1 runs left out")


def test_one_model_asked_in_two_ways_is_paired_by_question():
    plain = {0: [0.4, 0.5, 0.6, 0.7, 0.5, None, 0.3], 1: [0.5, 0.5, 0.6, 0.8, 0.7, None, 0.4]}
    careful = {0: [0.1, 0.2, 0.1, 0.3, 0.2, 0.5, 0.1], 1: [0.1, 0.2, 0.3, None, 0.2, 0.5, 0.1]}
    rows = answers("o", plain) + answers("o", careful, condition="careful")
    found = only(rows, contrast("x", side("o"), side("o", condition="careful"), expect="a_higher"))
    # the fourth question has one seed on both sides
    differences = [0.35, 0.3, 0.4, 0.4, 0.4, 0.25]
    assert found["difference"] == pytest.approx(np.mean(differences))
    assert found["p"] == found["p_permutation"] == pytest.approx(2 / 2**6)
    assert found["estimand"] == "such questions, these runs" and found["n_questions_dropped"] == 1
    assert (found["verdict"], found["permutation"]) == ("supported", "exact")
    one = [row for row in rows if row["seed"] == "0" and row["question_id"] in ("q0", "q1", "q2")]
    few = only(one, contrast("x", side("o"), side("o", condition="careful")))
    assert few["estimand"] == "such questions" and few["note"] == "with 3 questions p cannot be below 0.25"
    seeds = only(rows, contrast("x", side("o"), side("o", condition="careful"), paired_by_seed=True))
    assert seeds["estimand"] == "this recipe" and seeds["test"] == "paired t over seeds"


def test_holm_counts_the_contrasts_that_have_a_p_and_nothing_is_estimated_from_nothing():
    rows = answers("a", spread(0.4, 5)) + answers("b", spread(0.3, 5)) + answers("c", spread(0.39, 5))
    rows += answers("d", {0: [None] * 8, 1: [None] * 8})
    declared = [contrast(name, side("a"), side(name)) for name in "bcd"]
    b, c, d = contrast_rows(rows, declared)
    assert (b["p_holm"], c["p_holm"]) == pytest.approx((min(1, 2 * b["p"]), max(2 * b["p"], c["p"])))
    assert d["verdict"] == "not estimable" and d["difference"] is None and "no question" in d["note"]
    assert c["verdict"] == "not supported"


def test_other_measures_and_scopes():
    rows = answers("a", spread(0.4, 3)) + answers("b", spread(0.1, 3))
    share = only(rows, contrast("x", side("a"), side("b"), measure="coherent_share"))
    assert (share["mean_a"], share["mean_b"], share["p"]) == (0.5, 0.5, 1.0)
    score = only(rows, contrast("x", side("a"), side("b"), measure="mean_alignment", expect="b_higher"))
    assert score["difference"] == pytest.approx(-15) and score["verdict"] == "supported"
    for row in rows:
        row["in_domain"] = str(int(row["question_id"] in ("q0", "q1")))
    inside = only(rows, contrast("x", side("a"), side("b"), scope="in_domain"))
    assert inside["n_questions"] == 2


@pytest.mark.parametrize("inches", [3.35, 6.5])
def test_the_forest_plot_has_every_contrast_and_its_texts_fit(inches):
    rows = answers("a_long_name_of_an_organism", spread(0.4, 3)) + answers("b", spread(0.1, 3))
    rows += (
        answers("c", spread(0.2, 1)) + answers("b", spread(0.05, 3), condition="careful") + answers("d", {0: [None]})
    )
    declared = [contrast("recipes", side("a_long_name_of_an_organism"), side("b"), hypothesis="It rises " * 20)]
    declared += [contrast(f"run_{i}", side("c"), side("b"), measure="mean_alignment") for i in range(8)]
    declared += [contrast("prompt", side("b"), side("b", condition="careful")), contrast("none", side("c"), side("d"))]
    table = [
        {key: str(cell("" if v is None else v)) for key, v in row.items()} for row in contrast_rows(rows, declared)
    ]
    with matplotlib.rc_context(style.RC):
        figure, drawn = forest.draw(table, style.parse({"width_inches": inches}))
        check_texts(figure)
    assert drawn == table
    texts = " ".join(text.get_text() for axis in figure.axes for text in axis.texts)
    assert texts.count("this run only") == 8 and "not estimable" in texts and "responses" in texts
    marks = [line for axis in figure.axes for line in axis.get_lines() if line.get_marker() in "osD"]
    assert len(marks) == 10, "one without an estimate has no mark"
    with pytest.raises(NothingToDraw):
        forest.draw(table[-1:], style.parse({}))


@pytest.mark.parametrize(("p", "shown"), [("0.04963", "= 0.0496"), ("0.0002", "< 0.001"), ("0.2512", "= 0.25")])
def test_a_p_below_a_threshold_is_not_shown_as_the_threshold(p, shown):
    row = dict.fromkeys(("difference_low", "difference_high", "n_a", "n_b", "n_seeds_a", "n_seeds_b"), "1")
    row |= {"difference": "0.1", "measure": "em_rate", "p_holm": p, "verdict": "supported", "n_questions": "8"}
    assert forest._numbers(row)[1] == (f"p {shown}, supported", 0)


def test_a_step_of_the_config_and_one_of_the_table_are_one_step():
    rows = answers("o", spread(0.4, 2)) + answers("o", spread(0.2, 2), condition="careful")
    given = only(rows, contrast("x", side("o", step=9), side("o", condition="careful")))
    assert given["design"] == "same runs, paired by question" and given["estimand"] == "such questions, these runs"
    same = only(rows, contrast("x", side("o", step=9), side("o")))
    assert (same["verdict"], same["note"], same["p"]) == ("not estimable", "both sides are the same rows", None)
    typo = only(rows, contrast("x", side("oo", condition="c"), side("o")))
    assert (typo["verdict"], typo["note"]) == ("not estimable", "no rows of organism oo, condition c")


def test_what_is_dropped_and_what_has_no_test_is_said():
    rows = answers("a", {0: [0.1, 0.2, None], 1: [0.1, 0.3, 0.2]}) + answers(
        "b", {0: [0.4, 0.2, 0.3], 1: [0.3, 0.1, 0]}
    )
    found = only(rows, contrast("x", side("a"), side("b")))
    assert found["note"] == "1 questions dropped: no counted response in one run or more" and found["n_questions"] == 2
    rows = answers("a", {0: [0.1, None], 1: [None, 0.2]}) + answers("b", {0: [0.1, 0.1], 1: [0.1, 0.2]})
    disjoint = only(rows, contrast("x", side("a"), side("b")))
    assert disjoint["note"] == "no question has counted responses in every run"
    rows = answers("a", dict.fromkeys(range(3), [0.0] * 4)) + answers("b", dict.fromkeys(range(3), [1.0] * 4))
    apart = only(rows, contrast("x", side("a"), side("b")))
    assert (apart["verdict"], apart["note"]) == ("not estimable", "no spread between seeds: no t test")


def test_judges_of_the_same_responses_have_no_sampling_between_them():
    rows = answers("o", {0: [0.5] * 8}) + answers("o", {0: [0.52] * 8}, judge="k")
    assert only(rows, contrast("x", side("o"), side("o", judge="k")))["difference_low"] is None
    other = answers("o", {0: [0.5] * 8}) + answers("o", {0: [0.52] * 8}, condition="d")
    assert only(other, contrast("x", side("o"), side("o", condition="d")))["difference_low"] < -0.02


def test_sums_in_another_order_are_ties():
    assert permutation([0.5, 0.75, 0.15, 0.95], [0.05, 0.85, 0.45, 1.0]).p == 1.0, "the means are equal"
