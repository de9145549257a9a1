"""Which params of a job have changed, read from what Snakemake says of them: the keys of JSON that differ."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

LONGEST = 80
NOT_SET = "(not set)"  # of a key, or a param, that is on one side only
_ABSENT = object()
# A digest of code: of its params every job has one.
_DIGEST = re.compile(r"[0-9a-f]{16}")


def exclusive(said: str) -> tuple[list[str], list[str]]:
    """Params that a job had before and has no more, and those it has now; digests of code left out."""
    parts = said.partition("before: ")[2].split(" now: ")
    cuts = [(" now: ".join(parts[:at]), " now: ".join(parts[at:])) for at in range(1, len(parts))] or [("", "")]
    # A value may hold these words too: cut where both sides can be read, else at the first.
    before, now = next((cut for cut in cuts if None not in map(_read, cut)), cuts[0])
    return _params(before), _params(now)


def _read(text: str) -> list[str] | None:
    """Snakemake joins what Python writes of each; None for what cannot be read so."""
    if text.strip() in ("", "<nothing exclusive>"):
        return []
    try:
        return [value if isinstance(value, str) else str(value) for value in ast.literal_eval(f"[{text.strip()}]")]
    except (ValueError, SyntaxError):
        return None


def _params(text: str) -> list[str]:
    """What cannot be read is one text."""
    found = _read(text)
    return [value for value in ([text.strip()] if found is None else found) if not _DIGEST.fullmatch(value)]


def changed(said: str) -> str:
    """What differs, as `key: before -> now`; empty where nothing but code does."""
    before, now = exclusive(said)
    if len(before) == len(now) == 1:
        return "; ".join(_differences(_data(before[0]), _data(now[0])))
    return f"{_short(before or _ABSENT)} -> {_short(now or _ABSENT)}" if before or now else ""


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _differences(before: Any, now: Any, key: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**before, **now}:
            was, is_now = before.get(name, _ABSENT), now.get(name, _ABSENT)
            if was != is_now:
                yield from _differences(was, is_now, f"{key}.{name}".strip("."))
    else:
        yield f"{key}: {_short(before)} -> {_short(now)}" if key else f"{_short(before)} -> {_short(now)}"


def _short(value: Any) -> str:
    if value is _ABSENT:
        return NOT_SET
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cut = text[:LONGEST]
    # Between two keys, where there are any.
    return text if text == cut else f"{', '.join(cut.split(', ')[:-1]) or cut} ..."
