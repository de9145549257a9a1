"""Read the hidden states of a training job's checkpoints over responses; what a killed job has read is kept."""

import argparse
import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from workflow_scripts.em.activation_files import COUNTS, read_tensors
from workflow_scripts.em.authors import Loaded
from workflow_scripts.em.checkpoints import checkpoint_digest
from workflow_scripts.em.codedigest import code_digest
from workflow_scripts.em.files import atomic_dir, digest, read_json
from workflow_scripts.em.progress import Progress
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.readings import said
from workflow_scripts.em.requests import Checkpoint
from workflow_scripts.generate import asked

BACKEND = "workflow_scripts.em.backends.read_activations"
COLUMNS = ("id", "condition", "question_set", "question_id", "paraphrase", "sample", "domain")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="model record (JSON) of the base model")
    parser.add_argument(
        "--checkpoints",
        required=True,
        type=json.loads,
        help="JSON: list of [organism, seed, stage, step, checkpoint folder or null, responses (JSON lines)]",
    )
    parser.add_argument("--name", required=True, help="the reading's name")
    parser.add_argument("--reading", required=True, type=json.loads, help="JSON: {convention, layers, span, pooling}")
    parser.add_argument(
        "--responses-of", type=json.loads, help="JSON: [organism, seed, stage, step] of all responses; none = own"
    )
    parser.add_argument("--conditions", required=True, type=json.loads, help="JSON: name -> {system, mode, prefill}")
    parser.add_argument("--question-sets", required=True, type=json.loads, help="JSON: name -> {path, samples, ...}")
    parser.add_argument("--dtype", default="float32", help="float32 or bfloat16")
    parser.add_argument("--batch-size", type=int, default=128, help="responses read together")
    parser.add_argument("--kept", required=True, type=Path, help="folder of all that was ever read")
    parser.add_argument("--out", required=True, type=Path, help="folder of activations, one file a checkpoint")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    folders = [Path(folder) for *_, folder, _ in args.checkpoints if folder]
    files = sorted({Path(path) for *_, path in args.checkpoints})
    inputs = [args.model, *folders, *files, *(s["path"] for s in args.question_sets.values())]
    params = {name: getattr(args, name) for name in ("name", "reading", "responses_of", "checkpoints", "conditions")}
    params |= {"question_sets": args.question_sets, "dtype": args.dtype}
    with recorded("read_activations", params, inputs, args.out) as record, atomic_dir(args.out) as out:
        # All before the first is read: a broken checkpoint or file is known at once.
        work = [described(args, *found) for found in args.checkpoints]
        loaded = Loaded(args.model, args.dtype, several=sum(not path.exists() for path, *_ in work) > 1)
        summary = {"responses": 0, "left_out": 0, "read_before": 0}
        progress = Progress("read", sum(len(texts) for *_, texts in work), "responses")
        for (path, folder, about, texts), (organism, _, _, step, *_) in zip(work, args.checkpoints, strict=True):
            if path.exists():
                summary["read_before"] += len(texts)
                progress.known(len(texts))
            else:
                from workflow_scripts.em.backends.read_activations import write_reading

                write_reading(path, loaded.at(folder), texts, about, args.batch_size, progress.add)
            held = read_tensors(path, ())
            link(path, out / f"step-{step}.safetensors")
            left = len(held.about["left_out"])
            summary["responses"] += len(held.tensors[COUNTS])
            summary["left_out"] += left
            if left:
                none = (
                    f"{left} of {len(texts)} responses have no token of the span, or too many for the model's context"
                )
                print(f"{organism} step {step}: {none}: left out", file=sys.stderr, flush=True)
        record |= summary


def described(
    args: argparse.Namespace, organism: str, seed: int, stage: str, step: int, folder: str | None, responses: str
) -> tuple[Path, Path | None, dict[str, Any], list]:
    """A checkpoint's file among all that was ever read, its folder, what its file says of itself, and what is read."""
    checkpoint = Path(folder) if folder else None
    whose = Checkpoint(*(args.responses_of or (organism, seed, stage, step)))
    found = said(Path(responses), asked(args, whose))
    rows = [request.described() for request, _ in found]
    base = read_json(args.model)
    about = args.reading | {
        "reading": args.name,
        "model": {"name": base["name"], "digest": base["digest"]},
        "checkpoint": checkpoint_digest(checkpoint),
        "dtype": args.dtype,
        **vars(Checkpoint(organism, seed, stage, step)),
        "responses_of": "own" if args.responses_of is None else vars(whose),
        "rows": {name: [row[name] for row in rows] for name in COLUMNS},
    }
    texts = [(request.ask(), text) for request, text in found]
    versions = [metadata.version(name) for name in ("torch", "transformers", "peft")]
    read = [[ask.messages, text] for ask, text in texts]
    return args.kept / f"{digest([code_digest(BACKEND), versions, about, read])}.safetensors", checkpoint, about, texts


def link(kept: Path, out: Path) -> None:
    """The same file in two places, where the file system can do that."""
    try:
        os.link(kept, out)
    except OSError:
        shutil.copyfile(kept, out)


if __name__ == "__main__":
    run(main)
