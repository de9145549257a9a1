"""Export the journals of judges (or of responses) to one file, and import one: answers change hands, no keys do.

Or forget the answers of a judge about a study that gave no score; they are exported first, and asked again.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.exchange import export, take_in
from workflow_scripts.em.forgetting import forget
from workflow_scripts.em.judges import Call, Judge
from workflow_scripts.em.provenance import run
from workflow_scripts.judge import asked_about

STATUSES = ("unparseable", "refusal", "code")
WHICH = "forget: answers with which status, by default those that could not be read"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("export", "import", "forget"), help="what to do")
    parser.add_argument("file", type=Path, help="the .jsonl.gz file; forget: the study's folder, results/<study>")
    parser.add_argument("--journal", default="results/.journal/judgments", type=Path, help="folder of journals")
    parser.add_argument("--only", nargs="*", default=[], help="export: names of journals (folders), all by default")
    parser.add_argument("--judge", help="forget: the judge's name in the config")
    parser.add_argument("--status", nargs="+", choices=STATUSES, default=STATUSES[:1], help=WHICH)
    args = parser.parse_args()
    if args.action == "forget":
        if args.judge is None:
            raise UserError("forget: name the judge, --judge NAME")

        def about(judge: Judge, questions: dict[str, str]) -> Callable[[dict], list[Call]]:
            return asked_about(judge, argparse.Namespace(questions=questions))

        print(forget(args.journal, args.file, args.judge, set(args.status), about))
    elif args.action == "export":
        print(f"{args.file}: {export(args.journal, args.file, args.only)} answers")
    else:
        added, known = take_in(args.journal, args.file)
        print(f"{args.journal}: {added} answers added, {known} were there")


if __name__ == "__main__":
    run(main)
