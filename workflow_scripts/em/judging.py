"""Judging on top of any judge: buy what its journal lacks, and say how far it is."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import ERROR, Call, Judge
from workflow_scripts.em.progress import Progress


@dataclass
class Bought:
    """What a run bought: replies, tokens, USD (None where the price is unknown), models as reported; and failures.

    `uncounted`: replies whose server gave no counts of tokens, which `usage` (and `cost_usd`, if it did not say) lack.
    """

    total: int
    replies: int = 0
    uncounted: int = 0
    usage: Counter[str] = field(default_factory=Counter)
    cost_usd: float | None = None
    models: Counter[str] = field(default_factory=Counter)
    failures: dict[str, dict] = field(default_factory=dict)

    def add(self, reply: dict) -> None:
        """Count one reply."""
        self.replies += 1
        usage = reply.get("usage") or {}
        self.usage.update({name: count for name, count in usage.items() if count is not None})
        self.uncounted += None in usage.values()
        if reply.get("cost_usd") is not None:
            self.cost_usd = (self.cost_usd or 0.0) + reply["cost_usd"]
        if reply.get("model"):
            self.models[reply["model"]] += 1

    def note(self) -> str:
        """What is to be said while it runs: failures and cost."""
        failed = [f"{len(self.failures)} not answered"] if self.failures else []
        return ", ".join([*failed, *([] if self.cost_usd is None else [f"{self.cost_usd:.4f} USD so far"])])

    def record(self) -> dict[str, Any]:
        """As it stands in a provenance record."""
        cost = None if self.cost_usd is None else round(self.cost_usd, 6)
        return {
            "calls_answered": self.replies,
            "calls_failed": len(self.failures),
            "usage": dict(self.usage),
            "calls_without_usage": self.uncounted,
            "cost_usd": cost,
            "models_reported": dict(self.models),
        }


def missing(judge: Judge, journal: Journal, calls: Iterable[Call]) -> Iterator[tuple[str, Call]]:
    """The calls a journal lacks, with their keys, each once. `journal.find` must have seen their keys."""
    seen: set[str] = set()
    for call in calls:
        key = judge.key(call)
        if key not in journal and key not in seen:
            seen.add(key)
            yield key, call


def buy(judge: Judge, journal: Journal, calls: Iterable[Call], total: int, name: str) -> Bought:
    """Ask a judge what its journal lacks and journal each reply as it comes.

    total: number of missing calls, for the progress lines on standard error. A call that was not answered is in
    `failures` (key -> reply with "error") and not in the journal. Raises UserError when the journal cannot be written,
    before anything is asked, and whatever the judge raises.
    """
    bought = Bought(total)
    keys: dict[int, str] = {}
    journal.open()
    progress = Progress(f"judge {name}", total, "calls")

    def lacking() -> Iterator[Call]:
        for key, call in missing(judge, journal, calls):
            keys[id(call)] = key
            yield call

    def done(call: Call, reply: dict) -> None:
        key = keys.pop(id(call))
        if ERROR in reply:
            bought.failures[key] = reply
        else:
            journal.append([{"key": key, "reply": reply}])
            bought.add(reply)
        progress.add(1, bought.note())

    judge.ask(lacking(), done)
    return bought
