"""Write how the EM rate goes with the number of trained weights, for organisms with masked adapters (lora.budget)."""

import argparse
import json
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.budgets import COLUMNS, budget_rows
from workflow_scripts.em.stats.tables import read_table, write_table


def counted(entry: dict) -> dict:
    """A run with the number of weights that its training recorded. Raises UserError if training seeds differ."""
    records = [read_json(Path(folder) / "provenance.json") for folder in entry["segments"].values()]
    weights = {record["trainable_parameters"] for record in records}
    if len(weights) > 1:
        raise UserError(f"{entry['organism']}: training seeds trained different numbers of weights; train them again")
    return {**entry, "trained_parameters": weights.pop()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", required=True, type=Path, help="rates.csv")
    parser.add_argument("--recipes", required=True, type=Path, help="recipes.csv")
    parser.add_argument("--runs", required=True, type=json.loads, help="JSON: what em.budgets.budget_runs gives")
    parser.add_argument("--out", required=True, type=Path, help="CSV to write")
    args = parser.parse_args()
    with recorded("budgets", {"runs": args.runs}, [args.rates, args.recipes], args.out) as record:
        runs = [counted(entry) for entry in args.runs]
        rows = budget_rows(runs, read_table(args.rates), read_table(args.recipes))
        record["rows"] = write_table(args.out, rows, list(COLUMNS))


if __name__ == "__main__":
    run(main)
