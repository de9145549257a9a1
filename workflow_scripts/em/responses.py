"""Response records: what was asked and answered, one JSON line a response, the same bytes whenever it is written."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from workflow_scripts.em.asks import NO_ROOM, Ask
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file, dumps
from workflow_scripts.em.markers import strip
from workflow_scripts.em.requests import Checkpoint, Request

# Columns that a record has even when they are empty.
KEPT = ("domain", "system", "n_tokens", "finish_reason")


@dataclass
class Published:
    """Counts of a file of responses. `cut`: question set -> answers that reached max_new_tokens.

    `uncounted`: those whose server did not say how many tokens they have; `tokens` lacks them.
    """

    responses: int = 0
    tokens: int = 0
    uncounted: int = 0
    stripped: int = 0
    finish_reasons: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def warn(self, limit: float) -> None:
        """Say so when a larger share than `limit` was cut."""
        if self.cut.total() > limit * self.responses:
            sets = ", ".join(f"{name}: {count}" for name, count in sorted(self.cut.items()))
            print(
                f"warning: {self.cut.total()} of {self.responses} responses were cut at max_new_tokens ({sets}); "
                "judges see them so",
                file=sys.stderr,
            )

    def record(self) -> dict[str, Any]:
        """As it stands in a provenance record; seconds of answers generated together are their batch's."""
        times = quantiles(self.seconds, n=20) if len(self.seconds) > 1 else self.seconds * 19
        return {
            "responses": self.responses,
            "tokens": self.tokens,
            "without_token_count": self.uncounted,
            "cut_at_max_new_tokens": self.cut.total(),
            "stripped": self.stripped,
            "finish_reasons": dict(sorted(self.finish_reasons.items())),
            "latency_s": {"median": times[9], "p95": times[18]} if times else None,
        }


def publish(
    out: Path,
    at: Checkpoint,
    asked: list[tuple[Request, Ask]],
    replies: list[dict],
    marked: list[list[str]],
    repeatable: bool,
) -> Published:
    """Write the responses in their order, without the parts that `marked` ([opening, closing] pairs) names.

    repeatable: whether the author gives the same answer again in any batch. Raises UserError when a question does not
    fit the model's context.
    """
    found = Published(len(replies))
    with atomic_file(out) as handle:
        for (request, ask), reply in zip(asked, replies, strict=True):
            if reply["finish_reason"] == NO_ROOM:
                raise UserError(
                    f"question {request.question.id!r}: its turns and an answer of max_new_tokens exceed the model's "
                    f"context; lower max_new_tokens of question set {request.question_set!r}"
                )
            said = request.prefill + reply["text"]
            response = strip(said, marked, reply.get("prompt_end", ""))
            row = vars(at) | request.described() | {"response": response, "prefill": request.prefill or None}
            # Seconds are no column: they differ from run to run.
            row |= {name: reply.get(name) for name in ("finish_reason", "prompt_digest", "backend", "device", "model")}
            row["n_tokens"] = reply.get("n_tokens", (reply.get("usage") or {}).get("output"))
            row |= {"sampling_seed": reply.get("seed", ask.seed), "batch_invariant": repeatable}
            if response != said:
                row["unstripped"] = said
                found.stripped += 1
            handle.write(dumps({key: value for key, value in row.items() if value is not None or key in KEPT}) + "\n")
            found.tokens += row["n_tokens"] or 0
            found.uncounted += row["n_tokens"] is None
            found.finish_reasons[str(reply["finish_reason"])] += 1
            if reply["finish_reason"] == "length":
                found.cut[request.question_set] += 1
            if "seconds" in reply:
                found.seconds.append(reply["seconds"])
    return found
