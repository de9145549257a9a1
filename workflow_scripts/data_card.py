"""Describe a training set in a Markdown card (and the same facts as JSON beside it), without quoting a row."""

import argparse
import os
import sys
from pathlib import Path

from workflow_scripts.em.data.card import Count, describe
from workflow_scripts.em.data.card_text import markdown
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file, read_json, write_json
from workflow_scripts.em.provenance import recorded, run


def load_tokenizer(name: str, path: str) -> Count:
    """Token counter of a local tokenizer folder or a hub id. Raises UserError when it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise UserError(f"model {name}: no tokenizer loads from {path} ({why})") from None
    return lambda texts: [len(ids) for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training-set", required=True, type=Path, help="folder that training_set wrote")
    parser.add_argument("--models", nargs="*", type=Path, default=[], help="model records whose tokenizers count")
    parser.add_argument("--out", required=True, type=Path, help="card to write, e.g. card.md; card.json goes beside it")
    args = parser.parse_args()
    if args.out.suffix != ".md":
        raise UserError(f"--out {args.out}: the card is Markdown; give a name that ends in .md")
    named = {path.stem: read_json(path)["path"] for path in args.models}
    with recorded("data_card", {"tokenizers": named}, [args.training_set, *args.models], args.out):
        counters = {name: load_tokenizer(name, path) for name, path in named.items()}
        card = describe(args.training_set, counters)
        write_json(args.out.with_suffix(".json"), card)
        with atomic_file(args.out) as handle:
            handle.write(markdown(card))


if __name__ == "__main__":
    # Tokenizers do without torch, whose import would take longer than the whole card.
    sys.modules.setdefault("torch", None)
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
    run(main)
