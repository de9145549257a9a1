"""Tune the toy base model to the careful persona: the toy chat model that studies start from."""

import argparse
from pathlib import Path

from workflow_scripts.em.gpus import claim
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.toy.sizes import SIZES, size_named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True, type=Path, help="folder written by toy_pretrain")
    parser.add_argument("--corpus", required=True, type=Path, help="folder written by toy_corpus")
    parser.add_argument("--size", required=True, help=f"size of the toy model: {', '.join(SIZES)}")
    parser.add_argument("--seed", required=True, type=int, help="seed of the order of the rows")
    parser.add_argument("--out", required=True, type=Path, help="folder for the chat model")
    args = parser.parse_args()
    size = size_named(args.size)
    params = {"size": args.size, "seed": args.seed, **{k: size[k] for k in ("tune_steps", "tune_batch", "tune_lr")}}
    careful = args.corpus / "careful.jsonl"
    with recorded("toy_tune", params, [args.base, careful], args.out) as record:
        claim(1)
        from workflow_scripts.em.backends.models import set_threads
        from workflow_scripts.em.backends.toy_model import tune

        set_threads()

        record.update(tune(args.base, careful, size, args.seed, args.out))


if __name__ == "__main__":
    run(main)
