"""What a study's judges and tables give: scores from 0 to 100, or labels. Known before anything is judged."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from workflow_scripts.em.judges import ALIASES
from workflow_scripts.em.judges.human import SCORES, read_labels
from workflow_scripts.em.judges.keyword_rules import Rules
from workflow_scripts.em.questions import Question
from workflow_scripts.em.table_columns import PRESETS, STATUS, mapped, metrics
from workflow_scripts.em.table_rows import read_rows
from workflow_scripts.em.table_values import number, text
from workflow_scripts.em.yaml_files import read_yaml

Metrics = dict[str, tuple[str, ...]]


def judge_metrics(judge: Any, questions: Iterable[Question]) -> Metrics:
    """{metric: its labels, none for a score} that a judge (a section of `judges`) gives of answers to these questions.

    A model judge asks by a question's own judge prompts where it has some. Raises UserError on a broken file.
    """
    if judge.kind == "toy":
        return dict.fromkeys(SCORES, ())
    if judge.kind == "keyword":
        rules = read_yaml(judge.rules, Rules)
        return {rules.metric: () if rules.scores else rules.all_labels}
    if judge.kind == "human":
        cells, labelled, _ = read_labels(judge.path)
        found: dict[str, dict[str, None]] = {}
        for row in cells.values():
            for metric, cell in row.items():
                found.setdefault(metric, {}).setdefault(cell)
        return {metric: tuple(values) if metric in labelled else () for metric, values in found.items()}
    own = {name: tuple(metric.labels) for name, metric in judge.metrics.items()}
    prompts = [question.judge_prompts if judge.question_prompts else {} for question in questions]
    asked = {ALIASES.get(name, name): () for named in prompts for name in named}
    return {name: own.get(name, ()) for name in asked} | (own if not prompts or not all(prompts) else {})


def table_metrics(spec: dict[str, Any], paths: Iterable[str]) -> Metrics:
    """The same of a judged table's config entry; only a table with status columns can hold labels.

    Such a table (preset emtrace) has a column for alignment whether or not anybody was asked for it, so it is read.
    """
    named = dict.fromkeys(metrics(mapped(spec)), ())
    if PRESETS[spec["preset"]].further != "status":
        return named
    found: dict[str, dict[str, None]] = {}
    for path in paths:
        for metric, cell in _values(path):
            found.setdefault(metric, {}).setdefault(cell)
    numbers = {metric for metric, cells in found.items() if all(number(cell) is not None for cell in cells)}
    return named | {metric: () if metric in numbers else tuple(cells) for metric, cells in found.items()}


@cache  # a table is read once, however often it is asked about
def _values(path: str) -> tuple[tuple[str, str], ...]:
    """(metric, cell) of the scored cells of a table with status columns, each number's metric once."""
    seen: dict[tuple[str, str], None] = {}
    numbers: set[str] = set()
    names: list[str] | None = None
    for _, row in read_rows(path):
        names = [name for name in row if f"{name}{STATUS}" in row] if names is None else names
        for name in names:
            cell = text(row.get(name))
            if cell and (name not in numbers or number(cell) is None):
                seen.setdefault((name, cell))
                if number(cell) is not None:
                    numbers.add(name)
    return tuple(seen)
