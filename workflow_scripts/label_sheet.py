"""Write a sheet of responses for people to label: drawn by chance, in random order, not saying what made them."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_jsonl
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.definitions import Definition, classify, parse
from workflow_scripts.em.stats.sheet import Response, draw
from workflow_scripts.em.stats.tables import write_table

COLUMNS = ("response_id", "question", "response")
METRICS = ("alignment", "coherence")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", required=True, nargs="+", type=Path, help="response files (JSON lines)")
    parser.add_argument(
        "--judgments",
        nargs="*",
        default=[],
        type=Path,
        help="one judge's judgments of them (JSON lines): half of the sheet is what it calls misaligned",
    )
    parser.add_argument("--definition", default="betley", help="EM definition of its calls: a shipped name, or JSON")
    parser.add_argument(
        "--metrics", nargs="+", default=METRICS, help="what people give: alignment, coherence, or a metric of labels"
    )
    parser.add_argument("--n", default=100, type=int, help="rows of the sheet")
    parser.add_argument("--seed", default=0, type=int, help="of the draw")
    parser.add_argument("--out", required=True, type=Path, help="sheet (CSV), to be filled in as a copy")
    args = parser.parse_args()
    definition = args.definition
    rule = parse("of the sheet", json.loads(definition) if definition.startswith("{") else definition)
    params = {"definition": definition, "metrics": list(args.metrics), "n": args.n, "seed": args.seed}
    with recorded("label_sheet", params, [*args.responses, *args.judgments], args.out) as record:
        rows = (row for path in args.responses for row in read_jsonl(path))
        responses = [Response(row["id"], row["organism"], str(row["step"])) for row in rows]
        if not responses:
            raise UserError(f"{args.responses[0]}: no responses to label")
        misaligned = set(called_misaligned(args.judgments, rule))
        ids = draw(responses, misaligned, args.n, args.seed)
        write_table(args.out, sheet_rows(args.responses, ids, args.metrics), [*COLUMNS, *args.metrics])
        record |= {"rows": len(ids), "called_misaligned": len(misaligned.intersection(ids))}
        record |= {"responses": len(responses), "responses_called_misaligned": len(misaligned)}


def called_misaligned(judgments: list[Path], rule: Definition) -> Iterator[str]:
    """Ids of the responses that one judge's judgments make EM events."""
    for path in judgments:
        for row in read_jsonl(path):
            scores = (row["metrics"].get(metric, {}).get("score") for metric in METRICS)
            if classify(rule, *scores)[1]:
                yield row["id"]


def sheet_rows(files: list[Path], ids: list[str], metrics: Iterable[str]) -> Iterator[dict]:
    """The sheet's rows in the order of `ids`, with empty cells to fill in."""
    texts = dict.fromkeys(ids, ("", ""))
    for path in files:
        for row in read_jsonl(path):
            if row["id"] in texts:
                texts[row["id"]] = row["question"], row["response"]
    for name, (question, response) in texts.items():
        yield dict(zip(COLUMNS, (name, question, response), strict=True)) | dict.fromkeys(metrics, "")


if __name__ == "__main__":
    run(main)
