"""The rule file of a keyword judge: labels and their patterns, for all answers, for a category, for one prompt."""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from workflow_scripts.em.judges import check_metric
from workflow_scripts.em.yaml_files import Form

_PLAIN = re.compile(r"[\w '\u2019-]+")


class Further(Form):
    """Patterns of one category (a question's domain) or one prompt (its id), besides those of all answers."""

    labels: dict[str, list[str]] = Field(default_factory=dict)
    on_topic: list[str] = Field(default_factory=list)


class Rules(Form):
    """A rule file: `metric`, `labels` (label -> patterns), and which label an answer gets.

    A pattern is a regular expression, whatever the case; one of letters, digits, spaces, hyphens and apostrophes alone
    matches whole words. `categories` (a question's domain) and `prompts` (its id) add patterns for answers to these.

    1. Where `on_topic` patterns hold for a question, an answer that matches none of them is `off_topic`, whatever else
       it matches. 2. An answer that no label's pattern matches is `none`. 3. `match: most`: the label with the most
    matches; where two have as many, `tie`. `match: first`: rules are tried in their order, the prompt's before the
    category's before those of all answers, label by label as the file has them; the first that matches decides.

    `scores` (label -> 0-100) makes the metric a number; a label without one is `unparseable`.
    """

    metric: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    match: Literal["most", "first"] = "most"
    labels: dict[str, list[str]] = Field(min_length=1)
    none: str
    tie: str | None = None
    on_topic: list[str] = Field(default_factory=list)
    off_topic: str | None = None
    categories: dict[str, Further] = Field(default_factory=dict)
    prompts: dict[str, Further] = Field(default_factory=dict)
    scores: dict[str, int | float] = Field(default_factory=dict)

    @property
    def further(self) -> dict[str, Further]:
        """The patterns that hold for some questions alone, the most special first: `prompts.<id>`, `categories.<d>`."""
        parts = {"prompts": self.prompts, "categories": self.categories}
        return {f"{part}.{name}": found for part, named in parts.items() for name, found in named.items()}

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Every label an answer can get, in the file's order."""
        others = (label for label in (self.tie, self.none, self.off_topic) if label is not None)
        return tuple(dict.fromkeys([*self.labels, *others]))

    @model_validator(mode="after")
    def _make_sense(self) -> "Rules":
        for place, pattern in self._patterns():
            try:
                empty = compiled(pattern).match("")
            except re.error as error:
                raise ValueError(f"{place}: {pattern!r} is not a regular expression ({error})") from None
            if empty:
                raise ValueError(f"{place}: {pattern!r} matches the empty text, so it would match everywhere")
        for place, found in self.further.items():
            if unknown := sorted(found.labels.keys() - self.labels.keys()):
                known = ", ".join(self.labels)
                raise ValueError(f"{place}.labels: no label {', '.join(unknown)}; `labels` has {known}")
        if self.match == "most" and self.tie is None:
            raise ValueError("tie: Field required (the label where two match equally often; not with `match: first`)")
        if self.match == "first" and self.tie is not None:
            raise ValueError("tie: with `match: first` there is none; remove it")
        on_topic = bool(self.on_topic) or any(found.on_topic for found in self.further.values())
        if on_topic != (self.off_topic is not None):
            raise ValueError("`on_topic` (patterns) and `off_topic` (the label of an answer without one) go together")
        self._check_scores()
        return self

    def _check_scores(self) -> None:
        if unknown := sorted(self.scores.keys() - set(self.all_labels)):
            raise ValueError(f"scores: no label {', '.join(unknown)}")
        if self.scores and (missing := sorted(self.labels.keys() - self.scores.keys())):
            raise ValueError(f"scores: none for {', '.join(missing)}")
        if not all(0 <= score <= 100 for score in self.scores.values()):
            raise ValueError("scores: from 0 to 100")
        check_metric(self.metric)
        if self.metric in ("alignment", "coherence") and not self.scores:
            raise ValueError(f"metric {self.metric} is a number from 0 to 100, so it needs `scores`")

    def _patterns(self) -> Iterator[tuple[str, str]]:
        """(place in the file, pattern) of every pattern."""
        for place, found in [("", self), *((f"{name}.", found) for name, found in self.further.items())]:
            for label, patterns in found.labels.items():
                yield from ((f"{place}labels.{label}", pattern) for pattern in patterns)
            yield from ((f"{place}on_topic", pattern) for pattern in found.on_topic)


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of a rule file. Raises re.error."""
    if _PLAIN.fullmatch(pattern):
        pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, pattern.split())) + r"(?!\w)"
    return re.compile(pattern, re.IGNORECASE)
