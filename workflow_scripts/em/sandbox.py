"""A conversation with a checkpoint of a study, or with several side by side."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workflow_scripts.em.asks import NO_ROOM, Ask, Author
from workflow_scripts.em.authors import Loaded, LocalAuthor, make_author
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges import ERROR
from workflow_scripts.em.roles import DOCUMENT


@dataclass
class Side:
    """A model in a conversation: its entry for `make_author`, and the condition (of the config) it is asked under."""

    label: str
    entry: dict[str, Any]
    how: dict[str, Any] = field(default_factory=dict)
    author: Author | None = None
    turns: list[dict[str, str]] = field(default_factory=list)

    def ask(self, text: str, system: str | None, raw: bool, sampling: dict[str, Any], seed: int) -> Ask:
        """What the model gets: in raw mode the text as it stands, else the conversation with the text after it."""
        prefill = self.how.get("prefill") or ""
        # Every side draws the same random numbers.
        address = ("sandbox", seed, len(self.turns))
        if raw or self.how.get("mode") == "predictive":
            return Ask([{"role": DOCUMENT, "content": text}], address, sampling, prefill)
        system = system or self.how.get("system")
        opening = [{"role": "system", "content": system}] if system else []
        return Ask([*opening, *self.turns, {"role": "user", "content": text}], address, sampling, prefill)


def load(sides: list[Side]) -> None:
    """Give each side its author; checkpoints of one base model share it in memory."""
    bases = [side.entry.get("record") for side in sides]
    loaded = {
        base: Loaded(base, side.entry["dtype"], bases.count(base) > 1)
        for base, side in zip(bases, sides, strict=True)
        if base
    }
    for base, side in zip(bases, sides, strict=True):
        side.author = LocalAuthor(side.entry, 1, loaded[base]) if base else make_author(side.entry, 1)


class Chat:
    """A conversation: every side gets the same words of the user's and its own earlier answers."""

    def __init__(self, sides: list[Side], system: str | None, sampling: dict[str, Any], raw: bool, seed: int):
        """`raw`: each text is continued as it stands, without chat template, system prompt and earlier turns."""
        self.sides, self.system, self.sampling, self.raw, self.seed = sides, system, sampling, raw, seed

    def reset(self) -> None:
        """Forget what was said."""
        for side in self.sides:
            side.turns = []

    def say(self, text: str) -> Iterator[tuple[str, str]]:
        """(label, answer) of each side, as they come; remembered once all have answered, so that none is ahead.

        Raises UserError when a side cannot answer.
        """
        said: list[str] = []
        for side in self.sides:
            ask = side.ask(text, self.system, self.raw, self.sampling, self.seed)
            replies: list[dict] = []
            side.author.write([ask], lambda done, replies=replies: replies.extend(reply for _, reply in done))
            reply = replies[0]
            if ERROR in reply:
                raise UserError(f"{side.label}: {reply[ERROR]}")
            if reply["finish_reason"] == NO_ROOM:
                raise UserError(f"{side.label}: the conversation is too long for the model; /reset")
            said.append(ask.prefill + reply["text"])
            yield side.label, said[-1]
        for side, answer in zip(self.sides, said, strict=True):
            side.turns += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
