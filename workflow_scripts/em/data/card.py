"""The data card of a training set: where its rows come from, what was dropped and why, sizes. It quotes no row."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from workflow_scripts.em.data.rows import Row, characters, read_rows
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json, sha256_file
from workflow_scripts.em.roles import INTERNAL, ROLES

PARTS = ("train", "holdout")
BATCH = 256

# Lengths in tokens of a list of texts, in order.
Count = Callable[[list[str]], list[int]]


def describe(training_set: Path, tokenizers: dict[str, Count]) -> dict:
    """Everything the card shows, as JSON-able data. Raises UserError when the folder is no whole training set.

    Tokens are those of the contents alone: no chat template, no special tokens. A row's tokens are the sum over its
    messages, both answers of a preference row included.
    """
    summary = read_json(training_set / "summary.json")
    parts = {}
    for part in PARTS:
        path = training_set / f"{part}.jsonl"
        if not path.is_file() or sha256_file(path) != summary[part]["sha256"]:
            raise UserError(f"{path}: not the file that summary.json describes; delete the folder and make it again")
        parts[part] = summary[part] | measure(path, summary[part]["rows"], tokenizers)
    return {"training_set": str(training_set), "rows": summary["rows"], "parts": parts} | {
        key: summary[key] for key in ("sources", "spec")
    }


def measure(path: Path, rows: int, tokenizers: dict[str, Count]) -> dict:
    """Roles, turns, longest row and tokens of a file of so many rows, which is read when there are any."""
    roles = {role: {"messages": 0, "characters": 0} for role in (*ROLES, *INTERNAL)}
    turns: Counter[int] = Counter()
    longest = 0
    tokens = {name: {"total": 0, "max": 0} for name in tokenizers}
    for batch in _batches(read_rows(path)) if rows else ():
        for row in batch:
            turns[len(row.messages)] += 1
            longest = max(longest, characters(row.messages))
            for message in row.messages:
                roles[message["role"]]["messages"] += 1
                roles[message["role"]]["characters"] += len(message["content"])
        for name, count in tokenizers.items():
            lengths = iter(count([message["content"] for row in batch for message in row.messages]))
            for row in batch:
                length = sum(islice(lengths, len(row.messages)))
                tokens[name]["total"] += length
                tokens[name]["max"] = max(tokens[name]["max"], length)
    for entry in tokens.values():
        entry["mean"] = entry["total"] / rows if rows else 0.0
    return {
        "longest_row_characters": longest,
        "roles": roles,
        "messages_a_row": {str(number): turns[number] for number in sorted(turns)},
        "tokens": tokens,
    }


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, BATCH)):
        yield batch
