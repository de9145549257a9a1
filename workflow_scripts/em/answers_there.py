"""Answers that the journals have of checkpoints that are to be asked again: they cost no time."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from workflow_scripts.em.answers import journal_of, missing
from workflow_scripts.em.authors import LocalAuthor, ServedAuthor
from workflow_scripts.em.checkpoints import ADAPTER, MANIFEST, is_adapter
from workflow_scripts.em.conditions import Address
from workflow_scripts.em.engine_options import engine_version
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, read_json
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.questions import Question, load_questions
from workflow_scripts.em.requests import Checkpoint, Request, by_steering, directions, requests
from workflow_scripts.em.steered import is_steered, plain_stage


@dataclass
class AnswersThere:
    """What is left to answer of evaluations, as `amounts.answers` gives it: (responses, most new tokens of each).

    `journal`: folder of the response journals; `made`: outputs of jobs that would run. Only checkpoints that are there
    and are not made again can be looked up; of the others `unseen` counts the responses. `known`: answers found.
    """

    plan: Plan
    journal: Path
    made: Set[str]
    known: int = 0
    unseen: int = 0
    _left: dict[Address, list[tuple[int, int]]] = field(default_factory=dict)

    def left(self, at: Address, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Of `parts`, all that an evaluation asks, what the journals lack; each evaluation is looked up once."""
        if at not in self._left:
            count = sum(number for number, _ in parts)
            try:
                self._left[at] = self._lacking(at) if self.journal.is_dir() else parts
                self.known += count - sum(number for number, _ in self._left[at])
            except (UserError, LookupError, TypeError):
                self._left[at], self.unseen = parts, self.unseen + count
        return self._left[at]

    def _lacking(self, at: Address) -> list[tuple[int, int]]:
        """Raises UserError or another error where the checkpoint, or what steers it, is not there to be looked up."""
        plan, (organism, seed, stage, step) = self.plan, at
        chain = plan.chains.get((organism, plain_stage(stage)))
        if chain is not None:
            record, folders = plan.model_record(organism, chain, seed), plan.checkpoint(chain, seed, step)
        else:
            record, *folders = plan.last_model(organism, seed)
        if again := self.made & {record, folders[0], *directions(plan.asked(at))}:
            raise UserError(f"made again: {again}")
        at_model = Checkpoint(organism, seed, plain_stage(stage), step)
        found: Counter[int] = Counter()
        asked: list[Request] = list(requests(at_model, plan.asked(at), self._sets, self._questions))
        for steering, wanted in by_steering(asked):
            entry = {"record": Path(record), "checkpoint": None, "dtype": plan.config.generation.dtype}
            if plan.config.generation.backend == "vllm" and not is_steered(stage):
                if self._engine is None:
                    raise UserError("no engine to tell its version")
                author: LocalAuthor | ServedAuthor = ServedAuthor(entry | {"engine": self._engine})
            else:
                author = LocalAuthor(entry | {"steering": steering}, 1)
            author.identity[1] = _weights(folders[1])
            lacking = missing(author, [request.ask() for request in wanted], Journal(journal_of(self.journal, author)))
            found.update(ask.sampling["max_new_tokens"] for _, ask in lacking.values())
        return [(number, new) for new, number in found.items()]

    @cached_property
    def _sets(self) -> dict[str, dict]:
        return {
            name: self.plan.config.question_sets[name].plain() for name in self.plan.config.evaluation.question_sets
        }

    @cached_property
    def _questions(self) -> dict[str, list[Question]]:
        return {name: load_questions(s["path"], s["samples"], s["exclude"]) for name, s in self._sets.items()}

    @cached_property
    def _engine(self) -> list | None:
        engine = self.plan.config.generation.engine.plain()
        try:
            return ["vllm", engine_version(engine), engine["arguments"]]
        except UserError:
            return None  # asked once, not for every checkpoint


def _weights(folder: str | None) -> str | None:
    """`checkpoints.checkpoint_digest` by the manifest alone: hashing gigabytes is the run's."""
    if folder is None:
        return None
    if not is_adapter(Path(folder)):
        raise UserError(f"{folder}: not looked up: not there, or a whole model")
    hashes = read_json(Path(folder, MANIFEST))["sha256"]
    return digest([hashes[name] for name in ADAPTER])
