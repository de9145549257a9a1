"""Make tables of example responses, baseline against last checkpoint of each organism: all, and a figure a question."""

import argparse
import json
from itertools import chain, groupby
from pathlib import Path

from workflow_scripts.em.files import atomic_dir, atomic_file
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.counts import COLUMNS
from workflow_scripts.em.stats.examples import add_texts, choose
from workflow_scripts.em.stats.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", required=True, nargs="+", type=Path, help="response files (JSON lines)")
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="CSVs with one row a response and judge")
    parser.add_argument("--question-ids", default=[], type=json.loads, help="JSON list of question ids, shown in order")
    parser.add_argument("--n-questions", default=3, type=int, help="without ids: so many, each the first of its domain")
    parser.add_argument(
        "--where",
        default={},
        type=json.loads,
        help='JSON object of scores columns and values to keep, such as {"judge": "gpt_4o", "in_domain": "0"}; without '
        "them the first condition and judge of the table and each organism's first seed are shown",
    )
    parser.add_argument(
        "--sample", default=0, type=int, help="which sample of a question is shown, whatever its scores"
    )
    parser.add_argument("--width-inches", default=6.75, type=float, help="width of the PNG")
    parser.add_argument("--max-characters", default=700, type=int, help="of a response in the PNG; 0 shows all")
    parser.add_argument("--out", required=True, help="prefix of the files: PREFIX.csv, PREFIX.html and PREFIX.png")
    parser.add_argument(
        "--figures", required=True, type=Path, help="folder for a PNG, an SVG and a CSV a question: q1.png"
    )
    args = parser.parse_args()
    names = ("question_ids", "n_questions", "where", "sample", "width_inches", "max_characters")
    params = {name: getattr(args, name) for name in names}
    with recorded("examples", params, [*args.scores, *args.responses], f"{args.out}.csv") as record:
        scores = chain.from_iterable(read_table(path, (*COLUMNS, "sample", "response_id")) for path in args.scores)
        rows = choose(scores, args.where, args.question_ids, args.n_questions, args.sample)
        add_texts(rows, args.responses)

        import matplotlib

        from workflow_scripts.em.plots.response_page import page
        from workflow_scripts.em.plots.response_table import draw
        from workflow_scripts.em.plots.style import RC, save, save_png

        shown = next((row for row in rows if row["response_id"]), rows[0])
        note = f"Sample {args.sample} of each question, chosen before any score was seen."
        note += f" Condition {shown['condition']}, judge {shown['judge']}."
        with atomic_file(f"{args.out}.html") as handle:
            handle.writelines(f"{line}\n" for line in page(rows, note))
        with matplotlib.rc_context(RC), atomic_dir(args.figures) as folder:
            save_png(draw(rows, args.width_inches, args.max_characters), f"{args.out}.png")
            asked = groupby(rows, key=lambda row: (row["question_set"], row["question_id"]))
            for number, (_, same) in enumerate(asked, start=1):
                own = list(same)
                save(draw(own, args.width_inches, args.max_characters), own, str(folder / f"q{number}"))
        record["rows"] = write_table(f"{args.out}.csv", rows)


if __name__ == "__main__":
    run(main)
