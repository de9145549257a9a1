"""What a model is asked: a conversation to continue, with an address from which its seed comes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

NO_ROOM = "no_room"
# Characters; marks such as <think> are shorter.
PROMPT_END = 40
# Reports of answers: each one's place among what was asked, and a reply with at least `text` and `finish_reason`.
Done = Callable[[list[tuple[int, dict]]], None]


@dataclass(frozen=True)
class Ask:
    """A conversation (or one `document`) that a model is to continue, after `prefill`, the answer's given beginning.

    `sampling` has temperature, top_p and max_new_tokens. The seed depends on the address alone: on no batch, no order
    and no restart. The address ends with the sample's number where samples of one prompt share the rest.
    """

    messages: list[dict[str, str]]
    address: tuple
    sampling: dict[str, Any]
    prefill: str = ""

    @property
    def seed(self) -> int:
        """Sampling seed, 0 to 2**63 - 1."""
        return _seed(self.address)

    @property
    def shared_seed(self) -> int:
        """Seed for engines that draw several samples in one request and give each the seed after the one before."""
        return (_seed(self.address[:-1]) >> 1) + self.address[-1]


def prompt_end(text: str, prefill: str) -> str:
    """How a rendered prompt ends before `prefill`, the given beginning: shows a mark that the chat template opens."""
    return text.removesuffix(prefill).rstrip()[-PROMPT_END:]


def _seed(address: tuple) -> int:
    return int.from_bytes(hashlib.sha256(repr(address).encode()).digest()[:8]) >> 1


class Author(Protocol):
    """A model that writes. `identity` and `request` cover everything that decides an answer, besides the seed."""

    identity: Any
    repeatable: bool

    def request(self, ask: Ask) -> Any:
        """What is asked, as plain data."""
        ...

    def write(self, asks: list[Ask], done: Done) -> None:
        """Answer in any order; hand the answers to `done` as they come. {"error": why} is no answer."""
        ...
