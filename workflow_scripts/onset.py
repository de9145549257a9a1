"""When EM sets in along training, how the trajectory goes on, and which way of asking shows it earlier."""

import argparse
import json
from pathlib import Path

import numpy as np

from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.curves import COLUMNS, read_curves
from workflow_scripts.em.stats.modes import LEAD_COLUMNS, STEP_COLUMNS, pair_rows, pairs
from workflow_scripts.em.stats.onset import COLUMNS as ONSET_COLUMNS
from workflow_scripts.em.stats.onset import onset_rows
from workflow_scripts.em.stats.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--question-rates", required=True, type=Path, help="question_rates.csv")
    parser.add_argument("--definition", required=True, help="EM definition")
    parser.add_argument("--scope", required=True, help="questions: all, in_domain or out_of_domain")
    parser.add_argument("--margin", required=True, type=float, help="rise over step 0 from which EM counts as present")
    parser.add_argument("--modes", default={}, type=json.loads, help="JSON: condition -> assistant or predictive")
    parser.add_argument("--seed", default=0, type=int, help="seed of the bootstrap")
    parser.add_argument("--out", required=True, type=Path, help="folder: onset, mode_divergence and lead_times.csv")
    args = parser.parse_args()
    params = {name: getattr(args, name) for name in ("definition", "scope", "margin", "modes", "seed")}
    with recorded("onset", params, [args.question_rates], args.out / "onset.csv") as record:
        curves = read_curves(read_table(args.question_rates, COLUMNS), args.definition, args.scope)
        about = {"definition": args.definition, "scope": args.scope}
        rng = np.random.default_rng(args.seed)
        onsets = [row for curve in curves for row in onset_rows(curve, args.margin, rng, about)]
        apart, leads = [], []
        for pair in pairs(curves, args.modes):
            steps, times = pair_rows(pair, args.margin, rng, about, args.modes)
            apart += steps
            leads += times
        # Other statistics lie in the same folder, so the tables are replaced one by one.
        record["mode_divergence"] = write_table(args.out / "mode_divergence.csv", apart, list(STEP_COLUMNS))
        record["lead_times"] = write_table(args.out / "lead_times.csv", leads, list(LEAD_COLUMNS))
        record["onset"] = write_table(args.out / "onset.csv", onsets, list(ONSET_COLUMNS))


if __name__ == "__main__":
    run(main)
