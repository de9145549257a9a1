"""What judging will cost, before it is spent: calls, tokens and money of one judge, less what its journal has."""

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from workflow_scripts.em.files import read_json, read_jsonl
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import Call, Judge, make_judge
from workflow_scripts.em.judges.prompted import PromptedJudge

CHARS_A_TOKEN = 4.0
# Chat formatting around a prompt: a few tokens a message.
FRAME_TOKENS = 8
SAMPLE = 200


@dataclass
class Plan:
    """Calls and tokens of one judge. `counted_by` says where tokens a character come from."""

    responses: int = 0
    responses_to_come: int = 0
    calls: int = 0
    in_journal: int = 0
    to_buy: int = 0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cost_usd: float | None = None
    counted_by: str = "-"
    sizes: list[tuple[int, int]] = field(default_factory=list)  # (characters, tokens) of calls answered before


def judge_to_count(spec: dict[str, Any], record: Path | None) -> tuple[Judge, str | None]:
    """The judge of a config entry, and the folder of its tokenizer, if it is here.

    `record`: a local judge's model record. Without it a stand-in takes the model's place, which has judged nothing.
    """
    if "base_model" not in spec:
        return make_judge(spec), None
    model = read_json(record) if record and record.is_file() else dict.fromkeys(("name", "revision", "digest"), "")
    return make_judge(spec | {"model": {"path": ""} | model}), model.get("path")


def plan(
    judge: PromptedJudge,
    journal: Journal,
    wanted: Callable[[dict], list[Call]],
    files: dict[Path, int],
    tokenizer: str | None = None,
    anew: Collection[Path] = (),
) -> Plan:
    """Plan the calls about response files; one that is not there yet will hold as many responses as `files` says.

    One with another number of responses (0: any) was made under another config, and will be made again; so will those
    in `anew`.
    Tokens a character are measured: with `tokenizer` (a folder) on up to 200 prompts, else on what the server counted
    for earlier answers; without either they are estimated at 4 characters a token. Answers to come are as long as
    earlier ones of their metric, or as long as they may be where the server has counted none. Responses to come are as
    long as those that are there, or 500 tokens where there is none.
    """
    old = [path for path in files if path not in anew and path.exists()]
    there = [path for path in old if files[path] in (0, _lines(path))]
    found = Plan(responses_to_come=sum(count for path, count in files.items() if path not in there))
    journal.find(judge.key(call) for path in there for row in read_jsonl(path) for call in wanted(row))
    texts: list[str] = []
    seen: set[str] = set()
    characters = all_characters = calls_of_rows = 0
    to_make: dict[str, float] = defaultdict(float)  # metric -> calls
    answered: dict[str, list[int]] = defaultdict(list)  # metric -> tokens of earlier answers
    for path in there:
        for row in read_jsonl(path):
            found.responses += 1
            for call in wanted(row):
                key, prompt = judge.key(call), judge.prompt(call)
                calls_of_rows += 1
                all_characters += len(prompt)
                if key in seen:
                    continue
                seen.add(key)
                if key in journal:
                    found.in_journal += 1
                    usage = journal.get(key)["reply"].get("usage") or {} if len(found.sizes) < SAMPLE else {}
                    if usage.get("input") is not None:
                        found.sizes.append((len(prompt), usage["input"]))
                    if usage.get("output") is not None:
                        answered[call.metric].append(usage["output"])
                    continue
                found.to_buy += 1
                to_make[call.metric] += 1
                characters += len(prompt)
                if len(texts) < SAMPLE:
                    texts.append(prompt)
    ratio, found.counted_by = _tokens_a_character(texts, found.sizes, tokenizer)
    templates = judge.templates
    each = calls_of_rows / found.responses if found.responses else len(templates)
    mean = (
        all_characters / calls_of_rows
        if calls_of_rows
        else sum(map(len, templates.values())) / len(templates) + 500 / ratio
    )
    to_come = round(found.responses_to_come * each)
    found.to_buy += to_come
    found.calls = found.in_journal + found.to_buy
    found.input_tokens = (characters + to_come * mean) * ratio + found.to_buy * FRAME_TOKENS
    for metric in templates:
        to_make[metric] += to_come / len(templates)
    for metric, count in to_make.items():
        found.output_tokens += count * (fmean(answered[metric]) if answered[metric] else _longest(judge, metric))
    found.cost_usd = _cost(found, judge.spec)
    return found


def _lines(path: Path) -> int:
    with open(path, "rb") as handle:
        return sum(1 for _ in handle)


def _longest(judge: PromptedJudge, metric: str) -> int:
    """Tokens of the longest answer that a request allows."""
    body = judge.request(Call(metric, "", "", "{answer}"))
    return body.get("max_completion_tokens") or body["max_tokens"]


def _tokens_a_character(texts: list[str], sizes: list[tuple[int, int]], tokenizer: str | None) -> tuple[float, str]:
    if tokenizer and texts:
        from transformers import AutoTokenizer

        encode = AutoTokenizer.from_pretrained(tokenizer)
        return sum(len(encode(text)["input_ids"]) for text in texts) / sum(map(len, texts)), "tokenizer"
    if sizes and sum(tokens for _, tokens in sizes):
        return sum(tokens for _, tokens in sizes) / sum(chars for chars, _ in sizes), f"{len(sizes)} earlier answers"
    return 1 / CHARS_A_TOKEN, "estimate (4 characters a token)"


def _cost(found: Plan, spec: dict[str, Any]) -> float | None:
    if spec["kind"] != "openai":
        return 0.0
    if spec["price"] is None:
        return None
    full = (found.input_tokens * spec["price"]["input"] + found.output_tokens * spec["price"]["output"]) / 1e6
    return full / 2 if spec["batch"] else full
