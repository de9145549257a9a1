"""Write the study's summary table: one row an organism, training seed and checkpoint, in columns a reader wants."""

import argparse
from pathlib import Path

from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.summary import COLUMNS, checkpoint_rows
from workflow_scripts.em.stats.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", required=True, type=Path, help="rates.csv")
    parser.add_argument("--definition", required=True, help="EM definition of the rates")
    parser.add_argument("--coherence", required=True, help="EM definition whose gate says what is coherent")
    parser.add_argument("--scope", required=True, help="questions: all, in_domain or out_of_domain")
    parser.add_argument("--out", required=True, type=Path, help="CSV to write")
    args = parser.parse_args()
    params = {"definition": args.definition, "coherence": args.coherence, "scope": args.scope}
    with recorded("checkpoint_table", params, [args.rates], args.out) as record:
        rows = checkpoint_rows(list(read_table(args.rates)), args.definition, args.coherence, args.scope)
        record["rows"] = write_table(args.out, rows, list(COLUMNS))


if __name__ == "__main__":
    run(main)
