"""Generate the responses of a training job's checkpoints, with their base model loaded once, into their journals."""

import json
from pathlib import Path

from workflow_scripts.em.answers import Answers
from workflow_scripts.em.authors import Loaded, LocalAuthor
from workflow_scripts.em.files import write_json
from workflow_scripts.em.progress import Progress
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.requests import Checkpoint, by_steering, directions
from workflow_scripts.generate import arguments, asked


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", required=True, type=Path, help="model record (JSON) of the base model")
    about = "JSON: list of [organism, seed, stage, step, checkpoint folder or null]"
    parser.add_argument("--checkpoints", required=True, type=json.loads, help=about)
    parser.add_argument("--batch-size", type=int, default=128, help="responses generated together")
    parser.add_argument("--out", required=True, type=Path, help="what was asked (JSON), written when all is answered")
    args = parser.parse_args()
    folders = [Path(folder) for *_, folder in args.checkpoints if folder]
    params = {name: getattr(args, name) for name in ("checkpoints", "conditions", "question_sets", "dtype")}
    inputs = [args.model, *folders, *directions(args.conditions)]
    with recorded("ask_models", params, inputs, args.out) as record:
        loaded = Loaded(args.model, args.dtype, several=len(args.checkpoints) > 1)
        entry = {"record": args.model, "dtype": args.dtype}
        # All before the first is asked: a broken checkpoint is known at once.
        jobs = []
        for *at, folder in args.checkpoints:
            for steering, wanted in by_steering(asked(args, Checkpoint(*at))):
                author = LocalAuthor(entry | {"checkpoint": folder, "steering": steering}, args.batch_size, loaded)
                jobs.append((author, f"{at[0]} step {at[3]}", wanted))
        progress = Progress("generate", sum(len(wanted) for *_, wanted in jobs), "responses")
        # No engine: the answers are the models' own.
        summary = {"engine": None, "responses": 0, "from_journal": 0}
        for author, role, wanted in jobs:
            answers = Answers(author, role, args.journal)
            summary["responses"] += len(answers.to([request.ask() for request in wanted], progress))
            summary["from_journal"] += answers.from_journal
        write_json(args.out, summary)
        record |= summary
        if summary["from_journal"] < summary["responses"]:
            from workflow_scripts.em.backends.models import hardware

            record["hardware"] = hardware()


if __name__ == "__main__":
    run(main)
