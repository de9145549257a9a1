"""Judge the responses of one checkpoint; what the same judge has been asked before comes from its journal."""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from workflow_scripts.em.files import atomic_file, dumps, read_json, read_jsonl
from workflow_scripts.em.journal import Journal, late_s
from workflow_scripts.em.judges import Call, Judge, make_judge
from workflow_scripts.em.judging import Bought, buy, missing
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.questions import load_questions
from workflow_scripts.em.verdicts import FILTERED, Verdicts

# Carried over from the response: who answered what. The texts stay in the response file, which has the same ids.
CARRIED = ("id", "organism", "seed", "stage", "step", "condition", "question_set", "question_id")
CARRIED += ("paraphrase", "sample", "domain")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that all stages share that ask a judge."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--name", required=True, help="judge's name")
    parser.add_argument("--judge", required=True, type=json.loads, help="the judge's config entry, JSON")
    parser.add_argument("--buying", default={}, type=json.loads, help="JSON: keys of it that do not decide answers")
    parser.add_argument("--model", type=Path, help="model record of a local judge's base model")
    parser.add_argument("--questions", default={}, type=json.loads, help="JSON: question set -> file")
    parser.add_argument("--journal", required=True, type=Path, help="folder of the judges' journals")
    return parser


def judge_of(args: argparse.Namespace) -> Judge:
    """The judge that the shared options describe."""
    model = {"model": read_json(args.model)} if args.model else {}
    return make_judge(args.judge | args.buying | model)


def question_prompts(args: argparse.Namespace) -> dict[tuple[str, str], dict[str, str]]:
    """(question set, question id) -> the question's own judge prompts."""
    files = args.questions.items()
    return {(name, question.id): question.judge_prompts for name, path in files for question in load_questions(path)}


def calls_about(judge: Judge, args: argparse.Namespace) -> Callable[[dict], list[Call]]:
    """The calls about a response record, its question's own judge prompts considered."""
    prompts = question_prompts(args)
    return lambda row: judge.calls(row, prompts.get((row["question_set"], row["question_id"]), {}))


def kept_back(row: dict) -> bool:
    """Whether a provider's filter kept a response back: there is nothing that could be judged."""
    return row.get("finish_reason") == FILTERED


def asked_about(judge: Judge, args: argparse.Namespace) -> Callable[[dict], list[Call]]:
    """What a judge is asked about a response record: nothing about one that was kept back."""
    about = calls_about(judge, args)
    return lambda row: [] if kept_back(row) else about(row)


def ask(
    judge: Judge,
    journal: Journal,
    calls: Callable[[], Iterator[Call]],
    name: str,
    wait_s: float = 0.0,
    spared: float = 0.0,
) -> tuple[Bought, int]:
    """Buy what the journal lacks of `calls()` (read twice: to count, and to ask); also how many it had.

    `wait_s` and `spared`: as `Journal.find` takes them, of a judge that has been asked before.
    """
    known = len(journal.find((judge.key(call) for call in calls()), wait_s, spared))
    total = sum(1 for _ in missing(judge, journal, calls()))
    return (buy(judge, journal, calls(), total, name) if total else Bought(0)), known


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--responses", required=True, type=Path, help="responses (JSON lines)")
    parser.add_argument("--asked", type=Path, help="the sign that the judge was asked about all, on any machine")
    parser.add_argument("--out", required=True, type=Path, help="judgments (JSON lines), one a judged response")
    args = parser.parse_args()
    inputs = [args.responses, *args.questions.values()]
    with recorded("judge", {"name": args.name, "judge": args.judge}, inputs, args.out) as record:
        judge = judge_of(args)
        wanted, about = asked_about(judge, args), calls_about(judge, args)

        def calls() -> Iterator[Call]:
            return chain.from_iterable(map(wanted, read_jsonl(args.responses)))

        with Journal(args.journal / judge.identity) as journal:
            spared = args.judge.get("max_api_errors", 0.0)
            bought, known = ask(judge, journal, calls, args.name, late_s(args.asked), spared)
            verdicts = Verdicts(judge, journal, bought.failures)
            with atomic_file(args.out) as out:
                for row in read_jsonl(args.responses):
                    verdict_of = verdicts.of_none if kept_back(row) else verdicts.of
                    if found := {call.metric: verdict_of(call, row["id"]) for call in about(row)}:
                        metrics = {metric: verdict for metric, (verdict, _) in found.items()}
                        raw = {metric: reply for metric, (_, reply) in found.items()}
                        carried = {name: row[name] for name in CARRIED}
                        out.write(dumps(carried | {"judge": args.name, "metrics": metrics, "raw": raw}) + "\n")
                limits = (args.buying.get("max_unscored", 1), args.judge.get("max_api_errors", 1))
                verdicts.check(args.name, *limits, args.out)
        statuses = {f"{m}:{status}": n for m, found in verdicts.statuses.items() for status, n in found.items()}
        record |= {"from_journal": known, "statuses": dict(sorted(statuses.items())), **bought.record()}


if __name__ == "__main__":
    run(main)
