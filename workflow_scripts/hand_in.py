"""Write what homework 0 hands in: model_generations.csv (id, question, response) and training_details.md."""

import argparse
import shutil
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_dir, read_jsonl
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.tables import write_table

PARTS = ("condition", "question_set", "question_id", "paraphrase", "sample")


def generations(responses: list[dict]) -> list[dict]:
    """Rows {id, question, response}. An id is the question's, with the other parts of its address that vary.

    The question set is left out where no two sets share a question's id.

    Raises UserError when there is no response.
    """
    if not responses:
        raise UserError("hand_in: the checkpoint has no responses")
    varying = [part for part in PARTS if part == "question_id" or len({row[part] for row in responses}) > 1]
    if len({row["question_id"] for row in responses}) == len(
        {(row["question_set"], row["question_id"]) for row in responses}
    ):
        varying = [part for part in varying if part != "question_set"]
    return [
        {
            "id": "_".join(str(row[part]) for part in varying),
            "question": row["question"],
            "response": row["response"],
        }
        for row in responses
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", required=True, type=Path, help="responses of the checkpoint (JSON lines)")
    parser.add_argument("--details", required=True, type=Path, help="training details (Markdown)")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    args = parser.parse_args()
    inputs = [args.responses, args.details]
    with recorded("hand_in", {}, inputs, args.out) as record, atomic_dir(args.out) as folder:
        rows = generations(list(read_jsonl(args.responses)))
        record["rows"] = write_table(folder / "model_generations.csv", rows)
        shutil.copyfile(args.details, folder / "training_details.md")


if __name__ == "__main__":
    run(main)
