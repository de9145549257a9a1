"""Put published EM rates beside an organism's own at its last checkpoint, under the same EM definition."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.em.literature import Published, in_words, read_published, same_definition
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.definitions import Definition, parse_all
from workflow_scripts.em.stats.final import last_checkpoints, pool
from workflow_scripts.em.stats.intervals import wilson
from workflow_scripts.em.stats.tables import read_table, write_table

COLUMNS = (
    "organism",
    "condition",
    "question_set",
    "judge",
    "step",
    "n_seeds",
    "n_denominator",
    "em_rate",
    "low",
    "high",
)
COLUMNS += ("estimand", "definition", "counts", "published", "model", "data", "questions", "source")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", required=True, type=Path, help="rates.csv")
    parser.add_argument("--published", required=True, type=Path, help="file of published rates (YAML)")
    parser.add_argument("--compare", required=True, type=json.loads, help="JSON: organism -> names in that file")
    parser.add_argument("--definitions", required=True, type=json.loads, help="JSON: the study's EM definitions")
    parser.add_argument("--out", required=True, type=Path, help="CSV to write")
    args = parser.parse_args()
    params = {name: getattr(args, name) for name in ("compare", "definitions")}
    with recorded("literature", params, [args.rates, args.published], args.out) as record:
        rows = [row for row in read_table(args.rates) if row["scope"] == "all"]
        definitions, published = parse_all(args.definitions), read_published(args.published)
        found = [row for at in args.compare.items() for row in beside(*at, rows, definitions, published)]
        record["rows"] = write_table(args.out, found, list(COLUMNS))


def beside(
    organism: str,
    names: list[str],
    rows: list[dict],
    definitions: dict[str, Definition],
    published: dict[str, Published],
) -> Iterator[dict]:
    """For each EM definition among the published rates: the organism's own rate, then the published ones.

    `rows` are those of rates.csv, all questions. Own rates pool the training seeds of the last checkpoint. Every
    interval is Wilson's, *these questions*: a published rate has no other, and none at all without its `n`.
    """
    for definition, rule in definitions.items():
        named = [name for name in names if same_definition(published[name], definitions) == definition]
        own = [row for row in rows if row["organism"] == organism and row["definition"] == definition]
        if not named or not own:
            continue
        about = {
            "organism": organism,
            "definition": definition,
            "counts": in_words(rule),
            "estimand": "these questions",
        }
        for row in pool(last_checkpoints(own), ("organism",), "these_questions"):
            yield dict.fromkeys(COLUMNS) | row | about | {"em_rate": row["rate"], "source": "this study"}
        for name in named:
            entry = published[name]
            interval = wilson(round(entry.rate * entry.n), entry.n) if entry.n else None
            yield (
                dict.fromkeys(COLUMNS)
                | about
                | {
                    "judge": entry.judge,
                    "n_denominator": entry.n,
                    "em_rate": entry.rate,
                    "low": interval and interval.low,
                    "high": interval and interval.high,
                    "published": name,
                    **{key: getattr(entry, key) for key in ("model", "data", "questions", "source")},
                }
            )


if __name__ == "__main__":
    run(main)
