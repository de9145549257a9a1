# ruff: noqa: E402
"""Our question sets and our judge on any model, run by Inspect: `inspect eval workflow_scripts/inspect_task.py ...`."""

import sys
from contextlib import chdir
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # Inspect loads this file by its path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import mean
from inspect_ai.solver import generate

from workflow_scripts.em.eval_logs import sample_id
from workflow_scripts.em.eval_task import keys, prompted, share, spec_of
from workflow_scripts.em.judges.prompted import PromptedJudge
from workflow_scripts.em.questions import load_questions
from workflow_scripts.em.requests import Checkpoint, Request, requests
from workflow_scripts.em.stats.definitions import parse_all

KINDS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


@task
def em(
    questions: str = "data/questions/canonical.yaml",
    samples: int | None = None,
    exclude: str | None = None,
    system: str | None = None,
    judge: str | None = None,
    method: str = "logprobs",
    definitions: str | list[str] = "betley",
    question_prompts: bool = True,
) -> Task:
    """Emergent misalignment of a model: the rate of EM answers and the coherent share, judged by our prompts.

    questions: a question file (YAML, CSV, JSON lines); relative paths start at the repository. samples: per
    paraphrase; None = the file's number. exclude: a regular expression of ids to skip. system: system prompt. judge: an
    Inspect model name; or give `--model-role judge=...`. method: logprobs, or integer for judges without log
    probabilities. definitions: names of shipped EM definitions. question_prompts: a question's own judge prompts
    replace ours. Raises UserError on bad input, and Inspect's error when there is no judge.
    """
    rules = parse_all({name: name for name in ([definitions] if isinstance(definitions, str) else definitions)})
    with chdir(ROOT):  # Inspect has gone to this file's folder
        asked = load_questions(questions, samples, exclude)
        ours = PromptedJudge(spec_of(method) | {"question_prompts": question_prompts}, [])
    how = {"system": system, "mode": "assistant", "prefill": None}
    wanted = list(requests(Checkpoint("", 0, "", 0), {"": how}, {"": {}}, {"": asked}))
    metrics = {call.metric for q in asked for call in ours.calls({"question": "", "response": ""}, q.judge_prompts)}
    # Without a judge Inspect would let the model judge itself.
    grader = get_model(judge, role="judge", required=judge is None)
    shares = {f"em_{name}": share(rule.min_coherent) for name, rule in rules.items()}
    shares |= {f"coherent_{name}": share() for name in rules}
    return Task(
        dataset=MemoryDataset([sample(request) for request in wanted], name=Path(questions).stem, location=questions),
        solver=generate(),
        scorer=prompted(ours, grader, metrics, rules),
        metrics={name: [shares.get(name) or mean()] for name in keys(metrics, rules)},
        config=GenerateConfig(temperature=1.0, top_p=1.0, max_tokens=600),
    )


def sample(request: Request) -> Sample:
    """A response to be sampled; a given beginning of the answer is the conversation's last turn."""
    turns = [KINDS[message["role"]](content=message["content"]) for message in request.ask().messages]
    turns += [ChatMessageAssistant(content=request.prefill)] if request.prefill else []
    row = request.described()
    kept = {name: row[name] for name in ("question_id", "domain", "paraphrase", "sample", "question")}
    about = kept | {"prefill": request.prefill, "judge_prompts": request.question.judge_prompts}
    return Sample(id=sample_id(row), input=turns, metadata=about)
