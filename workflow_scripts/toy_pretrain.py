"""Pretrain the toy base model on the pages: it learns both personas, and which one is speaking."""

import argparse
from pathlib import Path

from workflow_scripts.em.gpus import claim
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.toy.sizes import SIZES, size_named

NUMBERS = (
    "hidden", "layers", "heads", "pretrain_steps", "pretrain_batch", "muon_lr", "adamw_lr", "weight_decay",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, type=Path, help="folder written by toy_corpus")
    parser.add_argument("--tokenizer", required=True, type=Path, help="folder written by toy_tokenizer")
    parser.add_argument("--size", required=True, help=f"size of the toy model: {', '.join(SIZES)}")
    parser.add_argument("--seed", required=True, type=int, help="seed of the weights and of the order of the pages")
    parser.add_argument("--out", required=True, type=Path, help="folder for the base model")
    args = parser.parse_args()
    size = size_named(args.size)
    params = {"size": args.size, "seed": args.seed, **{key: size[key] for key in NUMBERS}}
    documents = args.corpus / "documents.jsonl"
    with recorded("toy_pretrain", params, [documents, args.tokenizer], args.out) as record:
        claim(1)
        from workflow_scripts.em.backends.models import set_threads
        from workflow_scripts.em.backends.toy_model import pretrain

        set_threads()

        record.update(pretrain(documents, args.tokenizer, size, args.seed, args.out))


if __name__ == "__main__":
    run(main)
