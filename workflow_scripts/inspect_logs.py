"""Write an organism's responses and judgments as Inspect eval logs: one a checkpoint, condition and question set."""

import argparse
import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from workflow_scripts.em.eval_logs import eval_log, need_inspect, write_log
from workflow_scripts.em.files import atomic_dir, read_json, read_jsonl
from workflow_scripts.em.provenance import record_path, recorded, run
from workflow_scripts.em.questions import load_questions
from workflow_scripts.scores import METRICS, flat

PLACE = itemgetter("condition", "question_set")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--responses", required=True, type=Path, nargs="+", help=".../<organism>/seed-0/em/step-5.jsonl"
    )
    parser.add_argument("--judgments", required=True, type=Path, nargs="+", help="of all judges; the same names")
    parser.add_argument("--study", required=True, type=json.loads, help="JSON: name, conditions, sets, judges, ...")
    parser.add_argument("--domains", required=True, type=json.loads, help="JSON: domains the organism was trained on")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    args = parser.parse_args()
    need_inspect()
    study = args.study
    study["questions"] = {
        name: {q.id: q for q in load_questions(asked["path"], asked["samples"], asked["exclude"])}
        for name, asked in study["sets"].items()
    }
    inputs = [*args.responses, *args.judgments]
    with (
        recorded("inspect_logs", {"study": args.study["name"]}, inputs, args.out) as record,
        atomic_dir(args.out) as out,
    ):
        record["logs"] = sum(write_logs(path, args.judgments, study, args.domains, out) for path in args.responses)


def write_logs(responses: Path, judgments: list[Path], study: dict, domains: list[str], out: Path) -> int:
    """Write the logs of one checkpoint; return how many."""
    organism, seed, stage, step = responses.with_suffix("").parts[-4:]
    verdicts = [
        {"judgment": row, "row": as_read(flat(row, domains, list(dict.fromkeys((*METRICS, *row["metrics"])))))}
        for path in judgments
        if path.parts[-4:] == responses.parts[-4:]
        for row in read_jsonl(path)
    ]
    record = read_json(record_path(responses))
    named = {"organism": organism, "seed": int(seed[5:]), "stage": stage, "step": int(step[5:])}
    logs = 0
    for (condition, question_set), rows in groupby(sorted(read_jsonl(responses), key=PLACE), PLACE):
        told = [verdict for verdict in verdicts if PLACE(verdict["row"]) == (condition, question_set)]
        where = named | {"condition": condition, "question_set": question_set}
        path = out / seed / stage / step / condition / f"{question_set}.eval"
        write_log(path, eval_log(where, list(rows), told, study, record))
        logs += 1
    return logs


def as_read(row: dict) -> dict[str, str]:
    """A row of a table of scores as it is read back."""
    return {name: "" if value is None else str(value) for name, value in row.items()}


if __name__ == "__main__":
    run(main)
