"""Compare judges on the EM call at every step of training: share of agreement and AC1 with intervals."""

import argparse
import json
from itertools import chain
from pathlib import Path

from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.definitions import parse_all
from workflow_scripts.em.stats.step_agreement import COLUMNS, READ, step_agreement
from workflow_scripts.em.stats.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="CSVs with one row a response and judge")
    parser.add_argument("--definitions", required=True, type=json.loads, help="JSON {name: EM definition}")
    parser.add_argument("--definition", required=True, help="which of them")
    parser.add_argument("--out", required=True, type=Path, help="CSV to write")
    args = parser.parse_args()
    rule = parse_all(args.definitions)[args.definition]
    with recorded("step_agreement", {"definition": args.definition, "rule": rule}, args.scores, args.out) as record:
        # One table after the other: a table holds all judges' rows of its responses.
        found = (step_agreement(read_table(path, READ), args.definition, rule) for path in args.scores)
        record["rows"] = write_table(args.out, chain.from_iterable(found), list(COLUMNS))


if __name__ == "__main__":
    run(main)
