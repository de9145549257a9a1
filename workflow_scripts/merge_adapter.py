"""Merge an earlier stage's adapter into its base model: the base of a stage that starts with `merge`."""

import argparse
from pathlib import Path

from workflow_scripts.em.checkpoints import checkpoint_digest
from workflow_scripts.em.files import atomic_dir, digest_tree, write_json
from workflow_scripts.em.gpus import claim
from workflow_scripts.em.provenance import recorded, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="model record (JSON) under the adapter")
    parser.add_argument("--adapter", required=True, type=Path, help="checkpoint folder to merge")
    parser.add_argument("--dtype", default="float32", help="dtype to merge in")
    parser.add_argument("--out-model", required=True, type=Path, help="merged model folder")
    parser.add_argument("--out", required=True, type=Path, help="its model record (JSON)")
    args = parser.parse_args()
    with recorded("merge_adapter", {"dtype": args.dtype}, [args.model, args.adapter], args.out):
        checkpoint_digest(args.adapter)
        claim(1)
        from workflow_scripts.em.backends import models

        base = models.read_record(args.model)
        with atomic_dir(args.out_model) as folder:
            models.merged_checkpoint(base, args.adapter, args.dtype).save_pretrained(folder)
            models.load_tokenizer(base).save_pretrained(folder)
        record = base | {"name": str(args.out_model), "path": str(args.out_model), "revision": None}
        write_json(args.out, record | {"digest": digest_tree(args.out_model), "merged": str(args.adapter)})


if __name__ == "__main__":
    run(main)
