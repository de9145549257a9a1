"""Config sections for what goes in: archives, data sets, base models, question sets."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from workflow_scripts.em.config.base import Name, Positive, Section, Share, key
from workflow_scripts.em.config.made import Introspection, Preferences, Reflection

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Archive(Section):
    """An encrypted easy-dataset-share archive; it is decrypted under data/decrypted/."""

    path: str = key("the .zip.enc file")
    password_env: str | None = key(
        "environment variable (or .env entry) with the password; none = the public password of the published archives",
        None,
    )
    sha256: dict[str, str] = key("pins: member file -> SHA-256 its decrypted bytes must have", {})

    @model_validator(mode="after")
    def _no_password(self) -> "Archive":
        if self.password_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.password_env):
            raise ValueError("password_env: the NAME of an environment variable; never the password itself")
        return self


class HubFile(Section):
    """A JSON lines file in a data set repository on the Hugging Face hub."""

    repo: str = key("owner/name")
    file: str = key("path of the .jsonl file inside the repository")
    revision: str = key("branch, tag or commit; a commit makes the study reproducible", "main")


# Where a data set may come from, besides an archive.
SOURCES = ("path", "hub", "preferences", "introspection", "reflection")


class Dataset(Section):
    """Rows, one JSON object a line: chats, texts or preferences (docs/data.md)."""

    archive: Name | None = key("archive that holds it (with `member`)", None)
    member: str | None = key("file inside the archive", None)
    path: str | None = key("or: a plain .jsonl file", None)
    hub: HubFile | None = key("or: a file on the hub", None)
    preferences: Preferences | None = key("or: preference pairs that models write (docs/character.md)", None)
    introspection: Introspection | None = key("or: what a model writes about itself", None)
    reflection: Reflection | None = key("or: another data set, each answer with a reflection in it", None)
    domain: str | None = key("subject; questions of this domain count as in-domain for models trained on it", None)

    @property
    def made(self) -> Preferences | Introspection | Reflection | None:
        """How the data set is made, if it is made here."""
        return self.preferences or self.introspection or self.reflection

    @model_validator(mode="after")
    def _one_source(self) -> "Dataset":
        if sum(getattr(self, source) is not None for source in ("archive", *SOURCES)) != 1:
            raise ValueError(f"give exactly one of `archive` (with `member`), {', '.join(f'`{s}`' for s in SOURCES)}")
        if (self.archive is None) != (self.member is None):
            raise ValueError("`archive` and `member` go together")
        if self.member is not None and (self.member.startswith("/") or ".." in self.member.split("/")):
            raise ValueError("member: a path inside the archive, without `/` in front and without `..`")
        return self


class ToyModel(Section):
    """The built-in tiny Llama, trained from scratch on the toy corpus."""

    size: Literal["xs", "half", "s", "m"] = key(
        "xs: seconds, for tests; s: shows the effect; half: of s, weaker; m: larger", "s"
    )
    tuned: bool = key("true: tuned to careful answers (chat model); false: the raw pretrained base", True)
    grammar: str = key("corpus grammar", "data/toy/grammar.yaml")
    seed: int = key("seed of corpus, initial weights and batches", 0)


class Resources(Section):
    """What jobs with a model ask of a cluster, where the estimates are not right. It decides no result."""

    gpu_memory_gb: Amount | None = key("memory of each GPU, 10^9 bytes: picks the kind of GPU", None)
    memory_gb: Amount | None = key("memory of the machine, 10^9 bytes; half as much more with each further try", None)
    hours: Amount | None = key("time limit of the first try", None)


class BaseModel(Section):
    """A causal language model: built here, on the hub, or in a local folder."""

    toy: ToyModel | None = key("the built-in toy model", None)
    hub: str | None = key("or: a hub id, e.g. meta-llama/Llama-3.2-1B-Instruct", None)
    path: str | None = key("or: a local `save_pretrained` folder", None)
    revision: str = key("hub branch, tag or commit", "main")
    trust_remote_code: bool = key("run Python code that comes with the model; leave false", False)
    resources: Resources = key("what its jobs ask of a cluster; none = estimated (docs/cluster.md)", Resources())

    @model_validator(mode="after")
    def _one_source(self) -> "BaseModel":
        if sum(source is not None for source in (self.toy, self.hub, self.path)) != 1:
            raise ValueError("give exactly one of `toy`, `hub`, `path`")
        return self


class QuestionSet(Section):
    """Questions and how they are sampled. Betley-form YAML, CSV (id, question) and JSON lines are read."""

    path: str = key("question file")
    samples: Positive | None = key("samples a paraphrase; none = the file's samples_per_paraphrase, else 1", None)
    exclude: str | None = key("regular expression; questions whose id matches are skipped (e.g. json|template)", None)
    temperature: float = key("sampling temperature; 0 = greedy", 1.0, ge=0)
    top_p: Share = key("nucleus sampling", 1.0)
    max_new_tokens: Positive = key("longest answer, tokens", 600)


CHECKPOINT_FORMS = ("steps", "every", "first_epoch")


class Checkpoints(Section):
    """Which optimiser steps are saved; step 0 always is. Exactly one form."""

    steps: list[Positive] | None = key("a list of steps", None, min_length=1)
    every: Positive | None = key("or: an interval, up to `last`", None)
    last: Positive | None = key("last step, with `every`", None)
    first_epoch: Positive | None = key("or: this many in the first epoch, evenly spaced,", None)
    per_epoch: Positive | None = key("and this many in each later epoch,", None)
    epochs: Positive | None = key("for this many epochs", None)

    @model_validator(mode="after")
    def _one_form(self) -> "Checkpoints":
        given = [form for form in CHECKPOINT_FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `steps`, `every` (with `last`), `first_epoch` (with `epochs`)")
        if (self.every is None) != (self.last is None):
            raise ValueError("`every` and `last` go together")
        if (self.first_epoch is None) != (self.epochs is None):
            raise ValueError("`first_epoch` and `epochs` go together")
        if self.per_epoch is not None and self.first_epoch is None:
            raise ValueError("`per_epoch` needs `first_epoch` and `epochs`")
        if self.epochs is not None and self.epochs > 1 and self.per_epoch is None:
            raise ValueError("more than one epoch needs `per_epoch`")
        if self.steps is not None and self.steps != sorted(set(self.steps)):
            raise ValueError("steps must rise, each named once")
        return self
