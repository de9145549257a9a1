"""Shares of each label by organism, condition, judge and category of the question, with intervals and differences."""

import argparse
import json
from itertools import chain
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.counts import GROUP
from workflow_scripts.em.stats.joined import metric_kinds
from workflow_scripts.em.stats.shares import COLUMNS, count_labels, share_rows
from workflow_scripts.em.stats.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="CSVs with one row a response and judge")
    parser.add_argument(
        "--labels",
        default={},
        type=json.loads,
        help='JSON {label metric: [labels in their order]}, such as {"leaning": ["left", "right"]}; labels of the '
        "scores that are not named follow",
    )
    parser.add_argument("--out", required=True, type=Path, help="shares (CSV)")
    args = parser.parse_args()
    with recorded("shares", {"labels": args.labels}, args.scores, args.out) as record:
        kinds = {metric: labels for metric, labels in metric_kinds(args.scores).items() if labels}
        if not kinds:
            raise UserError(f"{args.scores[0]}: no response has a label; shares need a judge that gives labels")
        labels = {metric: tuple(dict.fromkeys([*args.labels.get(metric, []), *kinds[metric]])) for metric in kinds}
        counts = count_labels(chain.from_iterable(read_table(path, (*GROUP, "domain")) for path in args.scores), kinds)
        record["rows"] = write_table(args.out, share_rows(counts, labels), COLUMNS)
        record["labels"] = labels


if __name__ == "__main__":
    run(main)
