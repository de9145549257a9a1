"""The models that answer and write: a checkpoint run in process, one behind an engine, or one behind a server."""

import time
from collections.abc import Iterator
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from workflow_scripts.em import backends
from workflow_scripts.em.asks import NO_ROOM, Ask, Author, Done
from workflow_scripts.em.checkpoints import checkpoint_digest
from workflow_scripts.em.codedigest import code_digest
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, read_json
from workflow_scripts.em.gpus import claim
from workflow_scripts.em.judges import ERROR
from workflow_scripts.em.roles import DOCUMENT
from workflow_scripts.em.scratch import near

BACKEND = "workflow_scripts.em.backends.generate_transformers"
STEERING = "workflow_scripts.em.backends.steering"
ENGINE = "workflow_scripts.em.backends.engine_replies"
NOT_THERE = "{} responses are not in the journal; delete {} and run again"


def make_author(entry: dict[str, Any], batch_size: int) -> Author:
    """The author an entry describes.

    {"record", "checkpoint" (or None), "dtype"}: a model run here; with "steering" (a condition's, with `file`, the
    direction's) one that is steered. The same with "asked" (a file): one that was asked before, and what it said is in
    the journal; also with "engine" (`engine_version`'s answer): by an engine.
    {"api": keys of `ApiModel`}: one behind a server.
    """
    if "api" in entry:
        return ApiAuthor(entry["api"])
    if "engine" in entry:
        return ServedAuthor(entry)
    return AskedAuthor(entry, batch_size) if "asked" in entry else LocalAuthor(entry, batch_size)


def sampling(ask: Ask) -> list[float]:
    """How an ask is answered, as part of a journal's key."""
    return [ask.sampling[name] for name in ("temperature", "top_p", "max_new_tokens")]


class Loaded:
    """A base model in this process, loaded when the first of its checkpoints is asked."""

    def __init__(self, record: Path, dtype: str, several: bool = False):
        """`several`: more than one checkpoint is to be asked."""
        self.record, self.dtype, self.several = record, dtype, several

    @cached_property
    def _base(self) -> Any:
        claim(1)
        backends.without_bitsandbytes(self.record)
        from workflow_scripts.em.backends import models, one_base

        models.set_threads()
        return one_base.OneBase(near(models.read_record(self.record)), self.dtype, self.several)

    def at(self, checkpoint: Path | None) -> Any:
        """The `Generator` of a checkpoint, until another is asked for."""
        return self._base.at(checkpoint)


class LocalAuthor:
    """A base model or checkpoint, run in this process; `loaded` is what its checkpoints share."""

    def __init__(self, entry: dict[str, Any], batch_size: int, loaded: Loaded | None = None):
        self.entry, self.batch_size = entry, batch_size
        self.loaded = loaded or Loaded(entry["record"], entry["dtype"])
        self.checkpoint = Path(entry["checkpoint"]) if entry["checkpoint"] else None
        # Other versions may round otherwise: their answers are not passed off as these.
        versions = [metadata.version(name) for name in ("torch", "transformers", "peft")]
        base = read_json(entry["record"])["digest"]
        self.identity = [base, checkpoint_digest(self.checkpoint), entry["dtype"], code_digest(BACKEND), versions]
        self.steering = None
        if entry.get("steering"):
            from workflow_scripts.em.steering import read_steering

            self.steering = read_steering(entry["steering"])
            self.identity += [self.steering.identity, code_digest(STEERING)]
        # bfloat16 sums depend on the batch, so such an answer cannot be repeated exactly.
        self.repeatable = entry["dtype"] == "float32"

    def request(self, ask: Ask) -> list:
        """Messages and how they are answered."""
        return [ask.messages, ask.prefill, *sampling(ask)]

    def write(self, asks: list[Ask], done: Done) -> None:
        """Batch by batch. A conversation that has outgrown the model's context gets a reply of finish `no_room`."""
        generator = self._generator()
        work, places, prompts = [], [], {}
        for i, ask in enumerate(asks):
            # The samples of one prompt share it.
            asked = (repr(ask.messages), ask.prefill, *sampling(ask))
            if asked not in prompts:
                prompts[asked] = generator.prompt(ask)
            prompt = prompts[asked]
            if prompt is None:
                done([(i, {"text": "", "finish_reason": NO_ROOM})])
            else:
                work.append((prompt, ask.seed))
                places.append(i)
        for batch in generator.batches(work, self.batch_size):
            done([(places[j], completion.reply()) for j, completion in batch])

    def _generator(self) -> Any:
        generator = self.loaded.at(self.checkpoint)
        if self.steering is None:
            return generator
        from workflow_scripts.em.backends.steering import steered

        return steered(generator, self.steering)


class AskedAuthor(LocalAuthor):
    """A base model or checkpoint that the stage `ask_models` has asked: its answers are in the journal."""

    def __init__(self, entry: dict[str, Any], batch_size: int):
        super().__init__(entry, batch_size)
        self.asked = entry["asked"]

    def write(self, asks: list[Ask], done: Done) -> None:
        """Nothing: a base model is not loaded for one checkpoint."""
        raise UserError(NOT_THERE.format(len(asks), self.asked))


class ServedAuthor:
    """A model that an engine served: its answers are in the journal, where the stage `ask_engine` has put them."""

    def __init__(self, entry: dict[str, Any]):
        base = read_json(entry["record"])["digest"]
        checkpoint = Path(entry["checkpoint"]) if entry["checkpoint"] else None
        self.identity = [base, checkpoint_digest(checkpoint), entry["dtype"], code_digest(ENGINE), entry["engine"]]
        self.asked = entry.get("asked")
        # Sums depend on what else the engine had in its batch.
        self.repeatable = False

    def request(self, ask: Ask) -> list:
        """Messages and how they are answered."""
        return [ask.messages, ask.prefill, *sampling(ask), ask.shared_seed]

    def write(self, asks: list[Ask], done: Done) -> None:
        """Nothing: an engine is not started for one checkpoint."""
        raise UserError(NOT_THERE.format(len(asks), self.asked))


class ApiAuthor:
    """A model behind an OpenAI-compatible server, through the judges' client."""

    repeatable = False

    def __init__(self, spec: dict[str, Any]):
        self.spec = spec
        self.identity = [spec["base_url"].rstrip("/"), spec["model"]]

    def request(self, ask: Ask) -> dict[str, Any]:
        """The body of the request; an extra token limit takes the place of `max_tokens`. Servers take 31-bit seeds."""
        if ask.prefill or ask.messages[0]["role"] == DOCUMENT:
            raise UserError(
                f"{self.spec['model']}: a chat server takes neither raw text nor the beginning of an answer"
            )
        body = {
            "model": self.spec["model"],
            "messages": ask.messages,
            "temperature": ask.sampling["temperature"],
            "top_p": ask.sampling["top_p"],
            "max_tokens": ask.sampling["max_new_tokens"],
            "seed": ask.seed >> 32,
        } | self.spec["extra_body"]
        if body.get("max_completion_tokens") is not None:
            body["max_tokens"] = None
        return {name: value for name, value in body.items() if value is not None}

    def write(self, asks: list[Ask], done: Done) -> None:
        """Many at once."""
        from workflow_scripts.em.backends.chat_api import ask_all

        sent: dict[int, tuple[dict, float]] = {}

        def bodies() -> Iterator[tuple[int, dict]]:
            for i, ask in enumerate(asks):
                body = self.request(ask)
                sent[i] = body, time.monotonic()
                yield i, body

        def one(i: int, reply: dict) -> None:
            body, start = sent.pop(i)
            done([(i, reply if ERROR in reply else kept(body, reply, time.monotonic() - start))])

        ask_all(self.spec, bodies(), one)


def kept(body: dict[str, Any], reply: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A server's reply as the journal keeps it; `seconds` has waits for a turn and further tries in it.

    Of an answer that a filter kept back no text counts, neither a part nor the filter's own words (`filter_said`).
    """
    found = {name: value for name, value in reply.items() if name != "top"}
    found |= {"seed": body.get("seed"), "prompt_digest": digest(body["messages"])}
    found |= {"seconds": round(seconds, 3), "backend": "api"}
    filtered = reply["finish_reason"] == "content_filter"
    return found | ({"text": "", "filter_said": reply["text"]} if filtered else {})
