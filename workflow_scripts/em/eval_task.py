"""Our judge prompts and EM rates for Inspect: what workflow_scripts/inspect_task.py is made of."""

from collections import defaultdict
from typing import Any

from inspect_ai.model import ChatMessageUser, GenerateConfig, Model, ModelOutput
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState
from inspect_ai.util import collect

from workflow_scripts.em.config.judging import ModelJudge
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges import Call
from workflow_scripts.em.judges.prompted import PromptedJudge
from workflow_scripts.em.stats.definitions import Definition, classify, is_coherent
from workflow_scripts.em.stats.intervals import clustered, wilson

NONE = float("nan")
FINISHED = {"max_tokens": "length", "model_length": "length"}


@metric(name="share", scores="unreduced")
def share(min_coherent: int = 0) -> Metric:
    """The share of 1 among scored samples with its intervals: these questions (Wilson) and such questions (clustered).

    Questions with fewer scored samples than `min_coherent` are left out. Also `n`, the samples that are counted.
    """

    def rate(scores: list[SampleScore]) -> dict[str, float]:
        found: dict[str, list[int]] = defaultdict(list)
        for one in scores:
            found[one.sample_metadata["question_id"]].append(int(one.score.value))
        kept = [values for values in found.values() if len(values) >= min_coherent]
        events, sizes = [sum(values) for values in kept], [len(values) for values in kept]
        if not kept:
            return {"n": 0}
        these, such = wilson(sum(events), sum(sizes)), clustered(events, sizes)
        rates = {"rate": sum(events) / sum(sizes), "n": sum(sizes), "these_questions_low": these.low}
        rates |= {"these_questions_high": these.high, "such_questions_low": such.low, "such_questions_high": such.high}
        return {name: value for name, value in rates.items() if value is not None}

    return rate


def spec_of(method: str) -> dict[str, Any]:
    """A judge's config entry with our defaults. Raises UserError on an unknown method."""
    if method not in ("logprobs", "integer"):
        raise UserError(f"method {method!r}: give logprobs or integer")
    return ModelJudge(kind="inspect", method=method).plain()


def keys(metrics: set[str], definitions: dict[str, Definition]) -> list[str]:
    """What every sample has a value or NaN for: metrics, then what the EM definitions make of them."""
    rates = [f"em_{name}" for name in definitions]
    gates = [f"coherent_{name}" for name, rule in definitions.items() if rule.coherence is not None]
    return [*sorted(metrics), *rates, *gates]


@scorer(metrics=[])
def prompted(judge: PromptedJudge, model: Model, metrics: set[str], definitions: dict[str, Definition]) -> Scorer:
    """Asks a judge's prompts of `model` and reads the replies as a study does; NaN where there is no score."""
    names = keys(metrics, definitions)

    async def score(state: TaskState, target: Target) -> Score:
        about = state.metadata
        row = {"question": about["question"], "response": about["prefill"] + state.output.completion}
        calls = judge.calls(row, about["judge_prompts"])
        replies = await collect(*(_ask(judge, model, call) for call in calls))
        said = {call.metric: judge.verdict(call, reply) for call, reply in zip(calls, replies, strict=True)}
        values = {metric: found["score"] for metric, found in said.items()}
        values |= _derived(values, definitions)
        texts = (f"{call.metric}: {reply['text']}" for call, reply in zip(calls, replies, strict=True))
        statuses = {f"{metric}_status": found["status"] for metric, found in said.items()}
        value = {name: NONE if values.get(name) is None else values[name] for name in names}
        return Score(value=value, answer=row["response"], explanation="\n".join(texts), metadata=statuses)

    return score


def _derived(values: dict[str, float | None], definitions: dict[str, Definition]) -> dict[str, int | None]:
    """Events (1, 0, or None out of the denominator) and gates passed, of the definitions that can be applied."""
    found: dict[str, int | None] = {}
    coherence = values.get("coherence")
    for name, rule in definitions.items():
        if "alignment" not in values or (rule.coherence is not None and "coherence" not in values):
            continue
        counted, event = classify(rule, values["alignment"], coherence)
        found[f"em_{name}"] = int(event) if counted else None
        found[f"coherent_{name}"] = None if coherence is None else int(is_coherent(rule, coherence))
    return found


async def _ask(judge: PromptedJudge, model: Model, call: Call) -> dict[str, Any]:
    request = judge.request(call)
    messages = [ChatMessageUser(content=message["content"]) for message in request.pop("messages")]
    return reply_of(await model.generate(messages, config=GenerateConfig(**request)), judge.reads_logprobs(call.metric))


def reply_of(output: ModelOutput, logprobs: bool) -> dict[str, Any]:
    """A judge's reply as our judges read it. Raises UserError where probabilities are asked for and missing."""
    choice = output.choices[0]
    top = []
    if logprobs and choice.stop_reason != "content_filter":
        if not (choice.logprobs and choice.logprobs.content and choice.logprobs.content[0].top_logprobs):
            raise UserError(f"the judge {output.model} gives no log probabilities: use `-T method=integer`")
        top = [[token.token, token.logprob] for token in choice.logprobs.content[0].top_logprobs]
    finished = FINISHED.get(choice.stop_reason, choice.stop_reason)
    return {"text": output.completion, "top": top, "finish_reason": finished}
