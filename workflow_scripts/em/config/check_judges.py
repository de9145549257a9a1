"""Cross-checks of judges: their files, templates and local models."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workflow_scripts.em.config.data import QuestionSet
from workflow_scripts.em.config.judging import Judge, ModelJudge
from workflow_scripts.em.config.metrics import judge_metrics
from workflow_scripts.em.config.problems import Problem, named, parsed
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges.human import read_labels
from workflow_scripts.em.judges.keyword_rules import Rules
from workflow_scripts.em.judges.prompted import SHIPPED, prompt_file, read_template
from workflow_scripts.em.judges.render import check_template
from workflow_scripts.em.questions import load_questions
from workflow_scripts.em.yaml_files import read_yaml

JUDGE: TypeAdapter = TypeAdapter(Judge)


def judge_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Problems of the judges that can be seen without asking one."""
    by_questions, judges = [], {}
    for name, entry in named(raw, "judges").items():
        try:
            judge = JUDGE.validate_python(entry)
        except ValidationError:
            continue
        judges[name] = judge
        where = f"judges.{name}"
        yield from _files(where, judge)
        yield from _templates(where, judge)
        known = list(named(raw, "base_models"))
        base = getattr(judge, "base_model", None)
        if base is not None and base not in known:
            yield f"{where}.base_model", f"{base!r} is not defined under `base_models`; {did_you_mean(base, known)}"
        if isinstance(judge, ModelJudge) and judge.question_prompts:
            by_questions.append(name)
    if by_questions:
        yield from _question_prompts(raw, by_questions)
    yield from _nothing_to_show(raw, judges)


def _nothing_to_show(raw: dict[str, Any], judges: dict[str, Any]) -> Iterator[Problem]:
    """A study shows EM rates, which are made of alignment, or shares of labels."""
    evaluation = raw.get("evaluation") if isinstance(raw.get("evaluation"), dict) else {}
    used, asked = (evaluation.get(section) for section in ("judges", "question_sets"))
    if not isinstance(used, list) or not isinstance(asked, list) or named(raw, "tables"):
        return
    try:
        sets = [parsed(QuestionSet, named(raw, "question_sets").get(name)) for name in asked]
        questions = [question for entry in sets for question in load_questions(entry.path, None, entry.exclude)]
        found = {name: judge_metrics(judges[name], questions) for name in used}
    except (UserError, LookupError, TypeError, AttributeError):
        return  # what is broken is reported where it stands
    if found and not any("alignment" in metrics or any(metrics.values()) for metrics in found.values()):
        given = ", ".join(dict.fromkeys(metric for metrics in found.values() for metric in metrics))
        yield (
            "evaluation.judges",
            f"they give {given or 'no metric'}: neither alignment, which EM rates are made of, nor labels, whose "
            "shares are shown; name a judge that gives one of these (docs/judging.md)",
        )


def _files(where: str, judge: Any) -> Iterator[Problem]:
    files = {key: value for key, value in judge.plain().items() if key in ("grammar", "rules", "path")}
    for key, path in files.items():
        if not Path(path).is_file():
            yield f"{where}.{key}", f"no such file: {path}"
            continue
        try:
            if judge.kind == "human":
                read_labels(path)
            elif judge.kind == "keyword":
                read_yaml(path, Rules)
        except UserError as error:
            yield from ((f"{where}.{key}", line) for line in str(error).splitlines())


def _templates(where: str, judge: Any) -> Iterator[Problem]:
    for metric, spec in judge.plain().get("metrics", {}).items():
        path = prompt_file(metric, spec)
        try:
            if spec["prompt"] is None and not path.is_file():
                shipped = ", ".join(sorted(found.stem for found in SHIPPED.glob("*.txt")))
                raise UserError(f"no prompt is shipped for it (those are {shipped}); give `prompt`, a template file")
            text = read_template(path).lower()
        except UserError as error:
            yield f"{where}.metrics.{metric}", str(error)
            continue
        absent = [label for label in spec["labels"] if label.lower() not in text]
        if absent:
            yield f"{where}.metrics.{metric}.labels", f"{', '.join(absent)}: not named in the prompt {path}"
        if spec["prompt"] is None and not spec["labels"] and "0 to 100" not in text:
            yield f"{where}.metrics.{metric}", f"{path} asks for a label; give the `labels` that it names"


def _question_prompts(raw: dict[str, Any], judges: list[str]) -> Iterator[Problem]:
    """Question files' own templates, which these judges go by."""
    for name, entry in named(raw, "question_sets").items():
        try:
            questions = load_questions(entry["path"], None, entry.get("exclude"))
        except (UserError, LookupError, TypeError, AttributeError):
            continue  # reported with the question sets
        for template in {text for question in questions for text in question.judge_prompts.values()}:
            try:
                check_template(template)
            except ValueError as error:
                ids = next(q.id for q in questions if template in q.judge_prompts.values())
                hint = f"mend it, or set `question_prompts: false` for {', '.join(judges)}"
                yield f"question_sets.{name}.path", f"judge_prompts of question {ids!r}: {error}; {hint}"
