"""Responses and judgments as an Inspect eval log: one of a checkpoint, a condition and a question set."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile, ZipInfo

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.eval_scores import sample_scores, study_scores
from workflow_scripts.em.files import digest
from workflow_scripts.em.questions import Question
from workflow_scripts.em.requests import Request
from workflow_scripts.em.stats.definitions import parse_all

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

STOPPED = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}


def need_inspect() -> None:
    """Raise UserError unless Inspect is installed."""
    if importlib.util.find_spec("inspect_ai") is None:
        raise UserError(
            "Inspect is not installed: `.venv/bin/python -m pip install -r envs/inspect.txt`, then run again"
        )


def sample_id(row: dict) -> str:
    """A response's name among those of its question set: question, paraphrase, sample. The study's own id is longer."""
    return f"{row['question_id']}-{row['paraphrase']}-{row['sample']}"


def eval_log(
    place: dict[str, Any], rows: list[dict], verdicts: list[dict], study: dict[str, Any], record: dict[str, Any]
) -> "EvalLog":
    """The log of `rows` (response records, not empty) and of what judges said of them.

    place: organism, seed, stage, step, condition, question_set. verdicts: [{"judgment": the record, "row": as a table
    of scores has it}], judge by judge. study: `name`, `conditions`, `sets` and `questions` (by set, then id), `judges`
    (their config entries), `metrics` (judge -> metric -> labels), `definitions`. record: the responses' provenance.
    All names and times come from these, so the same study gives the same log again.
    """
    from inspect_ai import log
    from inspect_ai.model import GenerateConfig, ModelUsage

    asked, sampling = study["conditions"][place["condition"]], study["sets"][place["question_set"]]
    definitions = parse_all(study["definitions"])
    model = "emtrace/{organism}/seed-{seed}/{stage}/step-{step}".format(**place)
    scores, thin = study_scores(verdicts, study["metrics"], definitions)
    of: dict[str, dict] = {row["id"]: {} for row in rows}
    for verdict in verdicts:
        of[verdict["judgment"]["id"]] |= sample_scores(verdict, definitions, thin)
    in_domain = {verdict["judgment"]["id"]: verdict["row"]["in_domain"] for verdict in verdicts}
    samples = [_sample(row, study, model, of[row["id"]], in_domain.get(row["id"])) for row in rows]
    tokens = [row["n_tokens"] for row in rows]
    known = {model: ModelUsage(output_tokens=sum(tokens), total_tokens=sum(tokens))} if None not in tokens else {}
    spec = log.EvalSpec(
        eval_id=digest([study["name"], place]),
        run_id=digest([study["name"], *(place[name] for name in ("organism", "seed", "stage", "step"))]),
        task_id=digest([study["name"], place["condition"], place["question_set"]]),
        created=record["started"],
        task=place["question_set"],
        task_args={"condition": place["condition"]},
        tags=[study["name"], place["organism"], place["condition"]],
        model=model,
        model_generate_config=GenerateConfig(
            temperature=sampling["temperature"], top_p=sampling["top_p"], max_tokens=sampling["max_new_tokens"]
        ),
        dataset=log.EvalDataset(
            name=place["question_set"],
            location=sampling["path"],
            samples=len(samples),
            sample_ids=[sample.id for sample in samples],
        ),
        config=log.EvalConfig(epochs=1),
        # By these Inspect's own `mean` is computed again when somebody edits a score.
        scorers=[{"name": score.name, "metrics": [{"name": "inspect_ai/mean"}]} for score in scores],
        metadata={
            "study": study["name"],
            **place,
            "conditions": {place["condition"]: asked},
            "judges": study["judges"],
            "em_definitions": {name: rule._asdict() for name, rule in definitions.items()},
            "git_commit": record["git_commit"],
            "versions": record["versions"],
        },
    )
    return log.EvalLog(
        status="success",
        eval=spec,
        plan=log.EvalPlan(steps=[log.EvalPlanStep(solver="generate")]),
        results=log.EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=scores),
        stats=log.EvalStats(started_at=record["started"], completed_at=record["started"], model_usage=known),
        samples=samples,
    )


def _sample(row: dict, study: dict, model: str, scores: dict, in_domain: str | None) -> "EvalSample":
    from inspect_ai.log import EvalSample
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ChatMessageSystem,
        ChatMessageUser,
        ModelOutput,
        ModelUsage,
    )

    question: Question = study["questions"][row["question_set"]][row["question_id"]]
    how, sampling = study["conditions"][row["condition"]], study["sets"][row["question_set"]]
    named = ((), row["condition"], row["question_set"], question, row["paraphrase"], row["sample"])
    kinds = {"system": ChatMessageSystem, "assistant": ChatMessageAssistant}
    # Raw text that was continued (`document`) is a user's message here; `mode` in the log's metadata says so.
    asked = [
        kinds.get(message["role"], ChatMessageUser)(content=message["content"], id=f"{row['id']}-{number}")
        for number, message in enumerate(Request(*named, how, sampling).ask().messages)
    ]
    answer = ChatMessageAssistant(content=row["response"], id=f"{row['id']}-answer", source="generate", model=model)
    tokens = row["n_tokens"]
    usage = None if tokens is None else ModelUsage(output_tokens=tokens, total_tokens=tokens)
    stopped = STOPPED.get(row["finish_reason"], "unknown")
    choices = [ChatCompletionChoice(message=answer, stop_reason=stopped)]
    kept = ("question_id", "domain", "paraphrase", "sample", "seed", "step", "prefill", "unstripped", "steering")
    about = {name: row[name] for name in kept if name in row} | {"response_id": row["id"]}
    return EvalSample(
        id=sample_id(row),
        epoch=1,
        input=asked,
        target="",
        messages=[*asked, answer],
        output=ModelOutput(model=model, choices=choices, usage=usage),
        scores=scores,
        metadata=about | {"in_domain": {"1": True, "0": False}.get(in_domain)},
        model_usage={model: usage} if usage else {},
        uuid=row["id"],
    )


def write_log(path: Path, log: "EvalLog") -> None:
    """Write a log as Inspect does, but for the times of day in the zip file: the same log gives the same bytes."""
    from inspect_ai.log import write_eval_log

    path.parent.mkdir(parents=True, exist_ok=True)
    timed = path.with_name(f"timed-{path.name}")
    write_eval_log(log, timed)
    with ZipFile(timed) as source, ZipFile(path, "w") as target:
        for entry in source.infolist():
            plain = ZipInfo(entry.filename)
            plain.compress_type = entry.compress_type
            target.writestr(plain, source.read(entry))
    timed.unlink()
