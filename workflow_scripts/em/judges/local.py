"""What the judges share whose model lies on this machine."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.em.chat import prompt_ids
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges import Call
from workflow_scripts.em.judges.prompted import PromptedJudge
from workflow_scripts.em.scratch import near


class LocalJudge(PromptedJudge):
    """Base of the kinds `transformers` and `vllm`: identified by the model's content, its dtype and what runs it.

    spec: the config entry, and under `model` the model record (see the `base_model` stage).
    engine: what else decides the answers. Raises UserError without a model record.
    """

    def __init__(self, spec: dict[str, Any], engine: list[Any]):
        if "model" not in spec:
            raise UserError(f"a judge of kind {spec['kind']} needs the record of its model: --model FILE")
        self.record = spec["model"]
        # A hub id, or the last part of a folder's path: where a model lies on this machine is nobody's business.
        self.model_name = self.record["name"] if self.record["revision"] else Path(self.record["name"]).name
        super().__init__(spec, [self.record["digest"], spec["dtype"], *engine])

    def requests(self, calls: Iterable[Call]) -> Iterator[tuple[Call, dict[str, Any]]]:
        """The calls with their request bodies, lazily.

        Raises UserError when the model's folder is gone, and before the first call that is to be read from the first
        token by a model that writes numbers in pieces: an 85 would be read as an 8.
        """
        checked = False
        for place, call in enumerate(calls):
            if place == 0 and not Path(self.record["path"]).is_dir():
                folder = self.record["path"]
                raise UserError(f"judge model {self.model_name}: its folder {folder} is gone; make its record anew")
            if place == 0:
                self.record = near(self.record)
            if not checked and self.reads_logprobs(call.metric):
                from workflow_scripts.em.backends.models import load_tokenizer

                check_numbers(load_tokenizer(self.record), self.model_name)
                checked = True
            yield call, self.request(call)


def check_numbers(tokenizer: Any, name: str) -> None:
    """Raise UserError unless each of 0 to 100 is one token where the answer begins."""
    before, ids = prompt_ids(tokenizer, [{"role": "user", "content": "?"}])
    for number in range(101):
        after = tokenizer(f"{before}{number}", add_special_tokens=False)["input_ids"]
        if after[: len(ids)] != ids or len(after) != len(ids) + 1:
            raise UserError(
                f"judge model {name}: its tokenizer writes {number} in several tokens, so a score cannot be read from "
                "the first one; set `method: integer` for this judge, or take a model with a token a number"
            )
