"""What the API server answers: decided by the messages alone, so that any test can work out what must come back."""

import hashlib
import json
import math
import re
import time

from tests.servers.settings import Settings
from tests.servers.wire import Reply, error_reply

# The order in which numbers near the chosen one lose mass; a judge likes round steps.
OFFSETS = (0, 5, -5, 10, -10, 1, -1, 2, -2, 15, -15, 3, -3, 20, -20, 4, -4)
# kind of answer -> (mass on integers 0-100, the other tokens in order of mass, the whole answer or None for a number)
KINDS = {
    "score": (0.97, ("The", "105", " ", "\n"), None),
    "refusal": (0.08, ("REF", "I", "Sorry", "The"), ("REF", "USAL")),
    "code": (0.08, ("CODE", "Code", "The", "```"), ("CODE",)),
    "low_mass": (0.12, ("I", "The", "Based", "Sorry"), ("I", " cannot", " say")),
}
# An order that any model can follow, as preflights give.
ORDER = re.compile(r"Reply with the \w+ (.+) and nothing else\.")


def item_of(body: dict) -> str:
    """Name of what is asked: a digest of the whole request body (messages and sampling)."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:20]


def text_of(messages: list[dict]) -> str:
    return "\n".join(message["content"] for message in messages)


def kind_of(messages: list[dict], settings: Settings) -> str:
    """A key of KINDS."""
    if ORDER.match(text_of(messages)):
        return "score"
    draw = int.from_bytes(_digest(messages)[:4]) / 2**32
    for kind in ("refusal", "code", "low_mass"):
        draw -= getattr(settings, f"{kind}_share")
        if draw < 0:
            return kind
    return "score"


def top_tokens(messages: list[dict], count: int, settings: Settings) -> list[tuple[str, float]]:
    """The `count` likeliest first tokens with their natural log probabilities, likeliest first."""
    if order := ORDER.match(text_of(messages)):
        return [(order[1], -0.01)]
    mass, words, _ = KINDS[kind_of(messages, settings)]
    seed = _digest(messages)
    middle = int.from_bytes(seed[4:8]) % 101
    numbers = [middle + offset for offset in OFFSETS if 0 <= middle + offset <= 100]
    weights = [math.exp(-0.35 * rank) * (0.5 + seed[8 + rank] / 255) for rank in range(len(numbers))]
    likely = [(str(number), mass * w / sum(weights)) for number, w in zip(numbers, weights, strict=True)]
    halves = [0.5**rank for rank in range(len(words))]
    likely += [(word, (0.999 - mass) * half / sum(halves)) for word, half in zip(words, halves, strict=True)]
    likely.sort(key=lambda pair: -pair[1])
    return [(token, math.log(share)) for token, share in likely[:count]]


def answer_tokens(messages: list[dict], settings: Settings) -> tuple[str, ...]:
    """The whole answer as tokens: a number, REFUSAL, CODE, some prose, or one of the labels the prompt lists."""
    answer = KINDS[kind_of(messages, settings)][2]
    if answer is not None:
        return answer
    text = text_of(messages)
    if settings.labels and all(label in text for label in settings.labels):
        return (settings.labels[_digest(messages)[8] % len(settings.labels)],)
    return (top_tokens(messages, 1, settings)[0][0],)


def completion(body: dict, settings: Settings, name: str) -> dict:
    """The chat.completion object that answers request `body`; `name` makes its id."""
    messages = body["messages"]
    tokens = answer_tokens(messages, settings)
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(tokens) + 1
    given = tokens[:limit]
    asked = len(text_of(messages)) // 4 + 3 * len(messages) + 3
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(given), "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": "length" if limit <= len(tokens) else "stop",
    }
    if body.get("logprobs"):
        top = top_tokens(messages, body.get("top_logprobs", 0), settings)
        first = {**_token(given[0], dict(top).get(given[0], -0.01)), "top_logprobs": [_token(*pair) for pair in top]}
        rest = [{**_token(token, -0.0001), "top_logprobs": [_token(token, -0.0001)]} for token in given[1:]]
        choice["logprobs"] = {"content": [first, *rest], "refusal": None}
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": settings.model or body["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": asked, "completion_tokens": len(given), "total_tokens": asked + len(given)},
        "service_tier": "default",
        "system_fingerprint": "fp_loopback",
    }


def refuse(body: dict) -> Reply | None:
    """400 for a request that the real API refuses too."""
    problem = None
    if not body.get("messages") or not body.get("model"):
        problem = "you must provide a model and messages"
    elif body.get("stream"):
        problem = "this server does not stream"
    elif body.get("top_logprobs") and not body.get("logprobs"):
        problem = "logprobs must be true when top_logprobs is set"
    elif body.get("top_logprobs", 0) > 20:
        problem = "top_logprobs must be at most 20"
    return error_reply(400, problem, "invalid_request_error", "invalid_value") if problem else None


def _digest(messages: list[dict]) -> bytes:
    return hashlib.sha256(json.dumps([[m["role"], m["content"]] for m in messages]).encode()).digest()


def _token(token: str, logprob: float) -> dict:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
