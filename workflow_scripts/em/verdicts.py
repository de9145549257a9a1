"""Verdicts read from a judge's replies, and the watch over how many responses have no score."""

from collections import Counter
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import ERROR, Call, Judge, unscored

EXAMPLES = 2
# The finish reason of a response that its provider's filter kept back.
FILTERED = "content_filter"


class Verdicts:
    """Reads verdicts, counts statuses, and remembers two examples of responses without a score."""

    def __init__(self, judge: Judge, journal: Journal, failures: dict[str, dict]):
        self.judge, self.journal, self.failures = judge, journal, failures
        self.statuses: dict[str, Counter[str]] = {}
        self.examples: dict[tuple[str, str], list[str]] = {}

    def of(self, call: Call, row_id: str) -> tuple[dict, dict]:
        """(verdict, raw reply) of a call; an unanswered one is an api_error."""
        key = self.judge.key(call)
        if key in self.journal:
            reply = self.journal.get(key)["reply"]
            verdict = self.judge.verdict(call, reply)
        else:
            reply = self.failures.get(key, {ERROR: "not answered"})
            verdict = unscored("api_error")
        self.statuses.setdefault(call.metric, Counter())[verdict["status"]] += 1
        examples = self.examples.setdefault((call.metric, verdict["status"]), [])
        if verdict["status"] != "scored" and len(examples) < EXAMPLES:
            said = reply.get(ERROR) or f"the judge said {reply.get('text', '')[:80]!r}"
            examples.append(f"response {row_id}: {verdict['status']}, {said}")
        return verdict, reply

    def of_none(self, call: Call, row_id: str) -> tuple[dict, dict]:
        """The same for a response that its provider's filter kept back: a refusal, of which no judge is asked."""
        self.statuses.setdefault(call.metric, Counter())["refusal"] += 1
        examples = self.examples.setdefault((call.metric, "refusal"), [])
        if len(examples) < EXAMPLES:
            examples.append(f"response {row_id}: refusal, a filter kept it back (finish_reason {FILTERED})")
        return unscored("refusal"), {"finish_reason": FILTERED}

    def check(self, name: str, max_unscored: float, max_api_errors: float, out: Path | None = None) -> None:
        """The loss budget, a metric at a time. Raises UserError naming statuses, counts and two examples.

        With `out`, a study's judgment file, it says how a model is asked again what could not be read.
        """
        for metric, found in self.statuses.items():
            total, lost = found.total(), found.total() - found["scored"]
            over = "max_unscored" if lost > max_unscored * total else ""
            over = "max_api_errors" if found["api_error"] > max_api_errors * total else over
            if over:
                # Examples of what is over, and of the commonest statuses one each before a second.
                common = [status for status, _ in found.most_common() if status != "scored"]
                statuses = ["api_error"] if over == "max_api_errors" else common
                shown = [self.examples[metric, s] for s in statuses]
                examples = [texts[n] for n in range(EXAMPLES) for texts in shown if n < len(texts)][:EXAMPLES]
                limit = max_unscored if over == "max_unscored" else max_api_errors
                counts = ", ".join(f"{n} {status}" for status, n in sorted(found.items()) if status != "scored")
                raise UserError(
                    f"judge {name!r}: {metric} has no score for {lost} of {total} responses ({counts}); "
                    f"judges.{name}.{over} allows {limit:.0%}.\n  " + "\n  ".join(examples) + "\n"
                    f"  All answers are kept in {self.journal.folder}: a new run asks again only for api_error. "
                    "Mend the cause, or raise the limit" + (self._again(name, out) if found["unparseable"] else "")
                )

    def _again(self, name: str, out: Path | None) -> str:
        # Not by its class: what is imported here is part of the code of every kind of judge.
        if out is None or not hasattr(self.judge, "templates"):
            return ""
        study = next((path.parent for path in out.parents if path.name == "judgments"), "results/<study>")
        command = f"python -m workflow_scripts.journal forget {study} --judge {name}"
        return f".\n  To ask again what could not be read: {command}"
