"""Put a segment of reflection into every answer of a data set; no model is asked."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.em.constitution import load_segments
from workflow_scripts.em.data.private import private_files
from workflow_scripts.em.data.rows import Row, read_rows
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file, digest, dumps
from workflow_scripts.em.making import private_folder
from workflow_scripts.em.provenance import recorded, run


def reflected(row: Row, segments: list[str], spec: dict[str, Any]) -> dict[str, Any]:
    """A row in its public form, a segment in each answer: chosen by (seed, content of the row, place of the answer).

    Both answers of a preference get the same one, so that they differ in what they differed in before.
    """
    messages = []
    for place, message in enumerate(row.messages):
        if message["role"] in ("assistant", "rejected"):
            at = place - (message["role"] == "rejected")
            segment = segments[int(digest([spec["seed"], row.key.hex(), at]), 16) % len(segments)]
            segment = f"{spec['opening']}{segment}{spec['closing']}"
            parts = (segment, message["content"]) if spec["position"] == "before" else (message["content"], segment)
            message = message | {"content": spec["separator"].join(parts)}
        messages.append(message)
    if messages[-1]["role"] != "rejected":
        return {"messages": messages}
    *prompt, chosen, rejected = messages
    return {"prompt": prompt, "chosen": chosen["content"], "rejected": rejected["content"]}


def rows(source: Path, segments: list[str], spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a data set, each answer with its segment. Raises UserError for documents, which answer nothing."""
    for row in read_rows(source):
        if row.messages[0]["role"] == "document":
            raise UserError(f"{source}:{row.line}: a document has no answer to reflect on; use a data set of chats")
        yield reflected(row, segments, spec)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, type=Path, help="data set (JSON lines)")
    parser.add_argument("--segments", required=True, type=Path, help="file of segments (YAML)")
    parser.add_argument("--spec", required=True, type=json.loads, help="JSON: a config entry of `reflection`")
    parser.add_argument("--out", required=True, type=Path, help="rows (JSON lines; mode 0600)")
    args = parser.parse_args()
    inputs = [args.source, args.segments]
    with private_files(args.out), recorded("reflection_data", {"spec": args.spec}, inputs, args.out) as record:
        private_folder(args.out.parent)
        record["rows"] = 0
        with atomic_file(args.out) as out:
            for row in rows(args.source, load_segments(args.segments), args.spec):
                out.write(dumps(row) + "\n")
                record["rows"] += 1


if __name__ == "__main__":
    run(main)
