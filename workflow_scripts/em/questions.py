"""Question sets: Betley-form YAML, CSV and JSON lines, read into one form."""

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, why
from workflow_scripts.em.yaml_text import parse_yaml

# What of a CSV is no text.
JSON_CELLS = ("messages", "judge_prompts", "samples_per_paraphrase")


@dataclass(frozen=True)
class Question:
    """One question. `samples` is per paraphrase; `judge_prompts` (metric -> template) are kept for the judge.

    `context` has the turns before it, (role, content) each, when it is the last turn of a conversation.
    """

    id: str
    paraphrases: tuple[str, ...]
    samples: int = 1
    system: str | None = None
    domain: str | None = None
    judge_prompts: dict[str, str] = field(default_factory=dict)
    context: tuple[tuple[str, str], ...] = ()
    prefill: str = ""


def load_questions(path: str | Path, samples: int | None = None, exclude: str | None = None) -> list[Question]:
    """Read a question file.

    `.yaml`/`.yml`: a list of items with `id`, `paraphrases` (list or one string), and optionally
    `samples_per_paraphrase`, `system`, `domain`, `judge_prompts`, `prefill` (the answer's given beginning); instead of
    paraphrases an item may have `messages`, a conversation that ends with a user's turn. A judge prompt is a template
    or the name of a file with one (`.txt`). Other keys (`type`, `judge`, ...) are ignored, so files of the published
    evaluations load unchanged. `.csv` and `.jsonl`: `id`, `question`, optionally the same keys; in a CSV, what is no
    text (JSON_CELLS) is written as JSON. `samples` overrides the file's number a paraphrase; items whose id matches
    `exclude` are left out. Raises UserError that lists every broken item.
    """
    path = Path(path)
    try:
        items = _read_items(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such question file (relative paths start at {Path.cwd()})") from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as {path.suffix or 'a question file'} ({why(error)})") from None
    problems: list[str] = []
    questions: list[Question] = []
    if nameless := [place for place, item in items if isinstance(item, dict) and item.get("id") in (None, "")]:
        several = f" and {len(nameless) - 1} more" if len(nameless) > 1 else ""
        problems.append(f"{path}: {nameless[0]}{several}: no `id`; give {'each' if several else 'it'} one")
    for place, item in items:
        if place in nameless:
            continue
        try:
            questions.append(_question(item, samples))
        except ValueError as error:
            problems.append(f"{path}: {place}: {error}")
    ids = [question.id for question in questions]
    problems += [
        f"{path}: question id {name!r} occurs more than once; give each question an id of its own"
        for name in sorted({i for i in ids if ids.count(i) > 1})
    ]
    if problems:
        raise UserError("\n".join(problems))
    try:
        kept = [question for question in questions if not (exclude and re.search(exclude, question.id))]
    except re.error as error:
        raise UserError(f"{path}: exclude {exclude!r} is not a regular expression ({error})") from None
    if not kept:
        raise UserError(f"{path}: no questions" + (f" left after exclude {exclude!r}" if questions else ""))
    return kept


def _read_items(path: Path) -> list[tuple[str, Any]]:
    if path.suffix in {".yaml", ".yml"}:
        items = _yaml(path.read_text(encoding="utf-8"), path)
        if not isinstance(items, list):
            raise ValueError("expected a list of questions")
        return [(f"item {number}", item) for number, item in enumerate(items, start=1)]
    if path.suffix == ".csv":
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            return [(f"line {reader.line_num}", _cells(row)) for row in reader]
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        return [(f"line {number}", _parsed(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    raise ValueError("unknown kind of file; use .yaml, .csv or .jsonl")


@lru_cache(maxsize=16)  # a study's checks and rules ask about a file for every organism
def _yaml(text: str, path: Path) -> Any:
    """What a file's text holds; nobody changes it."""
    return parse_yaml(text, path)


def _cells(row: dict[str, Any]) -> Any:
    """A CSV line's item; empty cells are no keys."""
    item = {name: cell for name, cell in row.items() if cell}
    item |= {name: _parsed(item[name]) for name in JSON_CELLS if name in item}
    broken = {name: value for name, value in item.items() if isinstance(value, ValueError)}
    return next((ValueError(f"{name}: {error}") for name, error in broken.items()), item)


def _parsed(line: str) -> Any:
    """The value of JSON; one that is broken gives its error, which `_question` reports with the place."""
    try:
        return json.loads(line)
    except ValueError as error:
        return ValueError(f"not valid JSON ({error})")


def _question(item: Any, samples: int | None) -> Question:
    if isinstance(item, ValueError):
        raise item
    if not isinstance(item, dict):
        raise ValueError("not a mapping")
    try:
        json.dumps(item, ensure_ascii=False, skipkeys=True, default=str).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise ValueError(f"question {item['id']!r}: half a character ({half!r}), which cannot be written") from None
    system, context, texts = _turns(item)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"question {item['id']!r} needs `paraphrases` (a list of texts) or `question` (a text)")
    number = samples or item.get("samples_per_paraphrase", 1)
    if type(number) is not int or number < 1:
        raise ValueError(f"question {item['id']!r}: samples_per_paraphrase must be a whole number above 0")
    prompts = item.get("judge_prompts") or {}
    for key in ("system", "domain", "prefill"):
        if not isinstance(item.get(key), str | None):
            raise ValueError(f"question {item['id']!r}: {key} must be a text")
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ValueError(f"question {item['id']!r}: judge_prompts must map a metric to a template")
    prompts = {metric: _template(text) for metric, text in prompts.items()}
    own = (item.get("domain"), prompts, context, item.get("prefill") or "")
    return Question(str(item["id"]), tuple(texts), number, system, *own)


def _template(text: str) -> str:
    """A judge prompt: the text itself, or that of the file it names."""
    if "\n" in text or not text.endswith(".txt"):
        return text
    try:
        return Path(text).read_text(encoding="utf-8").strip("\n")
    except OSError as error:
        raise ValueError(f"judge_prompts: {text}: {error.strerror}") from None


def _turns(item: dict) -> tuple[Any, tuple[tuple[str, str], ...], Any]:
    """(system prompt, turns before the question, texts of the question) of an item."""
    if "messages" not in item:
        texts = item.get("paraphrases", item.get("question"))
        return item.get("system"), (), [texts] if isinstance(texts, str) else texts
    where = f"question {item['id']!r}: messages"
    if any(name in item for name in ("paraphrases", "question")):
        raise ValueError(f"{where}: not together with `paraphrases` or `question`")
    turns = item["messages"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"{where}: a list of turns, each with `role` and `content`")
    pairs = [(turn.get("role"), turn.get("content")) for turn in turns]
    if not all(isinstance(content, str) and content.strip() for _, content in pairs):
        raise ValueError(f"{where}: each turn needs a text as `content`")
    system = item.get("system")
    if pairs and pairs[0][0] == "system":
        if system:
            raise ValueError(f"{where}: a system prompt stands in `system` or in the first turn, not in both")
        system, pairs = pairs[0][1], pairs[1:]
    roles = [role for role, _ in pairs]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise ValueError(f"{where}: user and assistant in turn, the last one user (got {', '.join(map(str, roles))})")
    return system, tuple(pairs[:-1]), [pairs[-1][1]]


def asked_digest(sets: Iterable[Any]) -> str:
    """Digest of what a model is asked in question sets (objects with path, samples, exclude): not of judge prompts."""
    return digest(
        [[(q.id, q.paraphrases, q.samples, q.system, q.domain, q.context, q.prefill) for q in _load(s)] for s in sets]
    )


def judge_prompts_digest(sets: Iterable[Any]) -> str:
    """Digest of the questions' own judge prompts."""
    return digest([[(q.id, q.judge_prompts) for q in _load(s)] for s in sets])


def _load(question_set: Any) -> list[Question]:
    return load_questions(question_set.path, question_set.samples, question_set.exclude)
