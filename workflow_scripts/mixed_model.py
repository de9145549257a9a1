"""Fit the full model of each contrast: a logistic mixed model with question and training seed crossed."""

import argparse
import json
from pathlib import Path

from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.contrast_cells import COLUMNS
from workflow_scripts.em.stats.mixed_rows import mixed_rows
from workflow_scripts.em.stats.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--question-rates", required=True, type=Path, help="question_rates.csv")
    parser.add_argument(
        "--contrasts",
        required=True,
        type=json.loads,
        help="JSON list of contrasts as in the config; each has a name, a definition and a scope",
    )
    parser.add_argument("--out", required=True, type=Path, help="CSV to write")
    args = parser.parse_args()
    with recorded("mixed_model", {"contrasts": args.contrasts}, [args.question_rates], args.out) as record:
        rows = mixed_rows(read_table(args.question_rates, COLUMNS), args.contrasts)
        record["contrasts"] = write_table(args.out, rows)


if __name__ == "__main__":
    run(main)
