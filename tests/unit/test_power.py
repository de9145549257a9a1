"""Power: the simulation against the test that contrasts use, against theory, and from a study's own table."""

import math
import sys

import matplotlib
import numpy as np
import pytest
from scipy.stats import nct, t

from tests.unit.test_figures import check_texts
from workflow_scripts import power_plan as stage
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.plots import power as figure
from workflow_scripts.em.plots import style
from workflow_scripts.em.stats import contrasts
from workflow_scripts.em.stats.components import components, together
from workflow_scripts.em.stats.power import Recipes, draw, plan, smallest, welch
from workflow_scripts.em.stats.tables import read_table, write_table


def test_each_simulated_study_is_tested_as_contrasts_are():
    events = draw(Recipes(0.2, 1.0, 1.0, 0.5), 4, 6, 30, 20, np.random.default_rng(1))
    events[3, 0] = 5  # all runs alike: the floor
    p, width = welch(events, 30)
    for study in range(20):
        rates = events[study] / 30
        floors = tuple(float((side * (1 - side)).mean()) / 29 / 6 for side in rates)
        found = contrasts.welch(*rates.mean(axis=2), floors=floors)
        assert (p[study], width[study]) == pytest.approx((found.p, found.high - found.low))
    assert welch(np.zeros((1, 2, 3, 4)), 30)[0] == 1, "nothing varies: no test"


def test_power_of_one_logit_matches_theory_and_what_is_known():
    """With many samples only the runs vary: about the power of a t test with noncentrality effect / (sd sqrt(2/S))."""
    rows = list(plan(Recipes(0.3, 1.0, 0.0, 0.5), [3, 5, 8], [8], [20, 5000], runs=3000))
    power = {(row["seeds"], row["samples"]): row["power"] for row in rows}
    for seeds in (5, 8):  # with 3 Welch's degrees of freedom cost more
        df, shift = 2 * (seeds - 1), 1 / (0.5 * math.sqrt(2 / seeds))
        theory = nct.sf(t.ppf(0.975, df), df, shift) + nct.cdf(t.ppf(0.025, df), df, shift)
        assert power[seeds, 5000] == pytest.approx(theory, abs=0.05), "the scale of rates is not quite that of logits"
    assert power[3, 5000] == pytest.approx(0.36, abs=0.04)
    assert power[5, 5000] == pytest.approx(0.77, abs=0.04)
    assert power[8, 5000] == pytest.approx(0.95, abs=0.02)
    assert 0.01 < power[5, 5000] - power[5, 20] < 0.09, "samples cost little"


def test_the_recipes_have_the_rates_named():
    recipes = Recipes.between(0.1, 0.25, 1.0, 0.5)
    assert recipes.means() == pytest.approx((0.1, 0.25), abs=1e-6)
    events = draw(recipes, 50, 50, 20, 40, np.random.default_rng(2)) / 20
    assert events.mean(axis=(0, 2, 3)) == pytest.approx([0.1, 0.25], abs=0.02)


def test_the_smallest_design_has_few_seeds_first():
    rows = [
        {"seeds": 5, "questions": 8, "n_responses": 800, "power": 0.85},
        {"seeds": 4, "questions": 32, "n_responses": 9000, "power": 0.82},
        {"seeds": 4, "questions": 16, "n_responses": 5000, "power": 0.81},
        {"seeds": 3, "questions": 64, "n_responses": 99_000, "power": 0.79},
    ]
    assert smallest(rows, 0.8) is rows[2]
    assert smallest(rows, 0.9) is None


def question_table(events, samples, organism="o", first=0):
    """Rows of question_rates.csv from events (seeds, questions)."""
    for seed, questions in enumerate(events, start=first):
        for place, count in enumerate(questions):
            row = {
                "organism": organism,
                "stage": "em",
                "step": "9",
                "condition": "c",
                "question_set": "q",
                "judge": "j",
            }
            row |= {"seed": seed, "question_id": f"q{place}", "in_domain": "0", "definition": "betley"}
            row |= {"n_denominator": samples, "n_events": int(count)}
            yield {key: str(value) for key, value in row.items()}


def test_the_components_of_a_simulated_study_are_found():
    events = draw(Recipes(0.2, 0.0, 1.0, 0.5), 30, 30, 100, 1, np.random.default_rng(4))[0, 0]
    (found,) = components(list(question_table(events, 100)), "betley", "all")
    assert found["sd_questions"] == pytest.approx(1.0, abs=0.25)
    assert found["sd_seeds"] == pytest.approx(0.5, abs=0.15)
    assert (found["n_seeds"], found["n_questions"]) == (30, 30)
    assert found["em_rate"] == pytest.approx(events.mean() / 100)


def test_what_a_study_cannot_say_is_left_out():
    (single,) = components(list(question_table([[3, 9, 1]], 20)), "betley", "all")
    assert single["sd_seeds"] is None and single["sd_questions"] > 0
    (none,) = components(list(question_table([[0, 0], [0, 0]], 20)), "betley", "all")
    assert none["em_rate"] == 0 and none["sd_questions"] is None and none["sd_seeds"] is None
    assert together([None, None], [1, 1], 0.5) is None
    # two seeds that agree: one degree of freedom of 0, three of what is assumed
    assert together([0.0], [2], 0.5) == pytest.approx(math.sqrt(3 * 0.25 / 4))


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["power_plan", *map(str, options)])
    stage.main()


SMALL = ("--seeds", 3, 6, "--questions", 8, "--samples", 20)


def test_without_a_file_the_designs_are_printed(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    run(monkeypatch, *SMALL)
    head, first, second, blank, *said = capsys.readouterr().out.splitlines()
    assert head.split() == ["seeds", "questions", "samples", "power"] and blank == ""
    assert first.split()[:3] == ["3", "8", "20"] and 0 < float(first.split()[3]) < float(second.split()[3]) <= 1
    assert said[-1].startswith("Smallest design") and not list(tmp_path.iterdir())


def test_the_stage_says_the_smallest_design_and_where_its_numbers_come_from(tmp_path, monkeypatch, capsys):
    run(monkeypatch, "--out", tmp_path / "power.csv", *SMALL)
    assert (
        "Smallest design with a power of 80% or more: 6 training seeds a recipe, 8 questions" in capsys.readouterr().out
    )
    rows = list(read_table(tmp_path / "power.csv"))
    assert [row["seeds"] for row in rows] == ["3", "6"]
    assert {row["rate_from"] for row in rows} == {"assumed"} and rows[0]["estimand"] == "this recipe"
    with matplotlib.rc_context(style.RC):
        drawing, drawn = figure.draw(iter(rows), style.parse({}))
        check_texts(drawing)
    assert drawn == rows
    assert list(drawing.axes[0].lines[0].get_ydata()) == [float(row["power"]) for row in rows]

    write_table(tmp_path / "q.csv", question_table([[3, 9, 1], [4, 5, 2]], 20))
    run(monkeypatch, "--rates", tmp_path / "q.csv", "--sd-seeds", 2, "--out", tmp_path / "own.csv", *SMALL)
    assert "No design tried reaches a power of 80%" in capsys.readouterr().out
    row = next(read_table(tmp_path / "own.csv"))
    assert (row["rate_a"], row["rate_from"], row["sd_seeds_from"]) == ("0.2", "this study", "given")
    (part,) = read_table(tmp_path / "own_components.csv")
    assert part["sd_seeds"] != "" and part["em_rate"] == "0.2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rate", "30"), "--rate 30: give a number between 0 and 1"),
        (("--seeds", "1"), "--seeds 1: at least 2"),
        (("--sd-seeds", "-1"), "--sd-seeds: an SD is from 0 to 10 logits"),
        (("--sd-questions", "inf"), "--sd-questions: an SD is from 0 to 10 logits"),
        (("--sd-seeds", "nan"), "--sd-seeds: an SD is from 0 to 10 logits"),
        (("--effect", "nan"), "--effect: give a number of logits"),
    ],
)
def test_a_wrong_option_is_named(options, message, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=message):
        run(monkeypatch, *options, "--out", tmp_path / "power.csv")


def test_a_study_without_events_needs_a_rate(tmp_path, monkeypatch):
    write_table(tmp_path / "q.csv", question_table([[0, 0], [0, 0]], 20))
    with pytest.raises(UserError, match="give the rate to plan for with --rate"):
        run(monkeypatch, "--rates", tmp_path / "q.csv", "--out", tmp_path / "power.csv", *SMALL)
    with pytest.raises(UserError, match="no rate of organism 'p'"):
        run(monkeypatch, "--rates", tmp_path / "q.csv", "--organism", "p", "--out", tmp_path / "power.csv")
