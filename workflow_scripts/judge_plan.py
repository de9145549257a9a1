"""Print what judging a study will ask and cost, judge by judge, before anything is bought."""

import argparse
import json
from pathlib import Path

from tabulate import tabulate

from workflow_scripts.em.data.private import find_secret
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges.prompted import PromptedJudge
from workflow_scripts.em.provenance import run
from workflow_scripts.em.spending import judge_to_count, plan
from workflow_scripts.judge import asked_about, question_prompts

HEAD = [
    "judge",
    "model",
    "responses",
    "to come",
    "calls",
    "in journal",
    "to buy",
    "input tokens",
    "output",
    "tokens by",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judges", required=True, type=json.loads, help="JSON: name -> config entry")
    parser.add_argument("--models", default={}, type=json.loads, help="JSON: base model -> its model record")
    parser.add_argument("--questions", default={}, type=json.loads, help="JSON: question set -> file")
    about_files = "how many responses each of the files after it holds when it is made"
    parser.add_argument("--responses", default=[], nargs="+", action="append", help=about_files)
    parser.add_argument("--journal", required=True, type=Path, help="folder of the judges' journals")
    args = parser.parse_args()
    files = {Path(path): int(count) for count, *paths in args.responses for path in paths}
    rows, notes = [], []
    for name, spec in args.judges.items():
        judge, tokenizer = judge_to_count(spec, Path(args.models.get(spec.get("base_model"), "")))
        if not isinstance(judge, PromptedJudge):
            rows.append([name, f"({spec['kind']})", *[""] * (len(HEAD) - 3), "no calls to a model", 0.0])
            continue
        found = plan(judge, Journal(args.journal / judge.identity), asked_about(judge, args), files, tokenizer)
        rows.append(
            [name, spec.get("model") or spec["base_model"], found.responses, found.responses_to_come, found.calls,
             found.in_journal, found.to_buy, round(found.input_tokens), round(found.output_tokens), found.counted_by,
             "price unknown" if found.cost_usd is None else f"{found.cost_usd:.2f}"]
        )  # fmt: skip
        if loose := judge.loose(question_prompts(args).values()):
            notes.append(
                f"{name}: nothing encloses the answer in the prompt of {', '.join(loose)}: it can pass for more"
            )
        if spec["kind"] == "openai":
            notes += about(name, spec, found.to_buy, found.input_tokens + found.output_tokens)
    print(
        tabulate(
            rows, [*HEAD, "USD"], disable_numparse=True, colalign=("left", "left", *["right"] * 7, "left", "right")
        )
    )
    print("\n".join(notes))


def about(name: str, spec: dict, calls: int, tokens: float) -> list[str]:
    """What else to know before buying: the key, and the least time that the rate limits leave."""
    notes = []
    if spec["key_env"] and calls:
        state = "is set" if find_secret(spec["key_env"]) else "IS NOT SET: nothing can be bought"
        notes.append(f"{name}: the key in {spec['key_env']} {state}")
    limits = [(calls, spec["requests_per_minute"]), (tokens, spec["tokens_per_minute"])]
    minutes = [amount / limit for amount, limit in limits if limit]
    if minutes and calls:
        notes.append(f"{name}: at least {max(minutes):.0f} min within its rate limits")
    if spec.get("batch") and calls:
        notes.append(f"{name}: bought by batches, within a day each")
    return notes


if __name__ == "__main__":
    run(main)
