"""A judge by keywords: a label by the patterns that an answer matches. No model, no key."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from workflow_scripts.em.codedigest import code_digest
from workflow_scripts.em.files import digest, sha256_file
from workflow_scripts.em.judges import Call, unscored
from workflow_scripts.em.judges.keyword_rules import Rules, compiled
from workflow_scripts.em.yaml_files import read_yaml

Patterns = list[re.Pattern[str]]


class Judge:
    """Counts matches; its identity is the rule file's content and this module's code."""

    def __init__(self, spec: dict[str, Any]):
        self._rules = read_yaml(spec["rules"], Rules)
        self._further = self._rules.further
        self._patterns = cache(self._compiled)
        self.identity = f"keyword-{digest([sha256_file(spec['rules']), code_digest(__name__)])}"

    def calls(self, row: dict, prompts: dict[str, str]) -> list[Call]:
        """The one metric of every response; keywords have no use for prompts."""
        names = (f"prompts.{row.get('question_id')}", f"categories.{row.get('domain')}")
        # Which further patterns hold for the question takes the prompt's place in the call.
        further = "\n".join(name for name in names if name in self._further)
        return [Call(self._rules.metric, row["question"], row["response"], further)]

    def key(self, call: Call) -> str:
        """Digest of rules, code and answer; the question plays a part only where it has patterns of its own."""
        return digest([self.identity, call.answer, *([call.prompt] if call.prompt else [])])

    def ask(self, calls: Iterable[Call], done: Callable[[Call, dict], None]) -> None:
        """Find each label's matches, what decides when the first rule does, and what says that it is on topic."""
        for call in calls:
            levels, on_topic = self._patterns(call.prompt)
            together = {label: [p for level in levels for p in level.get(label, [])] for label in self._rules.labels}
            reply: dict[str, Any] = {
                "matches": {label: found(call.answer, patterns) for label, patterns in together.items()}
            }
            if self._rules.match == "first":
                tried = ((label, patterns) for level in levels for label, patterns in level.items())
                reply["first"] = next((label for label, patterns in tried if found(call.answer, patterns)), None)
            if on_topic:
                reply["on_topic"] = found(call.answer, on_topic)
            done(call, reply)

    def verdict(self, call: Call, reply: dict) -> dict[str, Any]:
        """The label by the file's rules; as its score, if the rules give scores."""
        label = self._label(reply)
        if not self._rules.scores:
            return {"status": "scored", "score": None, "label": label}
        if label not in self._rules.scores:
            return unscored("unparseable")
        return {"status": "scored", "score": float(self._rules.scores[label])}

    def _label(self, reply: dict) -> str | None:
        counts = {label: len(matches) for label, matches in reply["matches"].items()}
        most = max(counts.values())
        if "on_topic" in reply and not reply["on_topic"]:
            return self._rules.off_topic
        if not most:
            return self._rules.none
        if self._rules.match == "first":
            return reply["first"]
        leading = [label for label, count in counts.items() if count == most]
        return leading[0] if len(leading) == 1 else self._rules.tie

    def _compiled(self, further: str) -> tuple[list[dict[str, Patterns]], Patterns]:
        """(label -> patterns, the most special first; on-topic patterns) of the questions with these further ones."""
        parts = [*(self._further[name] for name in further.split("\n") if further), self._rules]
        levels = [{label: list(map(compiled, texts)) for label, texts in part.labels.items()} for part in parts]
        return levels, [compiled(text) for part in parts for text in part.on_topic]


def found(text: str, patterns: Patterns) -> list[str]:
    """What the patterns match, from left to right; a stretch that several match counts once."""
    spans = sorted((m.span() for pattern in patterns for m in pattern.finditer(text)), key=lambda s: (s[0], -s[1]))
    kept, end = [], 0
    for start, stop in spans:
        if start >= end and stop > start:
            kept.append(text[start:stop])
            end = stop
    return kept
