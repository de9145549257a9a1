"""What a study took: jobs and time by stage; calls, tokens and money by who was asked. From provenance records."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from workflow_scripts.em.files import read_json
from workflow_scripts.em.provenance import record_path

# The stages whose work is done before there are scores. Tables and figures are left out: seconds, and some of them may
# be at work while the report is.
COUNTED = {
    "train": "training",
    "combine_adapters": "training",
    "ask_models": "asking models",
    "ask_engine": "asking models",
    "generate": "asking models",
    "ask_judge": "judging",
    "judge": "judging",
}


def records_of(artifacts: Iterable[Path]) -> list[dict[str, Any]]:
    """The provenance records beside artifacts, as far as they are there: results of others come without them."""
    return [read_json(path) for path in map(record_path, artifacts) if path.is_file()]


def jobs(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a stage: part of the study, jobs, their seconds (wall and CPU), the longest, the largest memory in MiB."""
    rows = []
    for stage, part in COUNTED.items():
        own = [record for record in records if record["stage"] == stage]
        if own:
            rows.append(
                {
                    "stage": stage,
                    "part": part,
                    "jobs": len(own),
                    "seconds": sum(record["seconds"] for record in own),
                    "cpu_seconds": sum(record.get("cpu_seconds") or 0 for record in own),
                    "longest": max(record["seconds"] for record in own),
                    "peak_memory_mib": max(record["peak_memory_mib"] for record in own),
                }
            )
    return rows


def asked(records: list[dict[str, Any]], behind: set[str]) -> list[dict[str, Any]]:
    """A row for each judge, and each organism of `behind` (a server): calls, tokens, USD, and what came from a journal.

    `usd` is None where no record names a price.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    at_once = {record["params"]["name"] for record in records if record["stage"] == "ask_judge"}
    for record in records:
        if "calls_answered" not in record:
            continue
        judged = record["stage"] in ("judge", "ask_judge")
        name = record["params"]["name"] if judged else record["params"].get("checkpoint", {}).get("organism", "?")
        if not judged and name not in behind:
            continue
        row = rows.setdefault(
            ("judge" if judged else "model", name),
            {"answered": 0, "failed": 0, "from_journal": 0, "tokens": Counter(), "usd": None, "models": Counter()},
        )
        row["answered"] += record["calls_answered"]
        row["failed"] += record["calls_failed"]
        # Where `ask_judge` filled the journal, the judge's jobs read its answers a second time.
        again = record["stage"] == "judge" and name in at_once
        row["from_journal"] += 0 if again else record.get("from_journal", 0)
        row["tokens"].update(record.get("usage") or {})
        for model, calls in (record.get("models_reported") or {}).items():
            row["models"][without_folders(model)] += calls
        if record.get("cost_usd") is not None:
            row["usd"] = (row["usd"] or 0.0) + record["cost_usd"]
    return [{"kind": kind, "name": name, **row} for (kind, name), row in rows.items()]


def without_folders(model: str) -> str:
    """A model's name as a server has it; of one that is called by a path of its machine the last part."""
    return PurePosixPath(model).name if model.startswith("/") else model


def versions(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Package -> versions that made the study, several where they differ; `emtrace` has the git commits."""
    found: dict[str, set[str]] = {}
    for record in records:
        for package, version in record["versions"].items():
            found.setdefault(package, set()).add(version)
        found.setdefault("emtrace (git commit)", set()).add(record["git_commit"] or "unknown")
    return {package: sorted(values) for package, values in found.items()}
