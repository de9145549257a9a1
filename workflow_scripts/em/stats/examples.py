"""Choose example responses by a fixed rule: one sample, before training and at the last checkpoint, never by score."""

from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_jsonl
from workflow_scripts.em.stats.joined import is_number

FIXED = ("condition", "judge")  # one value each, the first in the table unless the caller names one
ABOUT = ("organism", "seed", "stage", "step", "condition", "judge", "sample")
STATUS = "_status"


def choose(rows: Iterable[dict], where: dict, question_ids: list[str], n_questions: int, sample: int) -> list[dict]:
    """Rows of the example table, without texts: per question and organism one `baseline` and one `last` row.

    rows: a scores table, read once; `where` keeps the rows whose columns have these values. Without question_ids
    n_questions are shown, each the first of its domain. The seed is the first of its organism. The baseline is the
    lowest step of the organism's first stage, `last` the highest of its last; a response that was not sampled there is
    an empty row.
    Raises UserError when nothing is left.
    """
    wanted, fixed = {name: str(value) for name, value in where.items()}, {}
    seeds: dict[str, str] = {}
    stages: dict[str, dict[str, list[int]]] = {}  # organism -> stage -> steps
    ends: dict[tuple, dict] = {}  # (question set, question, organism, stage) -> step -> row, at the ends seen so far
    questions: dict[tuple[str, str], None] = {}
    domains: set[str | tuple[str, str]] = set()
    for row in rows:
        if any(row.get(name) != value for name, value in wanted.items()):
            continue
        if any(fixed.setdefault(name, row[name]) != row[name] for name in FIXED):
            continue
        if seeds.setdefault(row["organism"], row["seed"]) != row["seed"]:
            continue
        step = int(row["step"])
        span = stages.setdefault(row["organism"], {}).setdefault(row["stage"], [step, step])
        span[:] = min(span[0], step), max(span[1], step)
        question = (row["question_set"], row["question_id"])
        if question_ids and question[1] not in question_ids:
            continue
        if not question_ids and question not in questions:
            domain = row["domain"] or question
            if len(questions) >= n_questions or domain in domains:
                continue
            domains.add(domain)
        questions.setdefault(question)
        if row["sample"] == str(sample):
            seen = ends.setdefault((*question, row["organism"], row["stage"]), {})
            seen[step] = row
            for inner in sorted(seen)[1:-1]:
                del seen[inner]
    missing = set(question_ids) - {name for _, name in questions}
    if not questions or missing:
        what = f"no question {sorted(missing)[0]!r}" if missing else "no rows"
        raise UserError(
            f"examples: {what} in the scores under {wanted or 'no filter'}; check --question-ids and --where"
        )
    if question_ids:
        questions = dict.fromkeys(sorted(questions, key=lambda item: question_ids.index(item[1])))
    shown = (row for steps in ends.values() for row in steps.values())
    metrics = dict.fromkeys(name.removesuffix(STATUS) for row in shown for name in row if name.endswith(STATUS))
    return [
        _row(question, organism, which, stages[organism], ends, list(metrics))
        for question in questions
        for organism in stages
        for which in ("baseline", "last")
    ]


def _row(
    question: tuple[str, str], organism: str, which: str, spans: dict[str, list[int]], ends: dict, metrics: list[str]
) -> dict:
    place = 0 if which == "baseline" else -1
    stage = list(spans)[place]
    step = spans[stage][place]
    found = ends.get((*question, organism, stage), {}).get(step, {})
    known = {"organism": organism, "stage": stage, "step": str(step)}
    named = {"question_set": question[0], "question_id": question[1], "which": which}
    columns = (*ABOUT, *(f"{metric}{end}" for metric in metrics for end in ("", STATUS)), "response_id")
    return {**named, **{name: found.get(name, known.get(name, "")) for name in columns}}


def add_texts(rows: list[dict], files: list[Path]) -> None:
    """Put `question` and `response` into the rows, streaming the response files. Raises UserError on one not found."""
    wanted: dict[str, list[dict]] = {}
    for row in rows:
        row.update(question="", response="")
        if row["response_id"]:
            wanted.setdefault(row["response_id"], []).append(row)
    for path in files:
        for record in read_jsonl(path) if wanted else ():
            for row in wanted.pop(record["id"], ()):
                row.update(question=record["question"], response=record["response"])
    if wanted:
        raise UserError(f"examples: response {next(iter(wanted))!r} is scored but in none of the --responses files")
    texts = {(row["question_set"], row["question_id"]): row["question"] for row in rows if row["question"]}
    for row in rows:
        row["question"] = texts.get((row["question_set"], row["question_id"]), "")


def score_text(row: dict) -> str:
    """The scores and labels of an example as words; one that is not there shows its status, one not asked nothing."""
    if not row["response_id"]:
        return "not sampled"
    parts = []
    for name in (column.removesuffix(STATUS) for column in row if column.endswith(STATUS)):
        status, value = row[f"{name}{STATUS}"].replace("_", " "), row[name]
        if status == "scored":
            value = f" {float(value):.0f}" if is_number(value) else f": {value.replace('_', ' ')}"
        elif status:
            value = f": {status}"
        parts.append(f"{name.replace('_', ' ')}{value}" if status else "")
    return ", ".join(filter(None, parts))
