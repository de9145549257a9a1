"""EM rate of baseline and last checkpoint over a grid of alignment and coherence thresholds around a definition's."""

import argparse
import json
from functools import partial
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.counts import COLUMNS as SCORE_COLUMNS
from workflow_scripts.em.stats.definitions import parse_all
from workflow_scripts.em.stats.rates import SCOPES
from workflow_scripts.em.stats.surface import COLUMNS, Surface
from workflow_scripts.em.stats.tables import read_table, write_table

GRID = list(range(0, 100, 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="CSVs, each with whole organisms")
    parser.add_argument("--definition", required=True, type=json.loads, help='JSON {"name": EM definition}')
    parser.add_argument("--scope", default="all", choices=SCOPES, help="questions counted")
    parser.add_argument(
        "--alignment", nargs="+", type=float, default=GRID[1:], help="thresholds tried; the default 10-90"
    )
    parser.add_argument("--coherence", nargs="+", type=float, default=GRID, help="gates tried; the default 0-90")
    parser.add_argument("--out", required=True, type=Path, help="CSV to write")
    args = parser.parse_args()
    definitions = parse_all(args.definition)
    if len(definitions) != 1:
        raise UserError(f"--definition: give one, not {', '.join(definitions)}")
    for value in (*args.alignment, *args.coherence):
        if not 0 <= value <= 100:
            raise UserError(f"threshold {value:g} is not a number from 0 to 100")
    params = {name: getattr(args, name) for name in ("definition", "scope", "alignment", "coherence")}
    with recorded("threshold_surface", params, args.scores, args.out) as record:
        surface = Surface(args.scope)
        for path in args.scores:
            surface.add(partial(read_table, path, SCORE_COLUMNS))
        rows = surface.rows(*next(iter(definitions.items())), args.alignment, args.coherence)
        record["rows"] = write_table(args.out, rows, list(COLUMNS))


if __name__ == "__main__":
    run(main)
