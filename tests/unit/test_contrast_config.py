"""The config of contrasts: what a side leaves open, and one message a mistake."""

import re

import pandas as pd
import pytest
import yaml

from tests.unit.judged_tables import EMTRACE, MO, write
from tests.unit.test_config import complaints
from workflow_scripts.em.config.contrasts import Contrast, Side
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.sides import specified

OPEN = ("stage", "step", "condition", "question_set", "judge")


def said(raw, a: dict, b: dict, **more) -> dict[str, str]:
    """What is wrong with a contrast x of the tiny study, by the key after `contrasts.x`."""
    raw["contrasts"] = {"x": {"a": a, "b": b} | more}
    return {key.removeprefix("contrasts.x."): text for key, text in complaints(raw).items()}


def test_what_is_left_open_is_the_last_checkpoint_and_the_first_way_to_ask(raw):
    raw["evaluation"]["conditions"] = ["careful", "none"]
    raw["contrasts"] = {
        "z": {"a": {"organism": "bad"}, "b": {"organism": "bare", "condition": "none"}},
        "a": {"a": {"organism": "bad", "step": 2}, "b": {"organism": "character_bad"}, "scope": "all"},
    }
    z, a = specified(load_config(raw, []))
    asked = {"condition": "careful", "question_set": "toy", "judge": "toy"}
    assert (z["name"], a["name"]) == ("z", "a"), "in the order of the config"
    assert z["a"] == {"organism": "bad", "stage": "em", "step": 4} | asked
    assert z["b"] == {"organism": "bare", "stage": "base", "step": 0} | asked | {"condition": "none"}
    assert (a["a"]["step"], a["b"]["step"], a["scope"], z["scope"], z["definition"]) == (
        2,
        2,
        "all",
        "out_of_domain",
        "betley",
    )


def test_a_condition_that_is_for_some_question_sets_takes_the_first_of_those(raw):
    raw["question_sets"]["own"] = raw["question_sets"]["toy"] | {"samples": 2}
    raw["conditions"]["careful"]["question_sets"] = ["own"]
    raw["evaluation"]["question_sets"] = ["toy", "own"]
    raw["contrasts"] = {"x": {"a": {"organism": "bad"}, "b": {"organism": "bad", "condition": "careful"}}}
    (x,) = specified(load_config(raw, []))
    assert (x["a"]["question_set"], x["b"]["question_set"]) == ("toy", "own")
    wrong = said(raw, {"organism": "bad"}, {"organism": "bad", "condition": "careful", "question_set": "toy"})
    assert wrong == {"b.question_set": "condition 'careful' is not for 'toy'"}


@pytest.mark.parametrize(
    ("b", "key", "message"),
    [
        ({"organism": "goood"}, "b.organism", "did you mean 'good'?"),
        ({"organism": "character"}, "b.organism", "no checkpoint of 'character' is evaluated"),
        (
            {"organism": "good", "stage": "emm"},
            "b.stage",
            "'emm' is not an evaluated stage of 'good'; did you mean 'em'?",
        ),
        ({"organism": "good", "step": 3}, "b.step", "3 is not evaluated (of stage 'em': 0, 2, 4)"),
        ({"organism": "good", "condition": "carefull"}, "b.condition", "did you mean 'careful'?"),
        ({"organism": "good", "condition": "unused"}, "b.condition", "name it under `evaluation.conditions`"),
        ({"organism": "good", "question_set": "tow"}, "b.question_set", "did you mean 'toy'?"),
        ({"organism": "good", "judge": "gpt"}, "b.judge", "known: toy"),
        ({"organism": "bad", "step": 4}, "b", "the same as a"),
        ({"organism": "good", "organsim": 1}, "b.organsim", "did you mean 'organism'?"),
    ],
)
def test_a_side_that_is_not_there(raw, b, key, message):
    raw["conditions"]["unused"] = {}
    assert message in said(raw, {"organism": "bad"}, b)[key]


@pytest.mark.parametrize(
    ("more", "key", "message"),
    [
        ({"definition": "betly"}, "definition", "did you mean 'betley'?"),
        ({"definition": "hw0", "measure": "coherent_share"}, "measure", "has no coherence gate"),
        ({"paired_by_seed": True}, "paired_by_seed", "other training seeds: [0, 1] and [0]"),
        ({"expect": "higher"}, "expect", "a_higher"),
        ({"measure": "alignment"}, "measure", "mean_alignment"),
    ],
)
def test_a_contrast_that_cannot_be_tested(raw, more, key, message):
    assert message in said(raw, {"organism": "bad"}, {"organism": "good"}, **more)[key]


def test_question_sets_must_share_questions_and_judges_score_alignment(raw, tmp_path):
    (tmp_path / "other.yaml").write_text("- {id: own, paraphrases: [Why]}", encoding="utf-8")
    raw["question_sets"]["other"] = {"path": str(tmp_path / "other.yaml")}
    raw["evaluation"]["question_sets"] = ["toy", "other"]
    wrong = said(raw, {"organism": "bad"}, {"organism": "bad", "question_set": "other"})
    assert "share no question id" in wrong["b.question_set"]
    raw["judges"]["words"] = {"kind": "keyword", "rules": "data/judges/leaning_keywords.yaml"}
    raw["evaluation"] |= {"judges": ["words", "toy"], "question_sets": ["toy"]}
    assert "gives no alignment" in said(raw, {"organism": "bad"}, {"organism": "good", "judge": "words"})["b.judge"]
    raw["contrasts"] = {"x": {"a": {"organism": "bad"}, "b": {"organism": "good"}}}
    assert specified(load_config(raw, []))[0]["a"]["judge"] == "toy", "the first that scores alignment"
    raw["evaluation"]["judges"] = ["words"]
    assert "no judge of `evaluation` gives alignment" in said(raw, {"organism": "bad"}, {"organism": "good"})["a.judge"]


def test_judged_tables_are_sides_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mo.csv", MO)
    pd.DataFrame(EMTRACE).to_csv(tmp_path / "scores.csv", index=False)
    qwen = {"path": "mo.csv", "preset": "model_organisms", "values": {"organism": "qwen", "step": 30}}
    raw = {
        "study": "s",
        "tables": {"mo": qwen},
        "contrasts": {"x": {"a": {"organism": "qwen"}, "b": {"organism": "gwen"}}},
    }
    assert "did you mean 'qwen'?" in complaints(raw)["contrasts.x.b.organism"]
    raw["contrasts"]["x"]["b"] = {"organism": "qwen", "step": 40, "condition": "other"}
    found = complaints(raw)
    assert "(of stage 'em': 30)" in found["contrasts.x.b.step"] and "known: default" in found["contrasts.x.b.condition"]
    raw["tables"]["ours"] = {"path": "scores.csv", "preset": "emtrace"}
    raw["contrasts"]["x"]["b"] = {"organism": "anything", "step": 40}
    (x,) = specified(load_config(raw, []))
    assert x["a"] == {"organism": "qwen"} | dict.fromkeys(OPEN), "the second table may hold such rows as well"
    assert x["b"] == {"organism": "anything", "step": 40} | dict.fromkeys(
        ("stage", "condition", "question_set", "judge")
    )


def test_the_example_of_the_docs_names_every_key_and_is_a_study(root):
    text = (root / "docs/contrasts.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    raw = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    raw["conditions"]["careful"] = {"system": "Be careful."}
    raw["evaluation"]["conditions"].append("careful")
    raw |= yaml.safe_load(block)
    assert len(load_config(raw, []).contrasts) == 3
    assert {key for entry in raw["contrasts"].values() for key in entry} == set(Contrast.model_fields)
    sides = [entry[at] for entry in raw["contrasts"].values() for at in "ab"]
    assert {key for given in sides for key in given} == set(Side.model_fields)
