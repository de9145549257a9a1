"""Chat requests answered in process by transformers: first-token probabilities, or a written answer."""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import GenerationConfig

from workflow_scripts.em.backends.generate_transformers import Generator, Prompt
from workflow_scripts.em.backends.models import device
from workflow_scripts.em.chat import prompt_ids
from workflow_scripts.em.judges import ERROR

Numbered = list[tuple[int, Prompt]]


class JudgeModel:
    """A model that answers chat requests; replies name it `name`. Raises UserError when it cannot be loaded."""

    def __init__(self, record: dict[str, Any], dtype: str, name: str):
        self.name = name
        self.generator = Generator(record, None, dtype)
        self.tokenizer, self.model = self.generator.tokenizer, self.generator.model

    def replies(self, asked: list[tuple[dict, int]], batch_size: int) -> Iterator[tuple[int, dict]]:
        """Answer (request body, sampling seed) pairs. Yields (index into `asked`, raw reply), batch by batch.

        A prompt that does not fit the model's context gives {"error": why}.
        """
        first: Numbered = []
        written: Numbered = []
        for index, (body, _) in enumerate(asked):
            prompt = self._prompt(body)
            needed = len(prompt.ids) + prompt.max_new_tokens
            if self.generator.limit and needed > self.generator.limit:
                why = f"prompt and answer need {needed} tokens; the judge's context has {self.generator.limit}"
                yield index, {ERROR: why}
            else:
                (first if body.get("logprobs") else written).append((index, prompt))
        length = lambda numbered: len(numbered[1].ids)  # noqa: E731
        # The longest come first, so memory peaks at the start.
        first.sort(key=length, reverse=True)

        def read(batch: Numbered) -> list[list[tuple[int, float]]]:
            return self._first_tokens([prompt for _, prompt in batch], asked[batch[0][0]][0]["top_logprobs"])

        for batch, tops in self.generator.fitting.batches(first, batch_size, read, length):
            for (index, prompt), top in zip(batch, tops, strict=True):
                yield index, self._first_reply(prompt, top)
        work = [(prompt, asked[index][1]) for index, prompt in written]
        for batch in self.generator.batches(work, batch_size):
            for place, answer in batch:
                index, prompt = written[place]
                yield index, self._reply(prompt, answer.text, None, answer.finish_reason, answer.n_tokens)

    def _prompt(self, body: dict[str, Any]) -> Prompt:
        text, ids = prompt_ids(self.tokenizer, body["messages"])
        return Prompt(text, ids, body.get("temperature", 0.0), body.get("top_p", 1.0), body["max_tokens"])

    @torch.inference_mode()
    def _first_tokens(self, prompts: list[Prompt], n: int) -> list[list[tuple[int, float]]]:
        """The `n` likeliest first tokens of each prompt, likeliest first, with log probabilities (float32)."""
        inputs = self.tokenizer.pad({"input_ids": [p.ids for p in prompts]}, return_tensors="pt").to(device())
        # One token is one forward pass, and generate() knows each architecture's positions under left padding.
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=1,
            pad_token_id=self.tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits = self.model.generate(**inputs, generation_config=config).logits[0]
        self.generator.refuse_broken(bool(logits.amax(-1).isfinite().all()))
        top = logits.float().log_softmax(-1).topk(min(n, logits.shape[-1]))
        rows = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return [list(zip(ids, logprobs, strict=True)) for ids, logprobs in rows]

    def _first_reply(self, prompt: Prompt, top: list[tuple[int, float]]) -> dict[str, Any]:
        likeliest = top[0][0]
        text = self.tokenizer.decode([likeliest], skip_special_tokens=True)
        finish = "stop" if likeliest == self.tokenizer.eos_token_id else "length"
        tokens = [[self.tokenizer.decode([token]), logprob] for token, logprob in top]
        return self._reply(prompt, text, tokens, finish, 1)

    def _reply(self, prompt: Prompt, text: str, top: list | None, finish_reason: str, n_tokens: int) -> dict[str, Any]:
        return {
            "text": text,
            "top": top,
            "finish_reason": finish_reason,
            "model": self.name,
            "usage": {"input": len(prompt.ids), "output": n_tokens},
            "cost_usd": None,
        }
