"""Answers of a judge that gave no score, taken out of its journal so that they are asked again."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.em.amounts import evaluations
from workflow_scripts.em.config.judging import ModelJudge, asks_at_once
from workflow_scripts.em.config.suggest import did_you_mean
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.exchange import export
from workflow_scripts.em.files import read_jsonl
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import Call, Judge
from workflow_scripts.em.kept_config import NAME
from workflow_scripts.em.running import sign_in
from workflow_scripts.em.spending import judge_to_count
from workflow_scripts.em.study_files import load_plan

# How `asked_about` (of the judge stage) is handed in: (judge, question set -> file) -> (response -> calls).
About = Callable[[Judge, dict[str, str]], Callable[[dict], list[Call]]]


@dataclass
class Unscored:
    """Answers of a judge about a study that have no score.

    `statuses`: journal key -> status. `written`: judgment files of the study that hold such verdicts. `again`: the rule
    that has the judge asked. `batch`: it is asked by batches, which a next run looks into (em/backends/batch_earlier).
    """

    journal: Journal
    statuses: dict[str, str]
    written: list[Path]
    again: str
    batch: bool

    def told(self) -> str:
        """How many of which status."""
        return ", ".join(f"{n} {status}" for status, n in sorted(Counter(self.statuses.values()).items()))


def unscored(study: Path, name: str, statuses: set[str], journals: Path, about: About) -> Unscored:
    """The answers of judge `name` with one of `statuses` about the responses in folder `study` (results/<study>).

    Raises UserError when the study was not run yet, or its judge asks no model.
    """
    if not (study / NAME).is_file():
        raise UserError(f"{study}: holds no {NAME}, which a run writes; name the folder of a study, results/<study>")
    plan = load_plan([study / NAME], data=False)
    models = {key: entry for key, entry in plan.config.judges.items() if isinstance(entry, ModelJudge)}
    if name not in models:
        raise UserError(f"{study / NAME}: no judge {name!r} that asks a model; {did_you_mean(name, models)}")
    entry = models[name]
    judge, _ = judge_to_count(entry.plain(), study / f"models/{getattr(entry, 'base_model', None)}.json")
    journal = Journal(journals / judge.identity)
    wanted = about(judge, {key: plan.config.question_sets[key].path for key in plan.config.evaluation.question_sets})
    files = [(Path(plan.responses(at)), Path(plan.judgments(name, at))) for at in evaluations(plan)]
    tables = [table for table, read in plan.config.tables.items() if read.rejudge]
    files += [(Path(plan.table_responses(table)), Path(plan.table_judgments(name, table))) for table in tables]
    found, written = {}, []
    for responses, judgments in files:
        of_file = dict(_of_file(judge, journal, wanted, statuses, responses)) if responses.is_file() else {}
        found |= of_file
        if of_file and judgments.is_file() and statuses & _statuses(judgments):
            written.append(judgments)
    again, batch = "ask_judge" if asks_at_once(entry) else "judge_preflight", getattr(entry, "batch", False)
    return Unscored(journal, found, written, again, batch)


def _of_file(
    judge: Judge, journal: Journal, wanted: Callable[[dict], list[Call]], statuses: set[str], responses: Path
) -> Iterator[tuple[str, str]]:
    calls = [(judge.key(call), call) for row in read_jsonl(responses) for call in wanted(row)]
    journal.find(key for key, _ in calls)
    for key, call in calls:
        if key in journal:
            status = judge.verdict(call, journal.get(key)["reply"])["status"]
            if status in statuses:
                yield key, status


def _statuses(judgments: Path) -> set[str]:
    return {verdict["status"] for row in read_jsonl(judgments) for verdict in row["metrics"].values()}


def forget(root: Path, study: Path, name: str, statuses: set[str], about: About) -> str:
    """Take the answers of a judge about a study that have one of `statuses` out of its journal; returns what to tell.

    They are exported first. The signs that the judge was checked and asked go too, so that it is both again.
    Raises UserError as `unscored`, and while a Snakemake may run here: it has seen what is about to go.
    """
    if others := sign_in(Path(".snakemake")):
        raise UserError(f"a Snakemake may be running here ({', '.join(others)}); wait for its end, or run one --unlock")
    found = unscored(study, name, statuses, root, about)
    if not found.statuses:
        return f"{found.journal.folder}: no answer of judge {name!r} about {study} is {' or '.join(sorted(statuses))}"
    backup = root / f"{found.journal.folder.name}.forgotten-{time.time_ns():x}.jsonl.gz"
    export(root, backup, [found.journal.folder.name], found.statuses)
    found.journal.drop(set(found.statuses))
    for sign in (study / "judgments" / name).glob("*.json"):
        sign.unlink()
    lines = [f"{found.journal.folder}: {found.told()} forgotten; the next run asks for them again", f"kept in {backup}"]
    if found.batch:
        lines.append("batches that ended within the last hour give the same answers again: run later")
    if found.written:
        anew = f"to write them anew, run with --forcerun {found.again}"
        lines.append(f"{len(found.written)} judgment files have such verdicts, as {found.written[0]}; {anew}")
    return "\n".join(lines)
