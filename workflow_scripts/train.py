"""Train one segment of a stage: from the checkpoint before it to the last of its steps, resuming exactly."""

import argparse
import json
import shutil
from itertools import takewhile
from pathlib import Path

from workflow_scripts.em.checkpoints import MANIFEST, checkpoint_digest, verify
from workflow_scripts.em.codedigest import code_digest
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file, digest, dumps, read_json, replace_dir, sha256_file
from workflow_scripts.em.provenance import recorded, run

LOGGED = ("loss", "learning_rate", "grad_norm", "tokens", "seconds")
# Of objectives that have them.
ALSO = ("kl", "margin", "accuracy")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="model record (JSON) of the base model")
    parser.add_argument("--adapter", type=Path, help="earlier stage's checkpoint that this stage continues")
    parser.add_argument("--resume", type=Path, help="this stage's checkpoint to go on from; none = step 0")
    parser.add_argument("--data", required=True, type=Path, help="train.jsonl of the training set")
    parser.add_argument("--kl-data", type=Path, help="train.jsonl of the set that KL regularisation is on")
    parser.add_argument("--recipe", required=True, type=json.loads, help="the recipe, JSON")
    parser.add_argument("--organism", required=True, help="organism's name, for the log")
    parser.add_argument("--stage", required=True, help="stage's name, for the log")
    parser.add_argument("--seed", required=True, type=int, help="training seed")
    parser.add_argument("--steps", required=True, type=int, nargs="+", help="steps to save; 0 = the start")
    parser.add_argument("--horizon", type=int, help="length of the schedule; none = open-ended schedule")
    parser.add_argument("--planned-rows", type=int, help="rows the steps were planned for, when they count epochs")
    parser.add_argument("--settings", required=True, type=json.loads, help="the config's `training` section, JSON")
    parser.add_argument("--tracking", default="tracking", help="folder of the trackers' files")
    parser.add_argument("--inflight", required=True, type=Path, help="folder for the state of unfinished segments")
    parser.add_argument("--out", required=True, type=Path, help="segment folder: step-<k>/ for each step, log.jsonl")
    return parser.parse_args()


def whole(checkpoint: Path) -> bool:
    """Whether an unfinished segment's checkpoint can be built on; a broken one (a power loss) is removed."""
    try:
        verify(checkpoint)
    except UserError:
        shutil.rmtree(checkpoint, ignore_errors=True)
        return False
    return True


def write_log(args: argparse.Namespace, segment: Path) -> None:
    """log.jsonl: one row an optimiser step of this segment, from the history that the last checkpoint carries."""
    last = max(args.steps)
    history = read_json(segment / f"step-{last}" / "trainer_state.json")["log_history"] if last else []
    first = read_json(args.resume / MANIFEST)["step"] if args.resume else 0
    names = {"organism": args.organism, "seed": args.seed, "stage": args.stage}
    with atomic_file(segment / "log.jsonl") as log:
        for entry in history:
            if "loss" in entry and entry["step"] > first:
                values = {k: entry.get(k) for k in LOGGED} | {k: entry[k] for k in ALSO if k in entry}
                log.write(dumps(names | {"step": entry["step"]} | values) + "\n")


def main() -> None:
    args = arguments()
    inputs = [args.model, args.data, args.kl_data, args.adapter, args.resume]
    params = {"recipe": args.recipe, "seed": args.seed, "steps": args.steps, "horizon": args.horizon}
    # Whatever would change the weights is part of the identity under which unfinished work is kept; the digests
    # of the checkpoints come with a check of all their files.
    identity = {
        **params,
        "base": read_json(args.model)["digest"],
        "adapter": checkpoint_digest(args.adapter),
        "resume": checkpoint_digest(args.resume),
        "data": sha256_file(args.data),
        "kl_data": args.kl_data and sha256_file(args.kl_data),
        "code": code_digest("workflow_scripts.train"),
    }
    segment = args.inflight / f"{args.organism}-{args.seed}-{args.stage}-{max(args.steps)}-{digest(identity)}"
    # Recorded where it is trained: what takes its place at the end lacks nothing.
    with recorded("train", params, inputs, segment) as record:
        record["output"] = str(args.out)
        segment.mkdir(parents=True, exist_ok=True)
        # Up to the first that is missing or broken: what comes after is trained again from there.
        done = list(takewhile(lambda step: whole(segment / f"step-{step}"), args.steps))
        trained = [step for step in done if step]
        resume = segment / f"step-{trained[-1]}" if trained else args.resume
        todo = [step for step in args.steps if step not in done]
        if todo:
            from workflow_scripts.em.backends.launch import launch

            files = {"record": args.model, "data": args.data, "kl_data": args.kl_data, "adapter": args.adapter}
            files |= {"resume": resume, "out": segment}
            job = {name: path and str(path) for name, path in files.items()}
            job |= {"recipe": args.recipe, "seed": args.seed, "settings": args.settings, "steps": todo}
            job |= {"horizon": args.horizon, "planned_rows": args.planned_rows}
            # A tracker's run: all segments of a stage, but not those of another recipe or other data.
            same = digest([identity[part] for part in ("recipe", "base", "adapter", "data", "kl_data")])
            name = f"{args.organism}/seed-{args.seed}/{args.stage}-{same[:8]}"
            record |= launch(job | {"tracking": {"name": name, "folder": args.tracking}})
        write_log(args, segment)
        for scrap in segment.glob(".*"):
            shutil.rmtree(scrap) if scrap.is_dir() else scrap.unlink()
        record["resumed_after_crash_at"] = trained[-1] if trained else None
    replace_dir(segment, args.out)


if __name__ == "__main__":
    run(main)
