"""What a chat server answered: taken apart and checked, since a broken answer often comes with status 200."""

import json
import math
from typing import Any

# Providers' names for "this prompt or answer was filtered": an answer of theirs, the same next time.
FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation"}


class BrokenReply(Exception):
    """An answer that is no answer; worth another try. `passes`: whether the server may do better by waiting alone."""

    def __init__(self, why: str, passes: bool = True):
        super().__init__(why)
        self.passes = passes


def parse(body: str, logprobs: bool, price: dict[str, float] | None) -> dict[str, Any]:
    """The raw reply a journal keeps (text, top, finish_reason, model, usage, cost_usd) from a response body.

    logprobs: whether the request asked for them. price: USD a million tokens ("input", "output"), or None.
    Raises BrokenReply when it is no JSON, holds an error, has no choice, or lacks what was asked for.
    """
    data = _loaded(body)
    if data.get("error"):
        raise BrokenReply(f"an error with status 200: {error_text(data)}")
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BrokenReply("an answer without choices")
    choice = choices[0]
    message = choice.get("message") if isinstance(choice.get("message"), dict) else {}
    finish = _string(choice.get("finish_reason"))
    if finish == "error" or choice.get("error"):
        raise BrokenReply(f"an error with status 200: {error_text(choice)}")
    filtered = finish == "content_filter" or bool(message.get("refusal"))
    text = message.get("content") or message.get("refusal") or ""
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    counts = {"input": _count(usage.get("prompt_tokens")), "output": _count(usage.get("completion_tokens"))}
    billed = (counts["output"] or 0) > 1
    # An empty answer that was billed is one: thoughts that filled the limit, or a call of a tool.
    if not isinstance(text, str) or not (text or logprobs or filtered or finish == "length" or billed):
        raise BrokenReply("an answer without text")
    top = None
    if logprobs:
        top = [] if filtered else _top(choice)
    return {
        "text": clean(text),
        "top": top,
        "finish_reason": "content_filter" if filtered else finish,
        "model": _string(data.get("model")),
        "usage": counts,
        "cost_usd": _cost(usage.get("cost"), counts, price),
    }


def filtered_reply(data: dict[str, Any]) -> dict[str, Any] | None:
    """The reply to a request the provider's filter turned down; None when it was turned down otherwise."""
    error = data.get("error") if isinstance(data.get("error"), dict) else data
    inner, about = (error.get(key) if isinstance(error.get(key), dict) else {} for key in ("innererror", "metadata"))
    # OpenRouter names no code: it answers 403 with what was flagged.
    if not {str(error.get("code")), str(inner.get("code"))} & FILTERED and "flagged_input" not in about:
        return None
    nothing = {"input": 0, "output": 0}
    filtered = {"text": error_text(data), "top": [], "finish_reason": "content_filter"}
    return filtered | {"model": None, "usage": nothing, "cost_usd": None}


def error_text(data: Any) -> str:
    """What an error body says, in one line of at most 300 characters."""
    found = data.get("error", data) if isinstance(data, dict) else data
    found = found.get("message", found) if isinstance(found, dict) else found
    return clean(" ".join(str(found).split()))[:300]


def clean(text: str) -> str:
    """Half a surrogate pair (a token may end within a character) cannot be written as UTF-8: it becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _string(value: Any) -> str | None:
    return clean(value) if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _loaded(body: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    try:
        data = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        # An answer that was cut off begins as JSON does; a page does not.
        cut = body.lstrip()[:1] in ("", "{")
        raise BrokenReply(f"an answer that is not JSON ({error}): {clean(body[:80])!r}", cut) from None
    if not isinstance(data, dict):
        raise BrokenReply("an answer that is no JSON object", passes=False)
    return data


def _top(choice: dict[str, Any]) -> list[list[Any]]:
    try:
        found = choice["logprobs"]["content"][0]["top_logprobs"]
        top = [[clean(item["token"]), float(item["logprob"])] for item in found]
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError):
        raise BrokenReply("an answer without logprobs", passes=False) from None
    if not top or not all(math.isfinite(logprob) for _, logprob in top):
        raise BrokenReply("an answer with broken logprobs")
    if sum(math.exp(min(logprob, 1.0)) for _, logprob in top) > 1.02:
        raise BrokenReply("an answer whose probabilities add up to more than 1")
    return top


def _cost(stated: Any, counts: dict[str, int | None], price: dict[str, float] | None) -> float | None:
    if isinstance(stated, int | float) and 0 <= stated < math.inf:
        return float(stated)
    if price is None or None in counts.values():
        return None
    return (counts["input"] * price["input"] + counts["output"] * price["output"]) / 1e6
