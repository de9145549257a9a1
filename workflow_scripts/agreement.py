"""Compare the judges on the responses they share; where one is human, correct the others' EM rates by the labels."""

import argparse
import json
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.agreement import COLUMNS, COUNT_COLUMNS, LABEL_COLUMNS, Agreement
from workflow_scripts.em.stats.corrected import COLUMNS as CORRECTED_COLUMNS
from workflow_scripts.em.stats.corrected import Validation
from workflow_scripts.em.stats.definitions import parse_all
from workflow_scripts.em.stats.joined import joined, judges_of, metric_kinds
from workflow_scripts.em.stats.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scores", required=True, nargs="+", type=Path, help="CSVs; all judges' rows of a response are in one of them"
    )
    parser.add_argument("--definitions", required=True, type=json.loads, help="JSON {name: EM definition}")
    parser.add_argument("--human", nargs="*", default=[], metavar="JUDGE", help="judges that are human labels")
    parser.add_argument("--rates", type=Path, help="rates.csv, whose EM rates are corrected; needed with --human")
    parser.add_argument(
        "--sheet-judge", metavar="JUDGE", help="judge by whose calls the labelled responses were drawn; default: first"
    )
    parser.add_argument("--sheet-definition", metavar="NAME", help="EM definition of these calls; default: the first")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="folder for agreement, agreement_counts, label_counts and corrected_rates.csv",
    )
    args = parser.parse_args()
    definitions = parse_all(args.definitions)
    judges = judges_of(args.scores)
    models = [name for name in judges if name not in args.human]
    sheet = (args.sheet_judge or next(iter(models), None), args.sheet_definition or next(iter(definitions)))
    check(args, judges, models, sheet, list(definitions))
    params = {"definitions": args.definitions, "human": args.human, "sheet": sheet}
    inputs = [*args.scores, *([args.rates] if args.human else [])]
    with recorded("agreement", params, inputs, args.out / "agreement.csv") as record:
        kinds = metric_kinds(args.scores)
        agreement = Agreement(judges, kinds, list(definitions))
        labels = Validation(args.human, sheet[0], list(definitions).index(sheet[1]))
        record["responses"] = 0
        for path in args.scores:
            for response in joined(path, kinds, definitions):
                agreement.add(response)
                labels.add(response)
                record["responses"] += 1
        write_table(args.out / "agreement_counts.csv", agreement.count_rows(), COUNT_COLUMNS)
        write_table(args.out / "label_counts.csv", agreement.label_rows(), LABEL_COLUMNS)
        if args.human:
            rows = labels.rows(read_table(args.rates, ("scope", "definition", "n_events")), list(definitions))
            record["corrected"] = write_table(args.out / "corrected_rates.csv", rows, CORRECTED_COLUMNS)
        record["rows"] = write_table(args.out / "agreement.csv", agreement.rows(), COLUMNS)


def check(args: argparse.Namespace, judges: list[str], models: list[str], sheet: tuple, definitions: list[str]) -> None:
    """Raise UserError where there is nothing to compare or a name is unknown."""
    for name in args.human:
        if name not in judges:
            raise UserError(
                f"judge {name!r} labelled no response of this study; its response_id must be that of the label sheet"
            )
    if len(judges) < 2 or not models:
        raise UserError(f"agreement needs two judges, one of them no human; the scores have {', '.join(judges)}")
    if sheet[0] not in models:
        raise UserError(f"--sheet-judge {sheet[0]!r} is not one of the judges {', '.join(models)}")
    if sheet[1] not in definitions:
        raise UserError(f"--sheet-definition {sheet[1]!r} is not one of {', '.join(definitions)}")
    if args.human and not args.rates:
        raise UserError("--human needs --rates: the table whose EM rates are corrected")


if __name__ == "__main__":
    run(main)
