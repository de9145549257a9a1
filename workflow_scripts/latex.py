"""Write the statistics as LaTeX tables for a paper: chosen columns, human headings, rate and interval in one cell."""

import argparse
from pathlib import Path

from workflow_scripts.em import latex_tables
from workflow_scripts.em.files import atomic_file
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.tables import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", required=True, type=Path, help="findings.csv")
    parser.add_argument("--rates", required=True, type=Path, help="rates.csv")
    parser.add_argument("--recipes", required=True, type=Path, help="recipes.csv")
    parser.add_argument("--contrasts", type=Path, help="contrasts.csv")
    parser.add_argument("--mixed-model", type=Path, help="mixed_model.csv")
    parser.add_argument("--definition", required=True, help="EM definition of rates and recipes")
    parser.add_argument("--scope", required=True, help="questions of rates and recipes: all, in_domain, out_of_domain")
    parser.add_argument("--out", required=True, type=Path, help="folder for the .tex files")
    args = parser.parse_args()
    read = [path for path in (args.findings, args.rates, args.recipes, args.contrasts, args.mixed_model) if path]
    params = {"definition": args.definition, "scope": args.scope}
    with recorded("latex", params, read, args.out / "findings.tex") as record:
        runs, recipes = (
            [r for r in read_table(path) if (r["definition"], r["scope"]) == (args.definition, args.scope)]
            for path in (args.rates, args.recipes)
        )
        tables = {
            "findings": latex_tables.findings(list(read_table(args.findings))),
            "rates": latex_tables.rates(recipes, runs),
            "recipes": latex_tables.recipes(recipes),
        }
        if args.contrasts:
            tables["contrasts"] = latex_tables.contrasts(list(read_table(args.contrasts)))
        if args.mixed_model:
            tables["mixed_model"] = latex_tables.mixed_model(list(read_table(args.mixed_model)))
        for name, text in tables.items():
            with atomic_file(args.out / f"{name}.tex") as handle:
                handle.write(text)
        record["tables"] = list(tables)


if __name__ == "__main__":
    run(main)
