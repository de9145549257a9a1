"""What an engine is to generate for many checkpoints of one base model, and doing it; answers go to their journals."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.em.answers import journal_of, missing
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.authors import ServedAuthor
from workflow_scripts.em.checkpoints import is_adapter
from workflow_scripts.em.data.private import find_secret
from workflow_scripts.em.engine_options import check_served, engine_version, server_arguments
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, dumps
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.progress import Progress
from workflow_scripts.em.scratch import near

CHECK_S = 10.0
# An engine that dies takes its server with it, but not at once.
DEATH_S = 20.0


class Work:
    """What the journals lack of all checkpoints' responses."""

    def __init__(
        self,
        model: Path,
        checkpoints: list[list],
        asks: Callable[..., list[Ask]],
        dtype: str,
        engine: dict[str, Any],
        journal: Path,
    ):
        """`checkpoints`: [organism, seed, stage, step, folder or None]; `asks`: what one is asked.

        `engine` is the config's `generation.engine`, `journal` the folder of the response journals.
        """
        self.model, self.asks_of, self.dtype, self.engine, self.journal = model, asks, dtype, engine, journal
        self.identity = ["vllm", engine_version(self.engine), self.engine["arguments"]]
        self.tokens, self.seconds = 0, 0.0
        self.responses = self.todo = 0
        # Checkpoints may have the same weights (two organisms' first, say): they are one author, served once.
        self.authors: dict[str, tuple[ServedAuthor, Path | None, list[list]]] = {}
        for *at, folder in checkpoints:
            author = ServedAuthor({"record": model, "checkpoint": folder, "dtype": dtype, "engine": self.identity})
            entry = (author, folder and Path(folder), [])
            self.authors.setdefault(digest(author.identity), entry)[2].append(at)
        for author, _, places in self.authors.values():
            asks = self._asks(places)
            with Journal(journal_of(self.journal, author)) as found:
                self.responses, self.todo = self.responses + len(asks), self.todo + len(missing(author, asks, found))

    def _asks(self, places: list[list]) -> list[Ask]:
        return [ask for at in places for ask in self.asks_of(*at)]

    def run(self) -> None:
        """Start a server (or take the user's) and ask for what is missing.

        Raises ServerGone when the server dies, UserError when starting it again would not help. What cannot be asked is
        known before a server is started.
        """
        from workflow_scripts.em.backends.models import load_tokenizer, read_record
        from workflow_scripts.em.backends.vllm_server import serving

        start, self.record = time.perf_counter(), near(read_record(self.model))
        self.tokenizer, self.prompts = load_tokenizer(self.record), {}
        self._render()
        folders = [folder for _, folder, _ in self.authors.values() if folder]
        weights = next((folder for folder in folders if not is_adapter(folder)), None)
        if url := self.engine["url"]:
            if weights:
                raise UserError(
                    f"checkpoint {weights}: the server at generation.engine.url serves the base model, and this "
                    "checkpoint has other weights; take out `url`, and a server is started for each such checkpoint"
                )
            check_served(url, self.record["name"], find_secret("VLLM_API_KEY"))
            asyncio.run(self._ask(url, None, None))
        else:
            options = (self.dtype, self.engine["python"], server_arguments(self.engine, self.identity[1], folders))
            with serving(self.record, self.record["name"], *options, weights) as server:
                asyncio.run(self._ask(server.url, server, weights))
        self.seconds += time.perf_counter() - start

    async def _ask(self, url: str, server: Any, weights: Path | None) -> None:
        from workflow_scripts.em.backends.engine import connected
        from workflow_scripts.em.backends.engine_replies import stop_tokens
        from workflow_scripts.em.backends.vllm_server import ServerGone

        key = find_secret("VLLM_API_KEY") if self.engine["url"] else None
        stops = stop_tokens(weights or Path(self.record["path"]), self.tokenizer, self.record["trust_remote_code"])
        how = (self.record["name"], self.tokenizer, stops, self.engine["in_flight"], key)
        slots = asyncio.Semaphore(self.engine["adapters"])
        self.progress = Progress("generate", self.responses, "responses")
        self.progress.known(self.responses - self.todo)
        async with connected(url, *how) as engine:
            try:
                async with asyncio.TaskGroup() as tasks:
                    watched = tasks.create_task(self._watch(server))
                    async with asyncio.TaskGroup() as asking:
                        for author, folder, places in self.authors.values():
                            asking.create_task(self._author(engine, slots, author, None if weights else folder, places))
                    watched.cancel()
            except ExceptionGroup as group:
                # Of the many requests that fail together, one says it; what the user can mend comes first.
                errors = sorted(_leaves(group), key=lambda error: not isinstance(error, UserError))
                if server:
                    await asyncio.to_thread(server.died, DEATH_S if isinstance(errors[0], ServerGone) else 0)
                raise errors[0] from None

    async def _watch(self, server: Any) -> None:
        """Notice that the server has died."""
        while server:
            await asyncio.sleep(CHECK_S)
            server.check()

    async def _author(
        self, engine: Any, slots: asyncio.Semaphore, author: ServedAuthor, folder: Path | None, places: list[list]
    ) -> None:
        async with slots:
            asks = self._asks(places)
            with Journal(journal_of(self.journal, author)) as journal:
                todo = missing(author, asks, journal)
                if not todo:
                    return
                journal.open()
                names = list(todo)
                groups = engine.groups([(place, ask) for place, (_, ask) in enumerate(todo.values())], self._prompt)

                async def one(group: Any, model: str) -> None:
                    replies = await engine.complete(model, group)
                    pairs = zip(group.places, replies, strict=True)
                    journal.append([{"key": names[place], "reply": reply} for place, reply in pairs])
                    self.todo -= len(replies)
                    self.progress.add(len(replies))
                    # A greedy answer is made once, whatever number of samples it stands for.
                    self.tokens += sum(reply["n_tokens"] for reply in replies[: group.wanted])

                async with engine.adapter(digest(author.identity), folder) as model, asyncio.TaskGroup() as tasks:
                    for group in groups:
                        tasks.create_task(one(group, model))

    def _render(self) -> None:
        """Render all prompts. Raises UserError for one that the template refuses or that is too long."""
        limit = self.engine["max_model_len"] or self.record.get("max_positions")
        for _, _, places in self.authors.values():
            for ask in self._asks(places):
                prompt, longest = self._prompt(ask), ask.sampling["max_new_tokens"]
                if limit and len(prompt.ids) + longest > limit:
                    said = ask.messages[-1]["content"][-60:]
                    raise UserError(
                        f"a prompt of {len(prompt.ids)} tokens and max_new_tokens {longest} exceed the engine's "
                        f"context of {limit} tokens (it ends with {said!r}); lower max_new_tokens "
                        "of the question set, or raise generation.engine.max_model_len"
                    )

    def _prompt(self, ask: Ask) -> Any:
        """Rendered once, although every checkpoint is asked it."""
        from workflow_scripts.em.backends.engine_replies import rendered

        name = dumps([ask.messages, ask.prefill])
        if name not in self.prompts:
            self.prompts[name] = rendered(self.tokenizer, ask)
        return self.prompts[name]


def _leaves(group: ExceptionGroup) -> list[Exception]:
    """The errors of a group of groups."""
    parts = (_leaves(part) if isinstance(part, ExceptionGroup) else [part] for part in group.exceptions)
    return [error for part in parts for error in part]
