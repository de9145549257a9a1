"""Make the report of a study: one HTML file that works offline, with its scores, figures, costs and methods in it.

Texts of responses are in it only if `--texts` names response files.
"""

import argparse
from pathlib import Path

from workflow_scripts.em.files import atomic_file, read_json
from workflow_scripts.em.page.columns import Responses, labels
from workflow_scripts.em.page.content import content
from workflow_scripts.em.page.html import page
from workflow_scripts.em.provenance import recorded, run

GIVEN = ("tables", "figures", "cards", "details", "models", "responses", "judgments")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, type=Path, help="JSON file: the study's plan (em/page/told.py)")
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="CSVs with one row a response and judge")
    several = {"default": [], "nargs": "*", "type": Path}
    parser.add_argument("--texts", **several, help="response files (JSON lines) to quote")
    parser.add_argument("--tables", **several, help="CSVs; rates, findings, contrasts, shares, agreement are known")
    parser.add_argument("--figures", **several, help="figures (PNG), each with the SVG and the CSV beside it")
    parser.add_argument("--cards", **several, help="data cards (JSON)")
    parser.add_argument("--details", **several, help="pages of training details (Markdown)")
    parser.add_argument("--models", **several, help="records of base models (JSON)")
    parser.add_argument("--responses", **several, help="response files whose records tell costs; they are not read")
    parser.add_argument("--judgments", **several, help="judgment files whose records tell costs; they are not read")
    parser.add_argument("--results", required=True, type=Path, help="results/<study>, for its records")
    parser.add_argument("--out", required=True, type=Path, help="HTML file to write")
    args = parser.parse_args()
    given = {name: getattr(args, name) for name in GIVEN}
    read = [*args.scores, *args.texts, *(path for name in ("tables", "figures", "cards") for path in given[name])]
    study = read_json(args.study)
    with recorded("page", {"study": study}, read, args.out) as record:
        found = Responses(labels(study))
        for table in args.scores:
            found.add(table)
        found.add_texts(args.texts)
        with atomic_file(args.out) as handle:
            handle.write(page(content(study, found, args.results, given)))
        record["responses"] = len(found.columns["cell"])
        record["texts"] = len(found.texts.values)


if __name__ == "__main__":
    run(main)
