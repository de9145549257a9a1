"""Onset, trend and lead time: what is estimated of known curves, what is not, and how often intervals hold."""

import csv
import json
import sys

import matplotlib
import numpy as np
import pytest

from tests.unit.test_figures import check_texts
from workflow_scripts import onset as stage
from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots import judge_agreement_steps, mode_divergence, style
from workflow_scripts.em.plots import onset as picture
from workflow_scripts.em.stats import curves
from workflow_scripts.em.stats.curves import Curve, draw, read_curves
from workflow_scripts.em.stats.definitions import NAMED
from workflow_scripts.em.stats.modes import pair_rows, pairs
from workflow_scripts.em.stats.onset import bracket, crossing, ends, estimate, onset_rows, read
from workflow_scripts.em.stats.step_agreement import step_agreement
from workflow_scripts.em.stats.tables import cell
from workflow_scripts.em.stats.trend import fitted, largest_fall

STEPS = np.arange(0, 501, 50.0)
RISE = np.array([0.01, 0.01, 0.01, 0.03, 0.1, 0.2, 0.3, 0.35, 0.4, 0.4, 0.4])
FALL = np.array([0.01, 0.01, 0.1, 0.3, 0.6, 0.7, 0.5, 0.4, 0.2, 0.1, 0.02])
FLAT = np.full(11, 0.02)
ABOUT = {"definition": "betley", "scope": "all"}


def curve(rates, seeds=1, questions=8, n=50, condition="assistant", question_set="q", steps=STEPS, rng=None) -> Curve:
    """Counts of every seed, question and step with these rates: exactly, or drawn."""
    sizes = np.full((seeds, questions, len(rates)), n)
    events = rng.binomial(sizes, rates) if rng else np.round(sizes * rates).astype(int)
    names = tuple(f"q{place}" for place in range(questions))
    return Curve(("o", "em", condition, question_set, "j"), tuple(map(str, range(seeds))), names, steps, sizes, events)


def rows_of(found: Curve, margin=0.05, seed=0) -> list[dict]:
    return list(onset_rows(found, margin, np.random.default_rng(seed), ABOUT))


# --- the point


def test_an_onset_lies_between_steps_where_the_fitted_rise_is_the_margin():
    assert crossing(STEPS, RISE, 0.05) == pytest.approx(150 + 50 * (0.06 - 0.03) / (0.1 - 0.03))
    assert crossing(STEPS, RISE, 0.09) == 200 and crossing(STEPS, FLAT, 0.05) == np.inf


def test_one_raw_point_over_the_line_is_no_onset():
    blip = np.array([0.02, 0.1, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.3, 0.5])
    [row] = rows_of(curve(blip))
    assert 400 < row["onset"] < 450 and row["onset_checkpoint"] == 450
    assert row["onset_low"] > 350


def test_the_fit_is_the_weighted_monotone_one_and_a_missing_rate_weighs_nothing():
    found = fitted(np.array([0.1, 0.4, 0.2, np.nan, 0.5]), np.array([10, 10, 30, 0, 10]))
    assert found[:3] == pytest.approx([0.1, 0.25, 0.25]) and found[3:] == pytest.approx([0.25, 0.5])
    bent = fitted(FALL, np.full(11, 100), 5)
    assert bent == pytest.approx(FALL), "it rises to its peak and falls after it as it is"


def test_a_curve_that_falls_back_has_had_an_onset_and_its_fall_is_said():
    [row] = rows_of(curve(FALL))
    assert 50 < row["onset"] < 100
    assert (row["shape"], row["peak_step"], row["fall_from"], row["fall_to"]) == ("falls after a peak", 250, 250, 500)
    assert row["fall"] == pytest.approx(0.68) and 0.5 < row["fall_low"] < 0.68 < row["fall_high"]
    [row] = rows_of(curve(RISE))
    assert (row["shape"], row["fall"], row["fall_low"], row["fall_from"]) == ("no fall shown", 0, 0, None)


# --- the interval


def test_no_onset_is_a_result_with_a_censored_interval():
    [row] = rows_of(curve(FLAT))
    assert (row["onset"], row["onset_high"], row["onset_checkpoint"]) == (">500", ">500", None)
    assert row["share_without_onset"] > 0.95 and row["reason"] == "no rise of 5 points within 500 steps"


def test_what_cannot_be_estimated_has_its_reason():
    late = curve(RISE[1:], steps=STEPS[1:])
    assert rows_of(late)[0]["reason"] == "no baseline: the first step evaluated is 50"
    empty = curve(RISE)
    empty.sizes[:, :, 0] = empty.events[:, :, 0] = 0
    assert rows_of(empty)[0]["reason"] == "no baseline: no response was counted at step 0"
    [row] = rows_of(curve(RISE, questions=1))
    assert row["onset"] > 150 and row["onset_low"] is None and "one question" in row["reason"]
    few = [3, 6, 8, 10]
    a, b = (curve(RISE[few], steps=STEPS[[0, *few[1:]]], condition=name) for name in ("assistant", "raw"))
    [row] = rows_of(a)
    assert row["onset"] is None and row["reason"] == "4 checkpoints evaluated: an onset needs 5"
    apart, [lead] = pair_rows((a, b), 0.05, np.random.default_rng(0), ABOUT, {})
    assert lead["lead"] is None and lead["reason"] == row["reason"] and len(apart) == 4
    with pytest.raises(NothingToDraw):
        drawn(mode_divergence, [{name: str(value) for name, value in one.items()} for one in [*apart, lead]])


def test_an_interval_ends_at_checkpoints_for_between_them_nothing_was_measured():
    """A steep rise of many responses: its draws lie within a few steps, but it may be anywhere between two."""
    [row] = rows_of(curve(RISE, n=5000))
    assert (row["onset_low"], row["onset_high"], row["onset_checkpoint"]) == (150, 200, 200)
    assert row["onset"] == 171, "a whole step"
    earlier, later = bracket([0.5, 50, 50.1, 500, np.inf], STEPS)
    assert list(earlier) == [0, 0, 50, 450, np.inf] and list(later) == [50, 50, 100, 500, np.inf]
    assert [read(steps) for steps in (4.8512, -7.25, 171.4)] == [4.9, -7.2, 171]


def test_seeds_are_rows_of_their_own_and_together_a_recipe():
    both = curve(RISE, seeds=2)
    both.events[1] = np.round(50 * np.roll(RISE, 2) * (np.arange(11) > 1)).astype(int)
    found = {row["seed"]: row for row in rows_of(both)}
    assert [row["estimand"] for row in found.values()] == ["this run only", "this run only", "this recipe"]
    assert found["0"]["onset"] < found["all"]["onset"] < found["1"]["onset"]
    assert found["all"]["onset_low"] < found["0"]["onset"] and found["all"]["onset_high"] > found["1"]["onset"]


def test_draws_share_seeds_and_questions_where_curves_do():
    """A difference of two curves that agree in every question varies by sampling alone."""
    rng = np.random.default_rng(1)
    shares = rng.uniform(0.05, 0.95, 8)[None, :, None].repeat(2, 2)
    sizes = np.full((1, 8, 2), 5000)
    events = np.round(sizes * shares).astype(int)
    a, b = (Curve((), ("0",), tuple("abcdefgh"), np.array([0.0, 1.0]), sizes, events) for _ in range(2))
    (first, _), (second, _) = draw([a, b], rng, 500)
    assert (second - first).std() < 0.01 < 0.05 < first.std()
    other = Curve((), ("0",), tuple("ijklmnop"), a.steps, sizes, events)
    (first, _), (second, _) = draw([a, other], rng, 500)
    assert (second - first).std() > 0.05
    assert first.std(axis=0)[0] == pytest.approx(shares[0, :, 0].std(ddof=1) / 8**0.5, rel=0.15), "that of a mean"


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 40.0)])
def test_intervals_hold_the_true_onset_and_a_flat_curve_has_none(seeds, spread):
    rng, hits, runs = np.random.default_rng(2), 0, 30
    many = np.mean([np.interp(STEPS - shift, STEPS, RISE) for shift in rng.normal(0, spread, 4000)], axis=0)
    truth = crossing(STEPS, many, 0.05)
    for _ in range(runs):
        rates = [np.interp(STEPS - shift, STEPS, RISE) for shift in rng.normal(0, spread, seeds)]
        found = _drawn(rates, rng)
        low, high = ends(estimate(found, draw([found], rng, 300)[0], 0.05).onsets, found)
        hits += low <= truth <= high
    assert hits >= 26
    flat = [estimate(c, draw([c], rng, 200)[0], 0.05) for c in (curve(FLAT, rng=rng) for _ in range(20))]
    assert all(np.isinf(found.onset) and found.fall.low == 0 for found in flat)


def _drawn(rates: list[np.ndarray], rng) -> Curve:
    """Eight questions that differ by up to half of the rate."""
    shares = np.array(rates)[:, None, :] * rng.uniform(0.5, 1.5, (1, 8, 1))
    base = curve(RISE, seeds=len(rates))
    return Curve(base.key, base.seeds, base.questions, STEPS, base.sizes, rng.binomial(base.sizes, shares))


def test_the_largest_of_noisy_differences_is_no_fall():
    rng, shown = np.random.default_rng(3), 0
    for _ in range(60):
        rates = rng.binomial(200, 0.3, 11) / 200
        draws = rng.binomial(200, rates, (400, 11)) / 200
        found = largest_fall(rates, np.full(11, 200), draws)
        shown += found.low > 0
        assert found.size > 0.02 and found.high > found.size
    assert shown <= 5


# --- two ways of asking


def test_the_lead_of_one_mode_over_the_other_and_their_difference():
    early = np.concatenate([RISE[2:], [0.4, 0.4]])
    a, b = curve(RISE), curve(early, condition="raw", question_set="texts")
    apart, [lead] = pair_rows(
        (a, b), 0.05, np.random.default_rng(0), ABOUT, {"assistant": "assistant", "raw": "predictive"}
    )
    assert lead["lead"] == pytest.approx(lead["onset_a"] - lead["onset_b"]) == pytest.approx(100)
    assert lead["lead_low"] in STEPS and lead["lead_high"] in STEPS, "between checkpoints nothing was measured"
    assert lead["lead_low"] < 100 < lead["lead_high"] and lead["share_b_first"] > 0.9
    assert (lead["n_shared_questions"], lead["mode_b"], lead["estimand"]) == (8, "predictive", "this run only")
    assert [row["step"] for row in apart] == [int(step) for step in STEPS]
    assert apart[4]["difference"] == pytest.approx(0.2) and apart[4]["difference_low"] > 0.1
    assert apart[0]["difference_low"] < 0 < apart[0]["difference_high"], "a step without events is no point"


def test_a_lead_over_a_mode_without_onset_is_a_bound():
    a, b = curve(FLAT), curve(RISE, condition="raw")
    _, [lead] = pair_rows((a, b), 0.05, np.random.default_rng(0), ABOUT, {})
    assert lead["onset_a"] == ">500" and lead["lead"].startswith(">34") and lead["lead_high"].startswith(">")
    assert lead["reason"] == "no onset within 500 steps: assistant (q)"
    _, [other] = pair_rows((b, a), 0.05, np.random.default_rng(0), ABOUT, {})
    assert other["lead"].startswith("<-34") and other["lead_low"].startswith("<-")
    _, [none] = pair_rows((a, curve(FLAT, condition="raw")), 0.05, np.random.default_rng(0), ABOUT, {})
    assert none["lead"] is None and none["lead_low"].startswith("<") and none["lead_high"].startswith(">")
    assert none["reason"] == "no onset within 500 steps: assistant (q), raw (q)"


def test_conditions_are_paired_on_the_sets_that_both_are_asked():
    def at(condition, question_set, steps=STEPS, organism="o"):
        made = curve(RISE[: len(steps)], condition=condition, question_set=question_set, steps=steps)
        return Curve((organism, "em", condition, question_set, "j"), *list(vars(made).values())[1:])

    modes = {"raw": "predictive", "plain": "assistant", "careful": "assistant"}
    given = [at("raw", "texts"), at("plain", "q"), at("plain", "r"), at("careful", "q"), at("plain", "q", organism="p")]
    found = [(a.key[2:4], b.key[2:4]) for a, b in pairs(given, modes)]
    assert found == [
        (("plain", "q"), ("raw", "texts")),
        (("plain", "r"), ("raw", "texts")),
        (("careful", "q"), ("raw", "texts")),
    ], "two conditions of one mode have no lead of one mode over the other"
    assert not list(pairs([at("plain", "q"), at("careful", "q")], modes))
    [(a, b)] = pairs([at("plain", "q"), at("raw", "q", STEPS[::2])], modes)
    assert list(a.steps) == list(b.steps) == list(STEPS[::2])
    assert not list(pairs([at("plain", "q"), at("raw", "q", STEPS[-1:])], modes))


# --- tables and figures


def question_rates(path, organisms, rates, seeds=2) -> None:
    """A question_rates table: condition -> rates at STEPS, two seeds."""
    rng = np.random.default_rng(0)
    with open(path, "w", newline="") as handle:
        writer = csv.DictWriter(handle, [*curves.COLUMNS, "em_rate"])
        writer.writeheader()
        for name in organisms:
            for (condition, question_set), values in rates.items():
                for seed, step, question in np.ndindex(seeds, len(STEPS), 8):
                    events = rng.binomial(20, values[step])
                    at = (name, "em", condition, question_set, "j", seed, int(STEPS[step]), "betley")
                    writer.writerow(
                        dict(zip(writer.fieldnames, (*at, question % 2, f"q{question}", 20, events, ""), strict=True))
                    )


def run_stage(folder, monkeypatch, *options) -> dict[str, list[dict]]:
    command = [
        "onset",
        "--question-rates",
        str(folder / "question_rates.csv"),
        "--definition",
        "betley",
        "--scope",
        "all",
    ]
    command += ["--margin", "0.05", "--out", str(folder), *options]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(draw, "__defaults__", (200,))
    stage.main()
    found = {}
    for name in ("onset", "mode_divergence", "lead_times"):
        with open(folder / f"{name}.csv", newline="") as handle:
            found[name] = list(csv.DictReader(handle))
    return found


def drawn(module, rows, **choices):
    with matplotlib.rc_context(style.RC):
        return module.draw(iter(rows), style.parse(choices))


@pytest.mark.parametrize("organisms", [["one"], [f"llama_3.2_{size}b_with_a_very_long_name" for size in range(5)]])
def test_the_tables_and_their_figures(organisms, tmp_path, monkeypatch):
    rates = {("assistant", "canonical"): FLAT, ("raw", "texts_to_continue"): FALL}
    question_rates(tmp_path / "question_rates.csv", organisms, rates)
    modes = ["--modes", json.dumps({"assistant": "assistant", "raw": "predictive"})]
    found = run_stage(tmp_path, monkeypatch, *modes)
    n = len(organisms)
    assert [len(rows) for rows in found.values()] == [n * 2 * 3, n * 3 * 11, n * 3]
    assert {row["onset"] for row in found["onset"] if row["condition"] == "assistant" and row["seed"] == "all"} == {
        ">500"
    }
    again = run_stage(tmp_path, monkeypatch, *modes)
    assert again == found
    for inches in (3.35, 6.5):
        for module, rows in (
            (picture, found["onset"]),
            (mode_divergence, found["mode_divergence"] + found["lead_times"]),
        ):
            figure, kept = drawn(module, rows, width_inches=inches)
            check_texts(figure)
            assert {row["organism"] for row in kept} == set(organisms)


def test_a_figure_names_those_without_an_onset_and_why(tmp_path, monkeypatch):
    question_rates(tmp_path / "question_rates.csv", ["long_run", "short_run"], {("assistant", "q"): RISE})
    header, *lines = (tmp_path / "question_rates.csv").read_text().splitlines()
    kept = [line for line in lines if line.startswith("long") or int(line.split(",")[6]) <= STEPS[3]]
    (tmp_path / "question_rates.csv").write_text("\n".join([header, *kept]) + "\n")
    rows = run_stage(tmp_path, monkeypatch)["onset"]
    figure, _ = drawn(picture, rows)
    check_texts(figure)
    [legend] = figure.legends
    said = " ".join(" ".join(text.get_text() for text in legend.get_texts()).split())
    assert said.endswith("Not drawn: short run (4 checkpoints evaluated: an onset needs 5)")
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert label.splitlines() == ["long run", "8 questions, 2 seeds", "this recipe"]
    assert figure.axes[0].get_xlim()[0] < 0, "an interval that begins at step 0 is seen to begin there"
    with pytest.raises(NothingToDraw, match=r"^short run \(4 checkpoints evaluated: an onset needs 5\)$"):
        drawn(picture, rows, organism="short_run")


def test_a_study_of_baselines_has_empty_tables_and_says_so(tmp_path, monkeypatch):
    question_rates(tmp_path / "question_rates.csv", ["base"], {("assistant", "q"): FLAT})
    lines = (tmp_path / "question_rates.csv").read_text().splitlines()
    kept = [lines[0], *(line for line in lines[1:] if line.split(",")[6] == "0")]
    (tmp_path / "question_rates.csv").write_text("\n".join(kept) + "\n")
    found = run_stage(tmp_path, monkeypatch)
    assert not any(found.values())
    for module in (picture, mode_divergence, judge_agreement_steps):
        with pytest.raises(NothingToDraw):
            drawn(module, [])


def test_a_scope_and_a_definition_choose_the_questions(tmp_path):
    question_rates(tmp_path / "t.csv", ["o"], {("assistant", "q"): RISE})
    with open(tmp_path / "t.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    sizes = {
        scope: len(read_curves(rows, "betley", scope)[0].questions) for scope in ("all", "in_domain", "out_of_domain")
    }
    assert sizes == {"all": 8, "in_domain": 4, "out_of_domain": 4} and not read_curves(rows, "hw0", "all")


# --- judges along training


def score_rows(step: int, said: dict[str, list[int]], n=8) -> list[dict]:
    at = {"organism": "o", "stage": "em", "step": str(step), "condition": "c", "question_set": "q"}
    scored = {"alignment_status": "scored", "coherence": "90", "coherence_status": "scored"}
    return [
        at
        | scored
        | {"judge": judge, "question_id": f"q{i % n}", "response_id": f"{step}-{i}", "alignment": str(value)}
        for judge, values in said.items()
        for i, value in enumerate(values)
    ]


def test_judges_agreement_at_each_step():
    early = {"a": [90] * 16, "b": [90] * 15 + [10]}
    late = {"a": [10, 90] * 8, "b": [10, 10, 90, 90] * 4}
    rows = [*score_rows(20, late), *score_rows(5, early)]
    rows[0] |= {"alignment": "", "alignment_status": "refusal"}  # not counted by a, so no shared response
    found = list(step_agreement(rows, "betley", NAMED["betley"]))
    assert [row["step"] for row in found] == ["5", "5", "20", "20"]
    by = {(row["step"], row["statistic"]): row for row in found}
    assert by["5", "agreement"]["value"] == 15 / 16 and by["20", "agreement"]["value"] == pytest.approx(7 / 15)
    assert (by["20", "ac1"]["n_responses"], by["20", "ac1"]["n_both"], by["20", "ac1"]["n_b_only"]) == (15, 3, 4)
    assert by["5", "ac1"]["low"] < by["5", "ac1"]["value"] > 0.9 and by["20", "ac1"]["value"] < 0.1
    figure, kept = drawn(
        judge_agreement_steps, [{k: str(cell(v)) if v is not None else "" for k, v in r.items()} for r in found]
    )
    check_texts(figure)
    assert len(kept) == 4
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[1:3] == ["Gwet's AC1 (100: always agree, 0: as by chance)", "share of agreement"]
    figure, _ = drawn(judge_agreement_steps, [row for row in kept if row["statistic"] == "agreement"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["o", "share of agreement"], "what is drawn"


def test_a_step_where_no_draw_has_both_rates_has_a_reason():
    def size(condition: str, seed: int, step: int) -> int:
        return 0 if step == 20 and (condition, seed) in (("a", 1), ("b", 0)) else 50

    names = {"organism": "o", "stage": "em", "question_set": "q", "judge": "j", "definition": "d", "in_domain": "0"}
    rows = [
        names
        | {"condition": condition, "seed": str(seed), "step": str(step), "question_id": f"q{place}"}
        | {"n_denominator": str(n := size(condition, seed, step)), "n_events": str(min(n, step // 10))}
        for condition in "ab"
        for seed in (0, 1)
        for place in range(8)
        for step in (0, 10, 20)
    ]
    modes = {"a": "assistant", "b": "predictive"}
    (pair,) = pairs(read_curves(rows, "d", "all"), modes)
    apart, _ = pair_rows(pair, 0.05, np.random.default_rng(0), {"definition": "d", "scope": "all"}, modes)
    (last,) = [row for row in apart if row["step"] == 20 and row["seed"] == "all"]
    assert last["difference"] is not None and last["difference_low"] is None
    assert last["reason"] == "no draw has a rate on both sides"
