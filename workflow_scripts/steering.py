"""Put the rates of steered checkpoints beside those of the same checkpoints unsteered."""

import argparse
import json
from pathlib import Path

from workflow_scripts.em.activation_files import read_tensors
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.requests import directions
from workflow_scripts.em.stats.steering import COLUMNS, steering_rows
from workflow_scripts.em.stats.tables import read_table, write_table
from workflow_scripts.em.steered import said
from workflow_scripts.em.steering import steered_layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", required=True, type=Path, help="rates.csv")
    about = "JSON: condition -> how it asks; one that steers has the direction's file in `steering`"
    parser.add_argument("--conditions", required=True, type=json.loads, help=about)
    parser.add_argument("--out", required=True, type=Path, help="CSV to write")
    args = parser.parse_args()
    inputs = [args.rates, *directions(args.conditions)]
    with recorded("steering", {"conditions": args.conditions}, inputs, args.out) as record:
        steered = {name: done(how["steering"]) for name, how in args.conditions.items() if how.get("steering")}
        rows = steering_rows(read_table(args.rates), steered, args.conditions)
        record["rows"] = write_table(args.out, rows, list(COLUMNS))


def done(steering: dict) -> dict:
    """What a steered condition did, as the table says it, with the layers that it took."""
    layers = steered_layers(steering, read_tensors(steering["file"]))
    return said(steering) | {"layers": " ".join(map(str, layers))}


if __name__ == "__main__":
    run(main)
