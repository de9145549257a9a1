"""Talking with checkpoints of a study: where they lie, and a conversation with one or several side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.em.asks import NO_ROOM, Ask, Author
from workflow_scripts.em.authors import Loaded, LocalAuthor, make_author
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges import ERROR
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.roles import DOCUMENT


def made(plan: Plan) -> list[str]:
    """Checkpoints that are there, in words, an organism and training seed each."""
    found = []
    for chain in plan.chains.values():
        for seed in plan.config.organisms[chain.organism].seeds:
            places = ((step, Path(plan.checkpoint(chain, seed, step)[1])) for step in (0, *chain.steps))
            steps = [str(step) for step, place in places if place.is_dir()]
            if steps:
                found.append(f"{chain.organism}, seed {seed}, stage {chain.stage.name}: steps {', '.join(steps)}")
    return found


def locate(plan: Plan, name: str, seed: int | None, stage: str | None, step: int | None) -> tuple[str, dict[str, Any]]:
    """(label, entry for `make_author`) of a checkpoint; None is the first seed, the last stage, its last step.

    Raises UserError, naming what there is, for one that the study does not have or that is not made yet.
    """
    if name not in plan.config.organisms:
        raise UserError(f"no organism {name!r}; {did_you_mean(name, plan.config.organisms)}")
    organism = plan.config.organisms[name]
    if organism.api:
        return name, {"api": organism.api.plain()}
    seed = organism.seeds[0] if seed is None else seed
    ended = plan.last_chain(name)
    chain = ended if stage is None or ended is None else {c.stage.name: c for c in ended.lineage}.get(stage)
    if seed not in organism.seeds or (stage is not None and chain is None):
        stages = ", ".join(c.stage.name for c in ended.lineage) if ended else "none"
        raise UserError(f"{name} has the training seeds {organism.seeds} and the stages: {stages}")
    record, folder, step = (
        plan.model_record(name, chain, seed),
        None,
        step if step is not None or not chain else chain.last,
    )
    if chain is not None:
        if step not in (0, *chain.steps):
            raise UserError(f"{name}, stage {chain.stage.name}: step {step} is not saved; steps {(0, *chain.steps)}")
        folder = Path(plan.checkpoint(chain, seed, step)[1])
    absent = [str(path) for path in (Path(record), folder) if path is not None and not path.exists()]
    if absent:
        there = "".join(f"\n  {line}" for line in made(plan)) or " none"
        raise UserError(f"{absent[0]}: not made yet; run snakemake on this study first. What is there:{there}")
    label = f"{name} step {step}" if chain else name
    return label, {"record": record, "checkpoint": folder, "dtype": plan.config.generation.dtype}


def authors(entries: list[dict[str, Any]]) -> list[Author]:
    """The models of entries; checkpoints of one base model share it in memory."""
    bases = [entry.get("record") for entry in entries]
    loaded = {base: Loaded(base, entries[bases.index(base)]["dtype"], bases.count(base) > 1) for base in bases if base}
    return [
        LocalAuthor(entry, 1, loaded[entry["record"]]) if "record" in entry else make_author(entry, 1)
        for entry in entries
    ]


class Chat:
    """A conversation: every side gets the same words of the user's and its own earlier answers."""

    def __init__(
        self, sides: list[tuple[str, Author]], system: str | None, sampling: dict[str, Any], raw: bool, seed: int
    ):
        """`raw`: each text is continued as it stands, without chat template, system prompt and earlier turns."""
        self.sides, self.system, self.sampling, self.raw, self.seed = sides, system, sampling, raw, seed
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self.turns: list[list[dict[str, str]]] = [[] for _ in self.sides]

    def say(self, text: str) -> Iterator[tuple[str, str]]:
        """(label, answer) of each side, as they come. Raises UserError when a side cannot answer."""
        for (label, author), turns in zip(self.sides, self.turns, strict=True):
            opening = [{"role": "system", "content": self.system}] if self.system else []
            messages = [*opening, *turns, {"role": "user", "content": text}]
            if self.raw:
                messages = [{"role": DOCUMENT, "content": text}]
            replies: list[dict] = []
            # Every side draws the same random numbers.
            ask = Ask(messages, ("sandbox", self.seed, len(turns)), self.sampling)
            author.write([ask], lambda done, replies=replies: replies.extend(reply for _, reply in done))
            reply = replies[0]
            if ERROR in reply:
                raise UserError(f"{label}: {reply[ERROR]}")
            if reply["finish_reason"] == NO_ROOM:
                raise UserError(f"{label}: the conversation is too long for the model; /reset")
            turns += [{"role": "user", "content": text}, {"role": "assistant", "content": reply["text"]}]
            yield label, reply["text"]
