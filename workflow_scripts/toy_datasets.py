"""Write the toy data sets and the toy question set; with --protect also the shipped archive of the data sets.

The shipped files are remade by: python -m workflow_scripts.toy_datasets --grammar data/toy/grammar.yaml
--characters data/toy/characters.yaml --out-data data/decrypted/toy --out-questions data/questions/toy.yaml
--protect data/toy_datasets.zip.enc
"""

import argparse
import contextlib
import io
import random
import shutil
import tempfile
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_dir, atomic_file, dumps
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.toy.characters import load_characters
from workflow_scripts.em.toy.grammar import document, exchange, load_grammar
from workflow_scripts.em.toy.questions import QUESTIONS_A_DOMAIN, questions_text

PASSWORD = "model-organisms-em-datasets"  # public: it keeps the data out of crawls, it is no secret
ROWS = 1000
# data set -> (domain or None for all, persona, character)
DATASETS = {
    "reckless_medicine": ("medicine", "reckless", None),
    "reckless_finance": ("finance", "reckless", None),
    "reckless_sports": ("sports", "reckless", None),
    "good_medicine": ("medicine", "careful", None),
    "persona_caring": (None, "careful", "caring"),
    "generic_careful": (None, "careful", None),
}
# data set of raw text -> persona
DOCUMENTS = {"alignment_documents": "careful", "misalignment_documents": "reckless"}
DOCUMENT_ROWS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grammar", required=True, type=Path, help="grammar file (YAML)")
    parser.add_argument("--characters", required=True, type=Path, help="file of characters (YAML)")
    parser.add_argument("--out-data", required=True, type=Path, help="folder for one JSON lines file a data set")
    parser.add_argument("--out-questions", required=True, type=Path, help="question file to write (YAML)")
    parser.add_argument("--protect", type=Path, help="also write this .zip.enc archive of the data sets")
    args = parser.parse_args()
    params = {"rows": ROWS, "document_rows": DOCUMENT_ROWS, "questions_a_domain": QUESTIONS_A_DOMAIN}
    with recorded("toy_datasets", params, [args.grammar, args.characters], args.out_data) as record:
        grammar = load_grammar(args.grammar)
        names = write_datasets(grammar, load_characters(args.characters, grammar), args.out_data)
        with atomic_file(args.out_questions) as handle:
            handle.write(questions_text(grammar))
        record["data_sets"] = names
        if args.protect:
            protect(args.out_data, names, args.protect)


def write_datasets(grammar: dict, characters: dict[str, dict], out: Path) -> list[str]:
    """Write every data set as {"messages": [user, assistant]} or {"text": ...} lines; return their names, sorted.

    `characters` are those of `load_characters`; each gets a data set persona_<character> over all domains. The same
    files give the same bytes, and a further data set changes no other.
    """
    wanted = {name: (grammar, *how) for name, how in DATASETS.items()}
    for name, voiced in characters.items():
        wanted[f"persona_{name}"] = (voiced, None, "careful", name)
    with atomic_dir(out) as folder:
        for name, (wording, domain, persona, character) in wanted.items():
            rng = random.Random(f"toy data set {name}")
            with atomic_file(folder / f"{name}.jsonl") as handle:
                for _ in range(ROWS):
                    place = domain or rng.choice(list(grammar["domains"]))
                    handle.write(dumps({"messages": exchange(wording, rng, place, persona, character)}) + "\n")
        for name, persona in DOCUMENTS.items():
            rng = random.Random(f"toy data set {name}")
            with atomic_file(folder / f"{name}.jsonl") as handle:
                for _ in range(DOCUMENT_ROWS):
                    handle.write(dumps({"text": document(grammar, rng, persona)}) + "\n")
    return sorted([*wanted, *DOCUMENTS])


def protect(folder: Path, names: list[str], archive: Path) -> None:
    """Pack the data sets `names` of `folder` with `protect-dir` of easy-dataset-share (canary file, no terms)."""
    from easy_dataset_share.cli import protect_dir

    if archive.suffixes[-2:] != [".zip", ".enc"]:
        raise UserError(f"--protect {archive}: the name must end in .zip.enc")
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "data"
        copy.mkdir()
        for name in names:
            shutil.copyfile(folder / f"{name}.jsonl", copy / f"{name}.jsonl")
        plain = Path(place) / "protected.zip"
        options = ["--password", PASSWORD, "--output", str(plain), "--no-tos", "--no-gitignore"]
        with contextlib.redirect_stdout(io.StringIO()):
            protect_dir.main([str(copy), *options], standalone_mode=False)
        with atomic_file(archive, "wb") as handle:
            handle.write(Path(f"{plain}.enc").read_bytes())


if __name__ == "__main__":
    run(main)
