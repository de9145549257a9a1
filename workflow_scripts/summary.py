"""Print what a finished study found, where its figures are, and how long each part took."""

import argparse
from collections import defaultdict
from pathlib import Path

from tabulate import tabulate

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.provenance import run
from workflow_scripts.em.stats.tables import read_table


def records(results: Path) -> list[dict]:
    """The provenance records of a folder: a study's, or a toy model's."""
    paths = [path for path in sorted(results.rglob("*provenance.json")) if ".inflight" not in path.parts]
    # What a crash broke lies beside what was made again.
    found = [read_json(path) for path in paths if not any(part.endswith(".broken") for part in path.parts)]
    if not found:
        raise UserError(f"{results}: nothing here yet; run snakemake first")
    return found


def toys(found: list[dict]) -> list[dict]:
    """The records of the toy models that a study is of; studies share them, so they lie beside it."""
    sources = {Path(record["params"]["source"]) for record in found if record["stage"] == "base_model"}
    folders = sorted({source.parent for source in sources if ".toy" in source.parts and source.is_dir()})
    return [record for folder in folders for record in records(folder)]


def timing(found: list[dict]) -> list[list]:
    """Rows (stage, jobs, seconds, longest, peak MiB) in order of first start, and a total."""
    stages: dict[str, list[dict]] = defaultdict(list)
    for record in sorted(found, key=lambda r: r["started"]):
        stages[record["stage"]].append(record)
    rows = []
    for stage, jobs in stages.items():
        seconds = [job["seconds"] for job in jobs]
        rows.append([stage, len(jobs), sum(seconds), max(seconds), max(job["peak_memory_mib"] for job in jobs)])
    return [*rows, ["all", len(found), sum(row[2] for row in rows), "", ""]]


def found_rows(table: Path) -> list[list]:
    """Rows for people of findings.csv."""
    rows = []
    for row in read_table(table):
        rates = []
        for at in ("baseline", "last"):
            low, high = (percent(row[f"{at}_such_questions_{end}"]) for end in ("low", "high"))
            rates.append(f"{percent(row[f'{at}_em_rate'])} ({low} to {high})")
        names = [row[name] for name in ("organism", "seed", "stage", "condition", "judge")]
        rows.append(
            [*names, rates[0], rates[1], row["last_step"], percent(row["last_coherent_share_of_all"]), row["rise"]]
        )
    return rows


def label_rows(table: Path) -> list[list]:
    """Rows for people of shares.csv: labels over all categories."""
    return [
        [row[name] for name in ("organism", "seed", "stage", "step", "condition", "question_set", "judge", "label")]
        + [f"{percent(row['share'])} ({percent(row['these_questions_low'])} to {percent(row['these_questions_high'])})"]
        for row in read_table(table)
        if row["category"] == "all"
    ]


def print_findings(results: Path) -> None:
    """The table of findings.csv; of a study of labels alone, label shares. Raises UserError where there is neither."""
    table, shares = results / "findings.csv", results / "statistics" / "shares.csv"
    if not table.exists() and shares.exists():
        print("\nShares of labels (95% interval, these questions)\n")
        head = ["organism", "seed", "stage", "step", "condition", "questions", "judge", "label", "share"]
        print(tabulate(label_rows(shares), head))
        return
    about = next(iter(read_table(table)), None)
    if about is None:
        raise UserError(
            f"{table}: no rate for the definition and scope under `figures`; look into {results}/statistics"
        )
    scope = about["scope"].replace("_", "-")
    print(f"\nEM rate by {about['definition']!r} on {scope} questions (95% interval, such questions)\n")
    head = ["organism", "seed", "stage", "condition", "judge", "step 0", "last step", "step", "coherent", "rise"]
    print(tabulate(found_rows(table), head))


def percent(value: str) -> str:
    return f"{100 * float(value):.1f}%" if value else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    args = parser.parse_args()
    found = records(args.results)
    rows = timing([*found, *toys(found)])
    print_findings(args.results)
    print("\nTime (jobs run side by side, so their sum exceeds the time that passed)\n")
    print(tabulate(rows, ["stage", "jobs", "seconds", "longest job", "peak MiB"], floatfmt=".1f"))
    print("\nFigures and tables")
    tables = [*sorted(args.results.glob("findings.csv")), *sorted(args.results.glob("statistics/*.csv"))]
    with_rows = [path for path in tables if next(iter(read_table(path)), None)]
    shown = [*sorted(args.results.glob("figures/*.png")), *sorted(args.results.glob("examples/*.html"))]
    for path in [*shown, *with_rows]:
        print(f"  {path}")
    print(f"One page with all of them, to open in a browser: {args.results}/report.html")


if __name__ == "__main__":
    run(main)
