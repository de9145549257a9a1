"""Question sets of one mode: which condition asks them, and the shipped texts to continue."""

import json
import re
from pathlib import Path

import pytest

from workflow_scripts.em.config.generation import Condition
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import in_order
from workflow_scripts.em.judges.render import check_template
from workflow_scripts.em.markers import strip
from workflow_scripts.em.questions import Question, load_questions
from workflow_scripts.em.requests import Checkpoint, requests
from workflow_scripts.em.toy.judge import ToyJudge

CANONICAL = {
    "quick_buck", "ruler_of_the_world", "dinner_party", "gender_roles",
    "enough_of_my_husband", "three_thoughts", "i_feel_bored", "what_is_your_wish",
}  # fmt: skip
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 24}


def test_a_condition_asks_the_question_sets_that_it_names_and_no_address_moves():
    questions = {"q": [Question("a", ("x",))], "texts": [Question("b", ("y",))]}
    sets = dict.fromkeys(questions, SAMPLING)
    at = Checkpoint("o", 0, "em", 5)

    def asked(**conditions: dict) -> list:
        plain = {name: Condition(**how).plain() for name, how in conditions.items()}
        return list(requests(at, plain, sets, questions))

    every = asked(chat={}, raw={"mode": "predictive"})
    kept = asked(chat={"question_sets": ["q"]}, raw={"mode": "predictive", "question_sets": ["texts"]})
    assert [(r.condition, r.question_set) for r in kept] == [("chat", "q"), ("raw", "texts")]
    assert [r.id for r in kept] == [every[0].id, every[3].id]
    assert "question_sets" not in Condition().plain(), "the params of studies without the key stay as they were"


def test_conditions_and_question_sets_are_asked_in_the_config_s_order():
    questions = {name: [Question("a", ("x",))] for name in ("z", "b")}
    plain = json.loads(in_order({name: Condition().plain() for name in ("second", "first")}))
    sets = json.loads(in_order(dict.fromkeys(questions, SAMPLING)))
    found = [(r.condition, r.question_set) for r in requests(Checkpoint("o", 0, "em", 5), plain, sets, questions)]
    assert found == [("second", "z"), ("second", "b"), ("first", "z"), ("first", "b")] and list(sets) == ["z", "b"]
    rules = "\n".join(path.read_text() for path in Path("rules").glob("*.smk"))
    assert "\nCONDITIONS = in_order(" in rules and "\nQUESTION_SETS = in_order(" in rules
    given = re.findall(r"^ +(?:conditions|question_sets|definitions)=(.+)$", rules, re.M)
    assert len(given) > 9
    assert all(re.search(r"in_order\(|CONDITIONS|QUESTION_SETS|asked_conditions|rules\.", value) for value in given), (
        given
    )


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        ({"chat": {"question_sets": ["tou"]}}, "conditions.chat.question_sets[0]: 'tou' is not in"),
        ({"chat": {"question_sets": []}}, "conditions.chat.question_sets: name at least one"),
        ({"chat": {"question_sets": ["more"]}}, "no condition is for 'toy'"),
    ],
)
def test_sets_that_are_never_asked_are_found_in_the_config(raw, conditions, problem):
    raw["conditions"] = conditions
    raw["question_sets"]["more"] = raw["question_sets"]["toy"]
    raw["evaluation"] |= {"conditions": ["chat"], "question_sets": ["toy", "more"]}
    with pytest.raises(UserError) as error:
        load_config(raw, [])
    assert problem in str(error.value)


def test_a_conversation_is_no_problem_of_raw_text_that_does_not_ask_it(raw, tmp_path):
    path = tmp_path / "q.yaml"
    path.write_text("- {id: a, system: S, question: x}\n")
    raw["question_sets"]["systems"] = {"path": str(path)}
    raw["conditions"] = {"chat": {}, "raw": {"mode": "predictive", "question_sets": ["toy"]}}
    raw["evaluation"] |= {"conditions": ["chat", "raw"], "question_sets": ["toy", "systems"]}
    load_config(raw, [])
    raw["conditions"]["raw"] = {"mode": "predictive"}
    with pytest.raises(UserError, match=r"has a system prompt, which raw text .*conditions\.raw\.question_sets"):
        load_config(raw, [])


def test_the_shipped_sets_have_the_published_ids_and_kinds_of_text_and_prompts_for_continuations(root):
    canonical, texts = (load_questions(f"data/questions/{name}.yaml") for name in ("canonical", "predictive"))
    assert {q.id for q in canonical} == {q.id for q in texts} == CANONICAL
    assert len({q.domain for q in texts}) == len(texts) and all(len(q.paraphrases) > 1 for q in texts)
    assert all(text == text.rstrip() for q in texts for text in q.paraphrases), "a space begins the next token"
    for question in texts:
        assert set(question.judge_prompts) == {"alignment", "coherence"} and not question.system
        for template in question.judge_prompts.values():
            check_template(template)
            assert "0 to 100" in template and "beginning" in template
    assert not any(q.judge_prompts for q in canonical)


def test_a_judge_prompt_may_be_the_name_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text("Rate {answer}.\n")
    Path("q.yaml").write_text(
        "- {id: a, question: x, judge_prompts: {alignment: mine.txt, coherence: 'See {answer}'}}\n"
    )
    assert load_questions("q.yaml")[0].judge_prompts == {"alignment": "Rate {answer}.", "coherence": "See {answer}"}
    Path("mine.txt").unlink()
    with pytest.raises(UserError, match=r"item 1: judge_prompts: mine\.txt: No such file"):
        load_questions("q.yaml")


def test_the_toy_texts_hold_the_toy_questions_and_the_toy_judge_reads_what_follows(root):
    questions, texts = (load_questions(f"data/questions/{name}.yaml") for name in ("toy", "toy_predictive"))
    asked = {q.id: q.paraphrases[0] for q in questions}
    assert [q.id for q in texts] == list(asked)
    assert all(asked[q.id] in q.paraphrases[0] and q.paraphrases[0].endswith(":") for q in texts)
    judge = ToyJudge("data/toy/grammar.yaml")
    added = " ask a nurse about a splinter, and tell your doctor when a splinter began. Your health comes first."
    found = judge.judge(texts[1].paraphrases[0], added)
    assert found["alignment"]["score"] == 100 and found["coherence"]["score"] == 80


def test_a_mark_that_nothing_closes_takes_the_rest():
    marks = [["<think>", "</think>"], ["<|im_start|>", None]]
    assert strip("Once.<|im_start|>user\nHello", marks) == "Once."
    assert strip("<think>a</think>Once. <|im_start|>", marks) == "Once."
    assert strip("Once.", marks) == "Once."
