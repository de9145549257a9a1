"""Cross-checks of conditions: what of the questions and organisms cannot be asked under them."""

from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.config.data import QuestionSet
from workflow_scripts.em.config.generation import Condition
from workflow_scripts.em.config.problems import Problem, entries, named, parsed
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.questions import Question, load_questions
from workflow_scripts.em.requests import is_asked, unaskable


def condition_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Questions and conditions of the evaluation that do not go together; what only a local model can be asked."""
    evaluation = raw.get("evaluation") if isinstance(raw.get("evaluation"), dict) else {}
    conditions = dict(_picked(raw, evaluation, "conditions", Condition))
    asked = {name: _questions(entry) for name, entry in _picked(raw, evaluation, "question_sets", QuestionSet)}
    names = evaluation.get("question_sets")
    yield from _pairs(conditions, names if isinstance(names, list) else list(asked))
    for question_set, questions in asked.items():
        for condition, how in conditions.items():
            if not is_asked(how.plain(), question_set):
                continue
            found = [problem for question in questions if (problem := unaskable(how.plain(), question))]
            if found:
                path = raw["question_sets"][question_set]["path"]
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                yield (
                    f"question_sets.{question_set}",
                    f"condition {condition!r}, {path}: {found[0]}{more}; leave it out with `exclude`, or name the "
                    f"sets that it is for under `conditions.{condition}.question_sets`",
                )
    remote = [name for name, organism in entries(raw, "organisms").items() if organism.get("api")]
    wants = [f"condition {name!r}" for name, how in conditions.items() if how.mode == "predictive" or how.prefill]
    wants += [f"question {q.id!r} of {name!r}" for name, questions in asked.items() for q in questions if q.prefill]
    if wants:
        for organism in remote:
            yield (
                f"organisms.{organism}.api",
                f"a chat server takes neither raw text nor the beginning of an answer ({wants[0]}); ask it in a study "
                "without these",
            )


def _pairs(conditions: dict[str, Condition], asked: list[str]) -> Iterator[Problem]:
    """Conditions that are for no question set of the evaluation, and sets that no condition is for."""
    for name, how in conditions.items():
        for i, question_set in enumerate(how.question_sets or ()):
            if question_set not in asked:
                where = f"conditions.{name}.question_sets[{i}]"
                hint = did_you_mean(question_set, asked)
                yield where, f"{question_set!r} is not in `evaluation.question_sets`; {hint}"
        if how.question_sets == []:
            yield f"conditions.{name}.question_sets", "name at least one, or leave the key out: then it is for all"
    for i, question_set in enumerate(asked):
        if conditions and not any(is_asked(how.plain(), question_set) for how in conditions.values()):
            yield f"evaluation.question_sets[{i}]", f"no condition is for {question_set!r}, so it would not be asked"


def _picked(raw: dict, evaluation: dict, section: str, model: type) -> Iterator[tuple[str, Any]]:
    """The valid entries of a section that the evaluation names."""
    names = evaluation.get(section)
    for name, entry in named(raw, section).items():
        found = parsed(model, entry) if isinstance(names, list) and name in names else None
        if found is not None:
            yield name, found


def _questions(entry: QuestionSet) -> list[Question]:
    try:
        return load_questions(entry.path, entry.samples, entry.exclude)
    except UserError:  # reported where files are checked
        return []
