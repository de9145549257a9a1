"""What a vLLM server is asked for and how a reply is read: all that decides an answer, besides the model and vLLM."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.em.asks import Ask, prompt_end
from workflow_scripts.em.chat import decoded, prompt_ids
from workflow_scripts.em.files import digest

# Settings that a server of the user's takes from the model's folder where a request leaves them out.
NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


class Prompt(NamedTuple):
    """A rendered prompt: its token ids, the digest of its text, and how the text ends before a prefill."""

    ids: list[int]
    digest: str
    end: str = ""


@dataclass(frozen=True)
class Group:
    """Samples of one prompt: one request. `places` are theirs in what is asked; `ask` is the first of them."""

    places: list[int]
    prompt: Prompt
    ask: Ask

    @property
    def greedy(self) -> bool:
        """Whether all samples are the one most likely answer."""
        return self.ask.sampling["temperature"] == 0

    @property
    def wanted(self) -> int:
        """Answers that the server is to give."""
        return 1 if self.greedy else len(self.places)


def rendered(tokenizer: Any, ask: Ask) -> Prompt:
    """The prompt of an ask."""
    text, ids = prompt_ids(tokenizer, ask.messages, ask.prefill)
    return Prompt(ids, digest(text), prompt_end(text, ask.prefill))


def groups(asks: list[tuple[int, Ask]], prompt: Callable[[Ask], Prompt], most: int) -> Iterator[Group]:
    """Cut `asks` (place, ask) into groups of at most `most`, whose samples have numbers that follow each other."""
    start = 0
    for end in range(1, len(asks) + 1):
        first, before = asks[start][1], asks[end - 1][1]
        if end < len(asks) and end - start < most:
            ask = asks[end][1]
            follows = ask.address == (*before.address[:-1], before.address[-1] + 1)
            if follows and (ask.messages, ask.prefill, ask.sampling) == (first.messages, first.prefill, first.sampling):
                continue
        yield Group([place for place, _ in asks[start:end]], prompt(first), first)
        start = end


def request(model: str, group: Group, stops: list[int]) -> dict[str, Any]:
    """The body of a completion request."""
    return NEUTRAL | {
        "model": model,
        "prompt": group.prompt.ids,
        "n": group.wanted,
        "seed": group.ask.shared_seed,
        "temperature": group.ask.sampling["temperature"],
        "top_p": group.ask.sampling["top_p"],
        "max_tokens": group.ask.sampling["max_new_tokens"],
        "stop_token_ids": stops,
        "return_token_ids": True,
    }


def choices_of(text: str, wanted: int) -> list[dict[str, Any]]:
    """`finish_reason` and `token_ids` of a response body's answers, in order. Raises ValueError when it lacks them."""
    data = json.loads(text)
    try:
        found = sorted(data["choices"], key=lambda choice: choice["index"])
        kept = [{"finish_reason": choice["finish_reason"], "token_ids": [*choice["token_ids"]]} for choice in found]
    except (LookupError, TypeError) as error:
        raise ValueError(f"no answers with token ids ({type(error).__name__}: {error})") from None
    if len(kept) != wanted or not all(type(token) is int for choice in kept for token in choice["token_ids"]):
        raise ValueError(f"{len(kept)} answers instead of {wanted}, or no token ids")
    return kept


def replies(tokenizer: Any, group: Group, choices: list[dict[str, Any]], stops: list[int]) -> list[dict[str, Any]]:
    """A reply for each sample of a group."""
    found = []
    for choice in choices:
        # Decoded here and whole, as the transformers backend does: the server decodes token by token.
        ids = choice["token_ids"]
        text = decoded(tokenizer, ids[:-1] if ids and ids[-1] in stops else ids, group.ask.prefill)
        found.append({"text": text, "n_tokens": len(ids), "finish_reason": choice["finish_reason"]})
    found = found * len(group.places) if group.greedy else found
    common = {"prompt_digest": group.prompt.digest, "prompt_end": group.prompt.end, "backend": "vllm"}
    return [reply | common | {"seed": group.ask.shared_seed + i} for i, reply in enumerate(found)]


def stop_tokens(folder: Path, tokenizer: Any, trusted: bool = False) -> list[int]:
    """Tokens that end an answer, of the model in `folder`: its generation settings' and the tokenizer's own.

    Without generation settings those of its config, as the transformers backend has them; `trusted`: with code of its
    own.
    """
    from transformers import AutoConfig, GenerationConfig

    if (folder / "generation_config.json").is_file():
        settings = GenerationConfig.from_pretrained(folder)
    else:
        settings = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder, trust_remote_code=trusted))
    found = settings.eos_token_id
    stops = found if isinstance(found, list) else [found]
    return sorted({stop for stop in [*stops, tokenizer.eos_token_id] if stop is not None})
