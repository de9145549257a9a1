"""What a study made, without what tells when, how fast and in how many goes it was made: docs/crashes.md lists that."""

import csv
import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

# Fields of JSON; the digests are of files that hold such fields (they are compared themselves).
APART = {"started", "seconds", "cpu_seconds", "peak_memory_mib", "latency_s"}
APART |= {"from_journal", "hardware", "calls_answered", "resumed_after_crash_at", "output_digest", "trainer_state.json"}
COLUMNS = {"seconds", "tokens_per_second"}


def made(results: Path) -> dict[str, str]:
    """File -> digest of what counts of it. Left out: logs, journals, the report with its times, the toy model.

    Also checks of recipes: those of a recipe that the config no longer has stay.
    """
    paths = (path.relative_to(results) for path in sorted(results.rglob("*")) if path.is_file())
    kept = [path for path in paths if not {"logs", ".journal", ".toy", "report.html", "checks"} & {*path.parts}]
    return {str(path): sha256(_reader(path)(results / path)).hexdigest() for path in kept}


def _reader(path: Path) -> Callable[[Path], bytes]:
    if path.name.endswith("provenance.json") or ".asked" in path.parts:
        return _json
    if path.name == "training_curve.csv" or path.match("training/*.csv"):
        return _table
    if path.match("training/*.md"):
        return _runs
    if path.match("figures/training_curve.*"):
        return lambda path: b""  # it draws tokens a second; the table behind it is compared
    if path.name in ("trainer_state.json", "checkpoint.json"):
        return _json
    return _lines if path.name == "log.jsonl" else Path.read_bytes


def _without(value: object) -> object:
    if isinstance(value, dict):
        # Of a record's inputs the names.
        return {k: sorted(v) if k == "inputs" else _without(v) for k, v in value.items() if k not in APART}
    return [_without(item) for item in value] if isinstance(value, list) else value


def _json(path: Path) -> bytes:
    return json.dumps(_without(json.loads(path.read_bytes())), sort_keys=True).encode()


def _lines(path: Path) -> bytes:
    return b"\n".join(json.dumps(_without(json.loads(line))).encode() for line in path.read_bytes().splitlines())


def _table(path: Path) -> bytes:
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    return json.dumps([{key: row[key] for key in row.keys() - COLUMNS} for row in rows], sort_keys=True).encode()


def _runs(path: Path) -> bytes:
    """Details of a training, without the columns of seconds and memory, the last three of its last table."""
    text, runs = path.read_text(encoding="utf-8").split("### Runs")
    return "\n".join([text, *(line.rsplit("|", 4)[0] for line in runs.splitlines())]).encode()
