"""The answers of an author: kept in a journal as they come, so that a killed job goes on and none is made twice."""

from pathlib import Path
from typing import Any

from workflow_scripts.em.asks import Ask, Author
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest
from workflow_scripts.em.journal import Journal, late_s
from workflow_scripts.em.judges import ERROR
from workflow_scripts.em.judging import Bought
from workflow_scripts.em.progress import Progress


def key(author: Author, ask: Ask) -> str:
    """The journal's key of an answer."""
    return digest([author.identity, author.request(ask), ask.seed])


def journal_of(folder: Path, author: Author) -> Path:
    """Where the answers of an author are kept."""
    return folder / digest(author.identity)


def missing(author: Author, asks: list[Ask], journal: Journal) -> dict[str, tuple[int, Ask]]:
    """What a journal lacks of the answers to `asks`: key -> (place, ask), each key once and in order."""
    keys = [key(author, ask) for ask in asks]
    known = journal.find(keys)
    found: dict[str, tuple[int, Ask]] = {}
    for place, (name, ask) in enumerate(zip(keys, asks, strict=True)):
        if name not in known:
            found.setdefault(name, (place, ask))
    return found


class Answers:
    """An author and the journal of its answers; counts what was new and what it cost."""

    def __init__(self, author: Author, role: str, folder: Path, after: "Answers | None" = None):
        """`after`: those of another author, with which these are counted."""
        self.author, self.role = author, role
        self.folder = journal_of(folder, author)
        self.from_journal, self.bought = (after.from_journal, after.bought) if after else (0, Bought(0))

    def to(self, asks: list[Ask], progress: Progress | None = None) -> list[dict[str, Any]]:
        """The replies to `asks`, in their order; only what the journal lacks is asked.

        `progress` counts them among others; without, they are counted by themselves. Raises UserError when some
        were not answered; those that were are kept.
        """
        keys = [key(self.author, ask) for ask in asks]
        with Journal(self.folder) as journal:
            # Of one that was asked before, on another machine maybe, all answers are there or soon will be.
            known = journal.find(keys, late_s(getattr(self.author, "asked", None)))
            todo = [i for i, name in enumerate(keys) if name not in known]
            self.from_journal += len(keys) - len(todo)
            failed: list[str] = []
            progress = progress or Progress(self.role, len(asks), "answers")
            progress.known(len(keys) - len(todo))

            def done(replies: list[tuple[int, dict]]) -> None:
                failed.extend(reply[ERROR] for _, reply in replies if ERROR in reply)
                kept = [(keys[todo[i]], reply) for i, reply in replies if ERROR not in reply]
                journal.append([{"key": name, "reply": reply} for name, reply in kept])
                for _, reply in kept:
                    self.bought.add(reply)
                progress.add(len(replies))

            if todo:
                journal.open()
                self.author.write([asks[i] for i in todo], done)
            if failed:
                raise UserError(
                    f"{self.role}: {len(failed)} of {len(todo)} requests were not answered; the first: {failed[0]}. "
                    "The other answers are kept; run again"
                )
            return [journal.get(name)["reply"] for name in keys]

    def record(self) -> dict[str, Any]:
        """As it stands in a provenance record."""
        return {"from_journal": self.from_journal, **self.bought.record()}
