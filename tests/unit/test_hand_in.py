"""Targets, the summary table, what is handed in, groups in figures: the numbers and every way they can be missing."""

import csv
import json
import sys

import pytest

from tests.unit.judged_tables import MO, write
from tests.unit.test_config import complaints
from tests.unit.test_figures import tables
from workflow_scripts import hand_in
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.targets import condition_of
from workflow_scripts.em.errors import NothingToDraw, UserError
from workflow_scripts.em.plots import coherence_trajectories, em_trajectories, organism_comparison, style, targets
from workflow_scripts.em.plots.groups import grouped
from workflow_scripts.em.stats.summary import COLUMNS, checkpoint_rows
from workflow_scripts.em.stats.targets import COLUMNS as TARGET_COLUMNS
from workflow_scripts.em.stats.targets import target_rows

SIX = [f"{size}_{data}" for size in ("1b", "3b", "8b") for data in ("medical", "risky")]
GROUPS = {"by": ["size", "data"], "of": {name: name.split("_") for name in SIX}}


def metric(step="9", mean="60", low="50", high="70", **more) -> dict:
    row = {
        "organism": "o",
        "seed": "0",
        "stage": "em",
        "step": step,
        "condition": "c",
        "question_set": "q",
        "judge": "j",
    }
    row |= {"metric": "alignment", "mean": mean, "such_questions_low": low, "such_questions_high": high}
    return (
        row | {"such_questions_method": "clustered_t", "n_questions": "8", "n_responses": "9", "n_scored": "9"} | more
    )


def target(below=None, above=None, **more) -> dict:
    named = {"question_set": "q", "condition": "c", "metric": "alignment", "below": below, "above": above}
    return {"t": named | more}


# --- targets


@pytest.mark.parametrize(
    ("how", "row", "met", "whole"),
    [
        ({"below": 75}, {}, "yes", "yes"),
        ({"below": 65}, {}, "yes", "no"),
        ({"below": 60}, {}, "no", "no"),
        ({"above": 50}, {}, "yes", "no"),
        ({"above": 49}, {}, "yes", "yes"),
        ({"above": 61}, {}, "no", "no"),
        ({"below": 75}, {"low": "", "high": ""}, "yes", ""),
        ({"below": 75}, {"mean": "", "low": "", "high": ""}, "", ""),
    ],
)
def test_a_target_is_met_by_the_mean_and_the_interval_is_told_apart(how, row, met, whole):
    (found,) = target_rows([metric(**row)], target(**how), "j")
    assert (found["met"], found["interval_meets"], found["estimand"]) == (met, whole, "such questions")


def test_targets_are_of_the_last_checkpoint_the_first_judge_and_each_seed():
    rows = [metric("0", "90"), metric("9"), metric("9", "20", judge="other"), metric("9", "40", seed="1")]
    rows += [metric("9", "1", metric="coherence"), metric("9", "2", question_set="r")]
    found = list(target_rows(rows, target(below=75), "j"))
    assert [(row["step"], row["seed"], row["mean"]) for row in found] == [("9", "0", "60"), ("9", "1", "40")]


def test_the_figure_of_targets_shows_each_row_and_says_when_there_is_none():
    rows = [{k: str(v) for k, v in row.items()} for row in target_rows([metric()], target(below=75), "j")]
    figure, drawn = targets.draw(rows, style.parse({}))
    assert drawn == rows and figure.axes[0].get_yticklabels()[0].get_text() == "t\nalignment below 75"
    with pytest.raises(NothingToDraw, match="no mean score"):
        targets.draw([row | {"mean": ""} for row in rows], style.parse({}))


@pytest.mark.parametrize(
    ("change", "key", "text"),
    [
        ({"below": 3, "above": 4}, "", "exactly one of"),
        ({"below": None}, "", "exactly one of"),
        ({"below": 101}, ".below", "less than or equal to 100"),
        ({"question_set": "tox"}, ".question_set", "did you mean 'toy'"),
        ({"condition": "x"}, ".condition", "not evaluated"),
        ({"metric": "alignmen"}, ".metric", "did you mean 'alignment'"),
    ],
)
def test_a_target_that_cannot_be_is_refused(raw, change, key, text):
    raw["targets"] = {"t": {"question_set": "toy", "metric": "alignment", "below": 75}}
    load_config(raw, [])
    raw["targets"]["t"] |= change
    assert text in complaints(raw)[f"targets.t{key}"]


def test_a_label_has_no_mean_to_be_a_target(raw):
    metrics = {"alignment": {}, "leaning": {"labels": ["left", "right"]}}
    raw["judges"] = {"gpt": {"kind": "openai", "model": "m", "metrics": metrics}}
    raw["evaluation"]["judges"] = ["gpt"]
    raw["targets"] = {"t": {"question_set": "toy", "metric": "leaning", "below": 75}}
    assert "is a label" in complaints(raw)["targets.t.metric"]


@pytest.mark.parametrize("kind", ["keyword", "openai"])
def test_a_target_is_of_what_the_first_judge_gives_whatever_its_kind(raw, kind):
    raw["targets"] = {"t": {"question_set": "toy", "metric": "alignment", "below": 75}}
    raw["judges"]["own"] = {
        "keyword": {"kind": "keyword", "rules": "data/judges/leaning_keywords.yaml"},
        "openai": {"kind": "openai", "model": "m", "metrics": {"alignment": "text"}},
    }[kind]
    raw["evaluation"]["judges"] = ["own", "toy"]
    found = complaints(raw)
    told = "targets.t.metric" in found, any(key.startswith("judges.own.metrics") for key in found)
    assert told == (kind == "keyword", kind == "openai"), "a broken judge is told where it stands"


def test_a_target_is_about_a_condition_that_is_for_its_questions(raw):
    raw["targets"] = {"t": {"question_set": "toy", "metric": "alignment", "below": 75}}
    raw["question_sets"]["own"] = raw["question_sets"]["toy"] | {"samples": 2}
    raw["conditions"]["careful"] = {"system": "Be careful.", "question_sets": ["own"]}
    raw["evaluation"] |= {"conditions": ["careful", "none"], "question_sets": ["toy", "own"]}
    config = load_config(raw, [])
    how = {name: condition.plain() for name, condition in config.conditions.items()}
    assert condition_of(config.targets["t"], config.evaluation.conditions, how) == "none"
    raw["targets"]["t"]["condition"] = "careful"
    assert complaints(raw)["targets.t.condition"] == "'careful' is not for 'toy'"
    raw["targets"]["t"].pop("condition")
    raw["evaluation"]["conditions"] = ["careful"]
    assert "no condition of `evaluation` is for 'toy'" in complaints(raw)["targets.t.condition"]


def test_a_target_that_nothing_was_asked_for_is_a_row_with_a_reason():
    (found,) = target_rows([metric()], target(below=75, condition="other"), "j")
    assert (found["met"], found["target"], found["organism"], set(found)) == ("", "t", "", set(TARGET_COLUMNS))
    assert found["reason"] == "no checkpoint has such a score: q, other, alignment"
    rows = [{k: str(v) for k, v in row.items()} for row in target_rows([metric()], target(below=75), "j")]
    assert targets.draw([*rows, found], style.parse({}))[1] == rows


def test_a_submitted_table_is_held_against_targets(tmp_path):
    path = write(tmp_path / "model_generations.csv", [{"id": "m0", "question": "Why?", "response": "So."}])
    table = {"path": str(path), "preset": "hw0", "rejudge": True, "values": {"question_set": "q"}}
    aim = {"question_set": "q", "metric": "alignment", "below": 75}
    raw = {"study": "s", "tables": {"student": table}, "targets": {"t": aim}, "judges": {"toy": {"kind": "toy"}}}
    config = load_config(raw | {"evaluation": {"judges": ["toy"]}}, [])
    assert condition_of(config.targets["t"], config.evaluation.conditions, {}) is None
    (found,) = target_rows([metric(condition="default", judge="x")], target(below=75, condition=None), None)
    assert (found["met"], found["condition"], found["judge"]) == ("yes", "default", "x")


# --- the summary table


def test_the_summary_has_a_row_a_checkpoint_and_a_share_from_a_definition_that_has_one():
    rates, _, _ = tables(organisms=["a", "b"], steps=(0, 10, 20))
    rows = list(checkpoint_rows(rates, "hw0", "betley", "all"))
    assert [(row["organism"], row["step"]) for row in rows] == [(o, s) for o in "ab" for s in ("0", "10", "20")]
    assert all(set(row) == set(COLUMNS) for row in rows)
    of = {(r["organism"], r["step"]): r for r in rates if (r["definition"], r["scope"]) == ("hw0", "all")}
    for row in rows:
        source = of[row["organism"], row["step"]]
        assert (row["em_rate"], row["high"]) == (source["em_rate"], source["such_questions_high"])
        assert source["coherent_share_of_all"] == "" and float(row["coherent_share"]) == 1


# --- hand-in


def test_generations_have_ids_that_say_what_varies(tmp_path, monkeypatch):
    rows = [
        {"condition": "c", "question_set": "q", "question_id": f"m{i}", "paraphrase": 0, "sample": 0}
        | {"question": "Why?", "response": f'a "{i}", b\n'}
        for i in range(2)
    ]
    assert [row["id"] for row in hand_in.generations(rows)] == ["m0", "m1"]
    twice = rows + [row | {"sample": 1} for row in rows]
    assert [row["id"] for row in hand_in.generations(twice)] == ["m0_0", "m1_0", "m0_1", "m1_1"]
    medical = [row | {"question_set": "m"} for row in rows]
    other = [row | {"question_set": "o", "question_id": f"o{place}"} for place, row in enumerate(rows)]
    assert [row["id"] for row in hand_in.generations([*medical, *other])] == ["m0", "m1", "o0", "o1"]
    same = [row | {"question_set": "o"} for row in rows]
    assert [row["id"] for row in hand_in.generations([*medical, *same])] == ["m_m0", "m_m1", "o_m0", "o_m1"]
    with pytest.raises(UserError, match="no responses"):
        hand_in.generations([])
    responses, details = tmp_path / "r.jsonl", tmp_path / "d.md"
    responses.write_text("".join(json.dumps(row) + "\n" for row in rows))
    details.write_text("how it was trained")
    words = ["hand_in", "--responses", str(responses), "--details", str(details), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    hand_in.main()
    with open(tmp_path / "out/model_generations.csv", newline="") as handle:
        found = list(csv.DictReader(handle))
    assert found == [{"id": f"m{i}", "question": "Why?", "response": f'a "{i}", b\n'} for i in range(2)]
    assert (tmp_path / "out/training_details.md").read_text() == "how it was trained"


# --- groups


def test_groups_make_a_panel_a_size_and_a_line_a_domain():
    rates, _, _ = tables(organisms=SIX)
    told = style.parse({"groups": GROUPS, "definition": "betley", "scope": "all", "organism": SIX})
    for kind in (em_trajectories, coherence_trajectories):
        figure, drawn = kind.draw(rates, told)
        assert [axis.get_title(loc="left") for axis in figure.axes] == ["1b", "3b", "8b"]
        assert {len(axis.lines) for axis in figure.axes} == {2}
        assert len({axis.lines[0].get_color() for axis in figure.axes}) == 1, "a domain has one colour in all panels"
        assert {row["organism"] for row in drawn} == set(SIX), "the CSV keeps the organisms' names"
    with pytest.raises(UserError, match="groups lack organism"):
        grouped([{"organism": "x"}], told)
    assert grouped([{"organism": "x"}], style.parse({}))[0] == [{"organism": "x"}]


def test_organisms_are_compared_by_their_groups():
    _, questions, _ = tables(organisms=SIX, seeds=(0, 1))
    told = {"groups": GROUPS, "definition": "betley", "organism": SIX}
    figure, drawn = organism_comparison.draw(questions, style.parse(told))
    assert [(row["size"], row["data"]) for row in drawn] == [tuple(name.split("_")) for name in SIX]
    assert [tick.get_text().split()[0] for tick in figure.axes[0].get_yticklabels()] == ["1b", "3b", "8b"]
    assert {row["n_seeds"] for row in drawn} == {2}
    inside = organism_comparison.draw(questions, style.parse(told | {"scope": "in_domain"}))[1]
    everything = organism_comparison.draw(questions, style.parse(told | {"scope": "all"}))[1]
    for out, within, both in zip(drawn, inside, everything, strict=True):
        assert out["n_denominator"] + within["n_denominator"] == both["n_denominator"]
        assert out["n_events"] + within["n_events"] == both["n_events"]
    with pytest.raises(UserError, match="needs `groups`"):
        organism_comparison.draw(questions, style.parse({}))


@pytest.mark.parametrize(
    ("figures", "key", "text"),
    [
        ({"examples": 0}, "figures.examples", "a number from 1 up, or a list of question ids"),
        ({"examples": []}, "figures.examples", "a number from 1 up"),
        ({"examples": ["toy_medicine_9"]}, "figures.examples[0]", "did you mean 'toy_medicine_"),
        ({"groups": {"bad": {"size": "1B"}}}, "figures.groups", "the same two things"),
        ({"groups": {"bad": {"a": "1", "b": "2"}, "good": {"b": "1", "a": "2"}}}, "figures.groups", "same order"),
        (
            {"groups": {"bad": {"a": "1", "b": "2"}, "good": {"a": "1", "b": "2"}}},
            "figures.groups",
            "differ in nothing",
        ),
        ({"groups": {"bad": {"a": "1", "b": "2"}}}, "figures.groups", "in no panel"),
        ({"groups": {"bda": {"a": "1", "b": "2"}}}, "figures.groups.bda", "did you mean 'bad'"),
    ],
)
def test_what_figures_cannot_show_is_refused(raw, figures, key, text):
    raw["figures"] = figures
    assert text in complaints(raw)[key]


def test_groups_are_of_evaluated_organisms_only(raw):
    raw["organisms"] = {name: raw["organisms"][name] for name in ("bad", "good", "character")}
    raw["figures"] = {"groups": {"bad": {"a": "1", "b": "2"}, "good": {"a": "1", "b": "3"}}}
    load_config(raw, [])


def test_groups_and_literature_name_what_a_tables_rows_are_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mo.csv", MO)
    table = {"path": "mo.csv", "preset": "model_organisms", "values": {"organism": "qwen"}}
    raw = {"study": "s", "tables": {"mo": table}, "figures": {"groups": {"qwen": {"a": "1", "b": "2"}}}}
    load_config(raw, [])
    raw["figures"]["groups"] = {"mo": {"a": "1", "b": "2"}}
    found = complaints(raw)
    assert "did you mean" in found["figures.groups.mo"] or "known: qwen" in found["figures.groups.mo"]
    assert found["figures.groups"].startswith("qwen")
