"""Answers of chat servers, taken apart: what is broken is tried again, what is odd is kept, and nothing crashes."""

import json

import httpx2
import openai
import pytest

from workflow_scripts.em.backends.chat_access import Access
from workflow_scripts.em.backends.chat_reply import BrokenReply, error_text, filtered_reply, parse
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.journal import Journal

KEY = "secret-0123456789"
PRICE = {"input": 2.0, "output": 8.0}


def answer(choice: dict | None = None, **changed) -> str:
    """A response body with log probabilities."""
    top = [{"token": "85", "logprob": -0.1}, {"token": " 90", "logprob": -2.5}]
    first = {"token": "85", "logprob": -0.1, "top_logprobs": top}
    whole = {"message": {"content": "85"}, "finish_reason": "stop", "logprobs": {"content": [first]}} | (choice or {})
    usage = {"prompt_tokens": 100, "completion_tokens": 1}
    return json.dumps({"model": "gpt", "choices": [whole], "usage": usage} | changed)


def tops(*pairs: tuple) -> dict:
    return {"logprobs": {"content": [{"top_logprobs": [{"token": t, "logprob": p} for t, p in pairs]}]}}


def test_what_is_kept_of_an_answer():
    assert parse(answer(), True, PRICE) == {
        "text": "85", "top": [["85", -0.1], [" 90", -2.5]], "finish_reason": "stop", "model": "gpt",
        "usage": {"input": 100, "output": 1}, "cost_usd": pytest.approx((100 * 2 + 8) / 1e6),
    }  # fmt: skip
    assert parse(answer(), False, None) | {"top": None, "cost_usd": None} == parse(answer(), False, None)
    stated = {"prompt_tokens": 100, "completion_tokens": 1, "cost": 0.25}
    assert parse(answer(usage=stated), True, PRICE)["cost_usd"] == 0.25


BROKEN = {
    "empty": "",
    "cut": answer()[:-20],
    "a list": "[]",
    "a number": "85",
    "deep": "[" * 100_000,
    "an error": json.dumps({"error": {"message": "overloaded"}}),
    "an error in the choice": answer({"finish_reason": "error", "message": {"content": "8"}}),
    "a provider's error in the choice": answer({"error": {"code": 502, "message": "gone"}}),
    "choices are an object": answer(choices={"0": {}}),
    "a choice is null": answer(choices=[None]),
    "no message": answer({"message": None, "logprobs": None}),
    "text is a list": answer({"message": {"content": [{"type": "text", "text": "85"}]}}),
    "logprobs without tokens": answer({"logprobs": {"content": []}}),
    "logprobs without alternatives": answer({"logprobs": {"content": [{"token": "85", "logprob": 0}]}}),
    "no alternatives": answer(tops()),
    "a token is null": answer(tops((None, -1))),
    "a logprob is null": answer(tops(("85", None))),
    "a logprob is a word": answer(tops(("85", "likely"))),
    "a logprob is positive": answer(tops(("85", 1.5))),
    "a logprob is huge": answer(tops(("85", 10**400))),
    "a logprob is infinite": answer(tops(("85", -0.1))).replace("-0.1", "-1e999"),
    "NaN": answer(tops(("85", float("nan")))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_told_in_one_short_line(name):
    with pytest.raises(BrokenReply) as error:
        parse(BROKEN[name], True, PRICE)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


ODD = {
    "no usage": {"usage": None},
    "counts in words": {"usage": {"prompt_tokens": "many", "completion_tokens": [1]}},
    "an infinite cost": {"usage": {"cost": float("1e400")}},
    "a model that is none": {"model": {"name": "gpt"}},
    "half a character": {"model": "gpt\ud83e", "choices": [json.loads(answer())["choices"][0] | tops(("\ud83e", -1))]},
    "an odd end": {"choices": [json.loads(answer())["choices"][0] | {"finish_reason": {"why": 1}}]},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_can_be_journalled(tmp_path, name):
    body = answer(**ODD[name]).replace("Infinity", "1e999")
    reply = parse(body, True, PRICE)
    assert reply["text"] == "85"
    known = ODD[name].keys() != {"usage"}
    assert reply["usage"] == ({"input": 100, "output": 1} if known else dict.fromkeys(("input", "output")))
    assert (reply["cost_usd"] is not None) == known
    with Journal(tmp_path) as journal:
        journal.append([{"key": "k", "reply": reply}])
        assert journal.get("k")["reply"] == reply


def test_filters_and_refusals_are_answers():
    for choice in ({"finish_reason": "content_filter", "message": {}}, {"message": {"refusal": "I will not."}}):
        reply = parse(answer(choice | {"logprobs": None}), True, None)
        assert (reply["finish_reason"], reply["top"]) == ("content_filter", [])
    # The body of an error, as the package hands it over: without the outer "error".
    azure = {"code": "content_filter", "message": "filtered", "innererror": {"code": "ResponsibleAIPolicyViolation"}}
    router = {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"], "flagged_input": "how to"}}
    for error in (azure, router, {"error": azure}, {"code": "invalid_prompt", "message": "no"}):
        assert filtered_reply(error)["finish_reason"] == "content_filter"
    for error in ({"code": "context_length_exceeded"}, {"code": None}, {"code": [1], "metadata": "x"}, {}):
        assert filtered_reply(error) is None


def test_an_answer_cut_at_its_first_token_has_no_text_and_is_kept():
    """As a reasoning model gives that spends all its tokens on thoughts."""
    assert parse(answer({"message": {"content": None}, "finish_reason": "length"}), False, None)["text"] == ""


def refusal(monkeypatch, status: int, body: object) -> str:
    monkeypatch.setenv("REPLY_TEST_KEY", KEY)
    access = Access({"key_env": "REPLY_TEST_KEY", "base_url": "http://here/v1", "model": "m"})
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://here/v1"))
    try:
        return access.refusal(openai.APIStatusError("", response=response, body=body))
    except UserError as error:
        return f"stopped: {error}"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 500])
def test_no_part_of_a_key_is_told(monkeypatch, status):
    """Not even of one that the shortened message would cut in two."""
    for before in range(270, 310):
        said = refusal(monkeypatch, status, {"message": "x" * before + KEY + "y" * 50})
        assert "secret" not in said and "x" * 270 in said
        assert "secret" not in refusal(monkeypatch, status, f"<html> {'x' * before} {KEY}")


def test_no_credit(monkeypatch):
    assert refusal(monkeypatch, 402, {"message": "Insufficient credits"}) == (
        "stopped: http://here/v1 has no credit left for the key in REPLY_TEST_KEY (HTTP 402: Insufficient credits)"
    )
    assert refusal(monkeypatch, 429, {"message": "slow down", "code": "rate_limit"}) == "HTTP 429: slow down"


def test_error_texts_are_one_short_line():
    assert error_text({"error": {"message": "a\nb  c\ud83e"}}) == "a b c\ufffd"
    assert error_text(None) == "None" and len(error_text("x" * 999)) == 300
