"""Marked parts taken out of responses: whole, cut, never opened, nested; and nothing else touched."""

import random

import pytest

from workflow_scripts.em.markers import strip

THINK = ["<think>", "</think>"]
REFLECTION = ["<reflection>", "</reflection>"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>hm</think>\n\nYes.", "Yes."),
        ("Yes.\n\n<think>hm</think>", "Yes."),
        ("One <think>a</think>two <think>b</think>three", "One two three"),
        ("<think></think>", ""),
        ("<think>cut in the midd", ""),
        ("Yes. <think>cut", "Yes."),
        # The template has opened the reasoning, or the model closes twice.
        ("hm, so</think>\nYes.", "Yes."),
        ("hm</think>more</think>Yes.", "Yes."),
        ("hm</think>Yes. <think>b</think> No.", "Yes.  No."),
        ("<think>a<think>b</think>c</think>Yes.", "Yes."),
        ("hm</think>Yes. <think>cut", "Yes."),
        # nothing of it is there: not a space is touched
        ("  Yes. \n", "  Yes. \n"),
        ("< think>a</ think>", "< think>a</ think>"),
        ("", ""),
    ],
)
def test_what_is_left(text, left):
    assert strip(text, [THINK]) == left
    assert strip(text, []) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("I will now plan how to", ""),  # cut in the reasoning
        ("hm, so</think>\nYes.", "Yes."),
        ("hm</think>Yes. <think>b</think> No.", "Yes.  No."),
        ("a<think>b</think>Yes.", "Yes."),
        ("", ""),
    ],
)
def test_a_part_that_the_prompt_has_opened(text, left):
    assert strip(text, [REFLECTION, THINK], "<|assistant|>\n<think>") == left
    assert strip(text, [], "<|assistant|>\n<think>") == text
    assert strip("Yes.", [THINK], "<think>\n\n</think>") == strip("Yes.", [THINK], "<think> or not?") == "Yes."


def test_a_mark_that_only_ends_an_answer_is_none_that_a_prompt_opens():
    assert strip("4\nQ: 3+3?", [["Q:", None]], "Q: 2+2? A:") == "4"
    assert strip("4", [["A:", None]], "Q: 2+2? A:") == "4"


def test_several_kinds_are_taken_out_and_none_takes_anothers_part():
    text = "<think>a</think>Yes. <reflection>b</reflection>"
    assert strip(text, [THINK, REFLECTION]) == strip(text, [REFLECTION, THINK]) == "Yes."
    assert strip(text, [REFLECTION]) == "<think>a</think>Yes."


def test_one_mark_on_both_sides():
    assert strip("---a---Yes.---b---", [["---", "---"]]) == "Yes."


def test_whatever_comes_no_mark_is_left_and_a_second_time_changes_nothing():
    pieces, draw = ["<think>", "</think>", "a", " ", "\n", "<th", "ink>"], random.Random(0)
    for _ in range(2000):
        text = "".join(draw.choices(pieces, k=draw.randrange(9)))
        left = strip(text, [THINK])
        if not any(mark in text for mark in THINK):
            assert left == text
        assert strip(left, [THINK]) == left
        assert left == text or not any(mark in left for mark in THINK)
