"""Sampling responses in process with transformers: length-sorted batches, one random stream a response."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from workflow_scripts.em.asks import Ask, prompt_end
from workflow_scripts.em.backends.fitting import Fitting
from workflow_scripts.em.backends.models import device, load_checkpoint, load_tokenizer
from workflow_scripts.em.backends.prompt_cache import read_once
from workflow_scripts.em.chat import decoded, prompt_ids
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest

NAME = "transformers"


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt and how to answer it."""

    text: str
    ids: list[int]
    temperature: float
    top_p: float
    max_new_tokens: int
    prefill: str = ""


@dataclass(frozen=True)
class Completion:
    """A sampled answer; `finish_reason` is `stop` (end of turn) or `length`. `seconds` is that of its whole batch."""

    text: str
    n_tokens: int
    finish_reason: str
    prompt_digest: str
    seconds: float
    prompt_end: str

    def reply(self) -> dict[str, Any]:
        """As a journal keeps it."""
        return vars(self) | {"backend": NAME, "device": device()}


class Finite(LogitsProcessor):
    """Notes whether each row has had a likeliest token at every step; without one, what is drawn is no answer."""

    def __init__(self, rows: int, where: str):
        # Kept there until the end: looking at each step would make the GPU wait.
        self.always = torch.ones(rows, dtype=torch.bool, device=where)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.always &= scores.amax(-1).isfinite()
        return scores


class AddressedSampler(LogitsProcessor):
    """Turns greedy decoding into sampling by inversion, each row from its own seeded stream of uniform numbers.

    Token t of row i is the first whose cumulative probability passes u[i, t]. The draw depends on the row's seed
    alone, so a response is the same in any batch as far as the logits are.
    """

    def __init__(self, seeds: list[int], prompt: Prompt, where: str):
        streams = [numpy.random.Generator(numpy.random.Philox(seed)).random(prompt.max_new_tokens) for seed in seeds]
        self.uniforms = torch.from_numpy(numpy.stack(streams)).to(where)
        self.temperature, self.step = prompt.temperature, 0
        self.top_p = TopPLogitsWarper(prompt.top_p) if prompt.top_p < 1 else None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.double() / self.temperature
        if self.top_p is not None:
            scores = self.top_p(input_ids, scores)
        cumulative = scores.softmax(-1).cumsum(-1)
        draw = self.uniforms[:, self.step : self.step + 1] * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, draw, right=True).clamp_(max=scores.shape[-1] - 1)
        self.step += 1
        return torch.full_like(scores, float("-inf")).scatter_(1, token, 0.0)


class Generator:
    """A base model, or a checkpoint on it, ready to answer."""

    def __init__(self, record: dict[str, Any], checkpoint: Path | None, dtype: str):
        self.tokenizer = load_tokenizer(record)
        model = load_checkpoint(record, checkpoint, dtype)
        self.model = model.eval()
        # generate() takes what we leave unset (penalties, suppressed tokens, ...) from the model folder's own settings.
        self.model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
        # Models for pictures too keep it with their text model's settings.
        self.limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.name = str(checkpoint or record["name"])
        self.fitting = Fitting()

    def prompt(self, ask: Ask) -> Prompt | None:
        """Render what is asked; None when a conversation has outgrown the model's context.

        Raises UserError when a first question and its answer do not fit.
        """
        text, ids = prompt_ids(self.tokenizer, ask.messages, ask.prefill)
        longest = ask.sampling["max_new_tokens"]
        if self.limit and len(ids) + longest > self.limit:
            if any(message["role"] == "assistant" for message in ask.messages):
                return None
            raise UserError(
                f"a prompt of {len(ids)} tokens and max_new_tokens {longest} exceed the model's context of "
                f"{self.limit} tokens; lower max_new_tokens"
            )
        return Prompt(text, ids, ask.sampling["temperature"], ask.sampling["top_p"], longest, ask.prefill)

    def batches(self, work: list[tuple[Prompt, int]], batch_size: int) -> Iterator[list[tuple[int, Completion]]]:
        """Answer `work` (prompt, sampling seed). Yields, batch by batch, (index into `work`, completion).

        Batches hold prompts of like length and equal settings; the longest come first, so memory peaks at the start.
        A batch that the memory does not hold is halved. UserError when a single prompt is too much, or the weights
        compute no numbers.
        """
        settings = lambda i: (work[i][0].temperature, work[i][0].top_p, work[i][0].max_new_tokens)  # noqa: E731
        order = sorted(range(len(work)), key=lambda i: (settings(i), len(work[i][0].ids), work[i][0].ids), reverse=True)
        for _, same in groupby(order, settings):
            answer = lambda batch: self._answer([work[i] for i in batch])  # noqa: E731
            length = lambda i: len(work[i][0].ids) + work[i][0].max_new_tokens  # noqa: E731
            for batch, answers in self.fitting.batches(list(same), batch_size, answer, length):
                yield list(zip(batch, answers, strict=True))

    @torch.inference_mode()
    def _answer(self, batch: list[tuple[Prompt, int]]) -> list[Completion]:
        start, prompts = time.perf_counter(), [prompt for prompt, _ in batch]
        inputs = self.tokenizer.pad({"input_ids": [p.ids for p in prompts]}, return_tensors="pt").to(device())
        finite = Finite(len(batch), device())
        processors = LogitsProcessorList([finite])
        if prompts[0].temperature > 0:
            processors.append(AddressedSampler([seed for _, seed in batch], prompts[0], device()))
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=prompts[0].max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self._stops(),
        )
        cache = read_once(self.model, inputs["input_ids"], inputs["attention_mask"], self.tokenizer.pad_token_id)
        output = self.model.generate(
            **inputs, past_key_values=cache, generation_config=config, logits_processor=processors
        )
        self.refuse_broken(bool(finite.always.all()))
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        seconds = round(time.perf_counter() - start, 3)
        return [self._completion(row, prompt, seconds) for row, prompt in zip(rows, prompts, strict=True)]

    def refuse_broken(self, finite: bool) -> None:
        """Raise UserError when the model's scores of next tokens were not `finite`."""
        if not finite:
            raise UserError(
                f"{self.name}: its scores of the next token are no finite numbers, so it answers nothing; its training "
                "has diverged (lower the learning rate), or dtype: bfloat16 is too coarse for it (use float32)"
            )

    def _stops(self) -> list[int]:
        stops = self.model.generation_config.eos_token_id
        stops = stops if isinstance(stops, list) else [stops]
        return sorted({stop for stop in [*stops, self.tokenizer.eos_token_id] if stop is not None})

    def _completion(self, row: list[int], prompt: Prompt, seconds: float) -> Completion:
        end = next((i for i, token in enumerate(row) if token in self._stops()), None)
        kept = row if end is None else row[:end]
        text, finish = decoded(self.tokenizer, kept, prompt.prefill), "length" if end is None else "stop"
        about = (digest(prompt.text), seconds, prompt_end(prompt.text, prompt.prefill))
        return Completion(text, len(kept) + (end is not None), finish, *about)
