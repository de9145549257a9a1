"""What answers of a model behind a server will cost: an author's stand-in that counts and asks nothing."""

from pathlib import Path

from workflow_scripts.em.answers import journal_of, key
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.authors import ApiAuthor
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.spending import CHARS_A_TOKEN, FRAME_TOKENS


class Estimate:
    """Takes the place of `Answers`: answers from the journal, and makes up as many characters where there is none yet.

    Tokens a character and the length of answers are those of the answers in the journal; without any, 4 characters a
    token and answers as long as the request allows, which is the most.
    """

    def __init__(self, author: ApiAuthor, folder: Path):
        self.author = author
        self.requests = self.in_journal = 0
        self.measured = [0, 0, 0]  # of answers in the journal: characters asked, tokens asked, tokens answered
        self.counted = 0
        self._folder = journal_of(folder, author)
        self._to_come: list[tuple[int, int, int]] = []  # characters, messages, longest answer

    def to(self, asks: list[Ask]) -> list[dict]:
        """Replies in the order of `asks`; counts those that have to be bought."""
        journal, keys = Journal(self._folder), [key(self.author, ask) for ask in asks]
        known = journal.find(keys)
        self.requests += len(asks)
        replies = []
        for name, ask in zip(keys, asks, strict=True):
            if name in known:
                replies.append(journal.get(name)["reply"])
                self._measure(ask, replies[-1])
            else:
                body = self.author.request(ask)
                longest = body.get("max_completion_tokens") or body.get("max_tokens") or ask.sampling["max_new_tokens"]
                self._to_come.append((_characters(ask), len(ask.messages), longest))
                replies.append({"text": "x" * max(1, round(CHARS_A_TOKEN * self._length())), "finish_reason": "stop"})
        return replies

    def _measure(self, ask: Ask, reply: dict) -> None:
        self.in_journal += 1
        usage = reply.get("usage") or {}
        if usage.get("input") and usage.get("output") is not None:
            self.counted += 1
            sizes = (_characters(ask), usage["input"], usage["output"])
            self.measured = [total + size for total, size in zip(self.measured, sizes, strict=True)]

    def _length(self) -> float:
        longest = self._to_come[-1][2]
        return min(longest, self.measured[2] / self.counted) if self.counted else longest

    @property
    def to_buy(self) -> int:
        """Requests that the journal has no answer to."""
        return len(self._to_come)

    @property
    def tokens(self) -> tuple[float, float]:
        """Input and output tokens of what is to be bought."""
        if self.counted:
            a_character, mean = self.measured[1] / self.measured[0], self.measured[2] / self.counted
            asked = a_character * sum(characters for characters, _, _ in self._to_come)
            return asked, sum(min(longest, mean) for _, _, longest in self._to_come)
        asked = sum(characters / CHARS_A_TOKEN + FRAME_TOKENS * messages for characters, messages, _ in self._to_come)
        return asked, float(sum(longest for _, _, longest in self._to_come))

    @property
    def counted_by(self) -> str:
        """Where the estimate comes from."""
        return f"{self.counted} earlier answers" if self.counted else "estimate (4 characters a token, longest answers)"

    @property
    def cost_usd(self) -> float | None:
        """None when the price is unknown."""
        price = self.author.spec["price"]
        asked, answered = self.tokens
        return None if price is None else (asked * price["input"] + answered * price["output"]) / 1e6


def _characters(ask: Ask) -> int:
    return sum(len(message["content"]) for message in ask.messages)
