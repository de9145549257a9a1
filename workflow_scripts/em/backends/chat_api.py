"""Many chat requests at once to an OpenAI-compatible server: bounded, rate-limited, tried again where that can help."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from workflow_scripts.em.backends.chat_access import Access, may_pass
from workflow_scripts.em.backends.chat_gate import Gate
from workflow_scripts.em.backends.chat_reply import BrokenReply, filtered_reply, parse
from workflow_scripts.em.backends.pacing import TryAgain, backoff, retry_after, tell
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import dumps
from workflow_scripts.em.judges import ERROR

AHEAD = 16
# So many requests in a row without one answer, and the server is taken to be down.
STREAK = 200
# Tries of a request made to see whether a server answers: seconds, where the full number takes a minute.
TO_SEE = 4
# Tries of a request where waiting does not help (a web page, no logprobs), while the server has answered none.
HOPELESS = 2


def ask_all(spec: dict[str, Any], requests: Iterable[tuple[Any, dict]], done: Callable[[Any, dict], None]) -> None:
    """Send (tag, request body) pairs, taken lazily, and hand (tag, raw reply) to `done` as each is answered.

    spec: a config entry of kind `openai`. A request that gets no answer after `attempts` tries, or that the server
    turns down for what is in it, gives {"error": why}. Raises UserError where no request can succeed: key missing or
    refused, no credit, no such model, a server that is down.
    """
    try:
        asyncio.run(_ask_all(ChatAPI(spec), iter(requests), done))
    except ExceptionGroup as group:
        # The first one tells; the other workers were cancelled for it or say the same.
        raise group.exceptions[0] from None


def ask_once(spec: dict[str, Any], body: dict) -> dict:
    """One request and its reply, as `ask_all`, to see whether the server answers: tried TO_SEE times at most."""
    replies: list[dict] = []
    spec = spec | {"concurrency": 1, "attempts": min(spec["attempts"], TO_SEE)}
    ask_all(spec, [(None, body)], lambda _, reply: replies.append(reply))
    return replies[0]


async def _ask_all(api: "ChatAPI", requests: Iterator[tuple[Any, dict]], done: Callable[[Any, dict], None]) -> None:
    streak = 0

    async def worker() -> None:
        nonlocal streak
        for tag, body in requests:
            reply = await api.reply(body)
            done(tag, reply)
            streak = streak + 1 if ERROR in reply else 0
            if streak >= STREAK:
                raise UserError(
                    f"{api.spec['base_url']}: the last {streak} requests had no answer; the last said: {reply[ERROR]}. "
                    "Earlier answers are kept; run again when the server answers"
                )

    async with api.client, asyncio.TaskGroup() as group:
        # More workers than requests in flight: some prepare requests or read answers while the others wait for theirs.
        for _ in range(api.spec["concurrency"] + AHEAD):
            group.create_task(worker())


class ChatAPI:
    """One server, one model, one key."""

    def __init__(self, spec: dict[str, Any]):
        self.spec = spec
        self._access = Access(spec)
        self._told = self._access.told
        self._gate = Gate(spec)
        self._answered = False
        # Retries, waits and the reading of answers are all here: the package neither wraps nor retries a broken body
        # with status 200, and gives up at once on a long Retry-After.
        self.client = AsyncOpenAI(
            api_key=self._access.key, base_url=spec["base_url"], max_retries=0, timeout=None, http_client=self._gate
        )

    async def reply(self, body: dict) -> dict:
        """The raw reply to one request, or {"error": why}. Raises UserError where no request can succeed."""
        for attempt in range(1, self.spec["attempts"] + 1):
            try:
                reply = await self._once(body)
            except TryAgain as error:
                why, wait, most = str(error), backoff(attempt - 1, error.after), self.spec["attempts"]
                # A server that answers others may be several, of which the next one may do better.
                if not (error.passes or self._answered):
                    most = min(most, HOPELESS)
            else:
                self._answered |= ERROR not in reply
                return reply
            if attempt >= most:
                break
            tell(f"{self.spec['base_url']}: {why}, try {attempt + 1} of {most}")
            await asyncio.sleep(wait)
        return {ERROR: f"{why} ({attempt} tries)"}

    async def _once(self, body: dict) -> dict:
        try:
            answer = await self.client.post("/chat/completions", content=dumps(body).encode(), cast_to=httpx2.Response)
            text = self._told(answer.content.decode(errors="replace"))
            return parse(text, body.get("logprobs", False), self.spec["price"])
        except TimeoutError:
            raise TryAgain(f"no answer within {self.spec['timeout_s']:g} s") from None
        except APIStatusError as error:
            return self._refused(error)
        except (APIConnectionError, httpx2.HTTPError) as error:
            raise TryAgain(f"no connection ({self._told(error.__cause__ or error)})") from None
        except BrokenReply as error:
            raise TryAgain(str(error), passes=error.passes) from None

    def _refused(self, error: APIStatusError) -> dict:
        """An error status: a reply if a filter gave it, TryAgain if it may pass, {"error"} for this request alone."""
        body = self._access.body(error)
        if isinstance(body, dict) and (filtered := filtered_reply(body)):
            return filtered
        said = self._access.refusal(error)
        if may_pass(error.status_code):
            after = retry_after(error.response.headers)
            if error.status_code in (429, 503):
                self._gate.pause(after)
            raise TryAgain(said, after)
        return {ERROR: said}
