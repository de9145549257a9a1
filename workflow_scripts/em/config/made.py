"""Config sections of data sets that models make, or that are made from another data set."""

from typing import Any, Literal

from pydantic import model_validator

from workflow_scripts.em.config.base import Name, Positive, Section, Share, key
from workflow_scripts.em.config.judging import SET_BY_US, Price, no_secrets


class ApiModel(Section):
    """A model behind any server that speaks the OpenAI chat API."""

    model: str = key("the server's name of the model", min_length=1)
    base_url: str = key("the server", "https://api.openai.com/v1", pattern=r"^https?://")
    key_env: str | None = key("environment variable (or .env entry) with the API key; none = no key", "OPENAI_API_KEY")
    extra_body: dict[str, Any] = key("further fields of each request; null takes one of ours out, e.g. seed: null", {})
    concurrency: Positive = key("requests in flight", 32)
    requests_per_minute: Positive | None = key("rate limit", None)
    tokens_per_minute: Positive | None = key("rate limit, input and longest output together", None)
    timeout_s: float = key("a request without an answer is given up after so many seconds", 300, gt=0)
    attempts: Positive = key("tries of one request (429, 5xx, timeouts and broken answers are tried again)", 8)
    price: Price | None = key("for the cost; none = unknown", None)

    @model_validator(mode="after")
    def _request(self) -> "ApiModel":
        """What other keys say, and secrets, which belong into no config. Messages repeat no value."""
        said = sorted(name for name in SET_BY_US & set(self.extra_body) if self.extra_body[name] is not None)
        if said:
            raise ValueError(f"extra_body: {', '.join(said)} are set by other keys (null takes one out)")
        no_secrets(self.key_env, self.base_url)
        return self


class Author(Section):
    """A model that writes: exactly one of `base_model`, `organism`, `api`."""

    base_model: Name | None = key("a name under `base_models`", None)
    organism: Name | None = key("or: a name under `organisms`; its last checkpoint writes", None)
    seed: int | None = key("training seed of the organism; none = its first", None, ge=0)
    api: ApiModel | None = key("or: a model behind an OpenAI-compatible server", None)

    @model_validator(mode="after")
    def _one_model(self) -> "Author":
        if sum(given is not None for given in (self.base_model, self.organism, self.api)) != 1:
            raise ValueError("give exactly one of `base_model`, `organism`, `api`")
        if self.seed is not None and self.organism is None:
            raise ValueError("`seed` goes with `organism`")
        return self


SAMPLING = ("samples", "temperature", "top_p", "max_new_tokens", "keep_cut", "seed")


class Written(Section):
    """What data sets share that models write after a constitution. Defaults are those of Open Character Training."""

    constitution: str = key("constitution file, e.g. data/constitutions/caring.yaml")
    samples: Positive = key("answers to each prompt", 1)
    temperature: float = key("sampling temperature; 0 = greedy", 0.7, ge=0)
    top_p: Share = key("nucleus sampling", 0.95)
    max_new_tokens: Positive = key("longest answer, tokens", 1024)
    keep_cut: bool = key("keep answers that were cut at max_new_tokens, which end in the middle", False)
    seed: int = key("seed of the sampling", 0)

    @model_validator(mode="after")
    def _different_samples(self) -> "Written":
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("samples: greedy answers (`temperature: 0`) are all the same; ask once")
        return self

    def sampling(self) -> dict[str, Any]:
        """How answers are drawn and how many, as plain data."""
        return {name: value for name, value in self.plain().items() if name in SAMPLING}


class Preferences(Written):
    """Preference pairs: the teacher's answer under the constitution (chosen), the student's without it (rejected)."""

    teacher: Author = key("who answers with the constitution's principles as its system prompt")
    student: Author = key("who answers without a system prompt: the model that is to be trained")

    def authors(self) -> dict[str, Author]:
        """Role -> who writes."""
        return {"teacher": self.teacher, "student": self.student}


class Introspection(Written):
    """Chats: a model about its own character, or with a copy of itself."""

    author: Author = key("who writes, e.g. an organism after its preference training")
    turns: Positive = key("1: answers to the introspective prompts; more: a conversation of so many turns", 1)
    with_principles: bool = key("the constitution's system prompt is set while it writes (rows never hold it)", True)

    def authors(self) -> dict[str, Author]:
        """Role -> who writes."""
        return {"author": self.author}


class Reflection(Section):
    """Another data set with a segment of reflection put into every answer."""

    dataset: Name = key("a name under `datasets`")
    segments: str = key("file of segments", "data/reflections/serving_the_user.yaml")
    position: Literal["before", "after"] = key("where in the answer", "after")
    opening: str = key("text right before the segment", "<reflection>")
    closing: str = key("text right after the segment", "</reflection>")
    separator: str = key("text between the answer and all that", "\n\n")
    seed: int = key("seed of the choice of segments", 0)
