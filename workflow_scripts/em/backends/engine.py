"""Asking a vLLM server for responses: prompts as token ids, several samples a request, many requests at once."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from workflow_scripts.em.asks import Ask
from workflow_scripts.em.backends.engine_replies import Group, Prompt, choices_of, groups, replies, request
from workflow_scripts.em.backends.vllm_server import MEMORY_HINT, ServerGone
from workflow_scripts.em.errors import UserError

# Samples of one prompt that one request draws. More would make a killed job lose more; fewer cost the server's front
# end more than the engine.
SAMPLES = 16
CONNECT_S = 60.0
# Waits before it is asked again: what stands before a server of the user's may be busy, or about to be ready.
PAUSES_S = (1.0, 4.0, 15.0)
BUSY = (429, 502, 503)
REFUSED = (401, 403)


class Engine:
    """A connection to a server whose base model is called `base`. Made by `connected`."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, base: str, tokenizer: Any, stops: list[int], in_flight: int
    ):
        self.url, self.base = url.rstrip("/"), base
        self._session, self._tokenizer, self._stops = session, tokenizer, stops
        self._samples, self._free, self._turn = min(SAMPLES, in_flight), asyncio.Semaphore(in_flight), asyncio.Lock()
        # On a server of the user's, an adapter of the same name may be left from a killed run.
        self._run = secrets.token_hex(4)

    def groups(self, asks: list[tuple[int, Ask]], prompt: Callable[[Ask], Prompt]) -> list[Group]:
        """`groups` of the size that this engine is asked for."""
        return list(groups(asks, prompt, self._samples))

    @asynccontextmanager
    async def adapter(self, name: str, folder: Path | None) -> AsyncIterator[str]:
        """Serve the adapter in `folder` as `name` while the block runs (none: the base); yields the name to ask for.

        Raises UserError when the server refuses it.
        """
        if folder is None:
            yield self.base
            return
        name = f"{name}-{self._run}"
        status, text = await self._post("/load_lora_adapter", {"lora_name": name, "lora_path": str(folder.resolve())})
        # vLLM answers 500 for an adapter that it cannot take, too.
        gone = "EngineDead" in text or "EngineCore" in text or status in (*BUSY, *REFUSED)
        if status != 200 and not gone:
            raise UserError(f"checkpoint {folder}: vLLM does not take its adapter: {_said(text)}{_hint(status, text)}")
        self._answered("/load_lora_adapter", status, text)
        try:
            yield name
        finally:
            self._answered("/unload_lora_adapter", *await self._post("/unload_lora_adapter", {"lora_name": name}))

    async def complete(self, model: str, group: Group) -> list[dict[str, Any]]:
        """A reply for each sample of a group, in order. Raises ServerGone when the server does not answer."""
        async with self._room(group.wanted):
            start = time.perf_counter()
            status, text = await self._post("/completions", request(model, group, self._stops))
            seconds = round(time.perf_counter() - start, 3)
        self._answered("/completions", status, text)
        try:
            choices = choices_of(text, group.wanted)
        except ValueError as error:
            raise UserError(f"{self.url}: {error}; is it a vLLM server?") from None
        for choice in choices:
            # An engine that is stopped hands out what it has, as finished by `abort`.
            if choice["finish_reason"] not in ("stop", "length"):
                raise ServerGone(f"{self.url}: it broke off an answer ({choice['finish_reason']})")
        return [reply | {"seconds": seconds} for reply in replies(self._tokenizer, group, choices, self._stops)]

    @asynccontextmanager
    async def _room(self, responses: int) -> AsyncIterator[None]:
        """Wait for room for so many responses, in order: a large request is not overtaken for ever."""
        async with self._turn:
            for _ in range(responses):
                await self._free.acquire()
        try:
            yield
        finally:
            for _ in range(responses):
                self._free.release()

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        for pause in (*PAUSES_S, None):
            try:
                async with self._session.post(self.url + path, json=body) as answer:
                    found = answer.status, await answer.text(errors="replace")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ServerGone(f"{self.url}: no answer ({type(error).__name__}: {error})") from None
            if found[0] not in BUSY or pause is None:
                break
            await asyncio.sleep(pause)
        return found

    def _answered(self, path: str, status: int, text: str) -> None:
        said = f"{self.url}{path}: HTTP status {status}: {_said(text)}{_hint(status, text)}"
        if status >= 500 or status in BUSY:
            raise ServerGone(said)
        if status != 200:
            raise UserError(said)


def _said(text: str) -> str:
    try:
        found = json.loads(text)
        return str(found.get("message") or found["error"]["message"])[:500]
    except (ValueError, LookupError, AttributeError, TypeError):
        return text[:500]


def _hint(status: int, text: str) -> str:
    if status in REFUSED:
        return "; put the server's key into the environment variable (or `.env` entry) VLLM_API_KEY"
    hints = {
        "out of memory": f"take {MEMORY_HINT}",
        "maximum context length": "lower max_new_tokens of the question set, or raise generation.engine.max_model_len",
        "max_lora_rank": "start the server with a --max-lora-rank of at least that, or set generation.backend: "
        "transformers",
        "DoRA": "set generation.backend: transformers",
        "Not Found": "start a server of yours with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True",
        "No adapter found": "a server of yours must see this folder under the same path",
        "does not exist": "start a server of yours with --served-model-name set to that name",
        "LoRA": "start a server of yours with --enable-lora; if it has that, set generation.backend: transformers",
        "lora": "set generation.backend: transformers",
    }
    return next((f"; {hint}" for words, hint in hints.items() if words in text), "")


@asynccontextmanager
async def connected(
    url: str, base: str, tokenizer: Any, stops: list[int], in_flight: int, key: str | None = None
) -> AsyncIterator[Engine]:
    """An `Engine` while the block runs; at most `in_flight` responses are asked for at once."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # An answer may take as long as it takes; a dead server is noticed by its process.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    # A connection each: the server closes idle ones, maybe at the moment in which one is used again.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
        yield Engine(session, url, base, tokenizer, stops, in_flight)
