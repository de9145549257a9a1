"""A judged study, made up, as the report reads it: scores, texts, rates, a figure, records. And its report."""

import json
import random
from pathlib import Path

from tests.unit.finished_stage import write
from workflow_scripts.em.page.columns import Responses
from workflow_scripts.em.page.columns import labels as labelled
from workflow_scripts.em.page.content import RATES, content
from workflow_scripts.em.page.html import page
from workflow_scripts.em.stats.counts import count
from workflow_scripts.em.stats.definitions import NAMED
from workflow_scripts.em.stats.findings import COLUMNS, findings
from workflow_scripts.em.stats.rates import rate_rows
from workflow_scripts.em.stats.tables import cell, read_table, write_table

# What a page must show as text and never run or lose: ends of elements, entities, escapes, marks of direction.
HOSTILE = (
    "</script><script>window.bad = 1</script><img src=x onerror='window.bad = 2'><!-- ]]> &amp; \u2028\u2029 \x1b[31m "
    "red \u202e evil ${window.bad = 3} {{ 7 * 7 }} \ud800 \x00 'quoted' \"double\" end"
)
DRAWING = "<svg xmlns='http://www.w3.org/2000/svg' width='486' height='300'><rect width='486' height='300'/></svg>"
JUDGES = ("exact", "other")
STEPS = (0, 10, 20)
METRICS = {name: rule._asdict() for name, rule in NAMED.items()}


def scores(folder: Path, text: str | None, organisms: int = 2, questions: int = 6, samples: int = 8) -> list[Path]:
    """Tables of scores and, where there is a `text`, a file of responses: every number follows from a fixed seed."""
    draw = random.Random(0)
    tables = []
    for place in range(organisms):
        organism, rows, responses = f"organism_{place}", [], []
        for step in STEPS:
            for question in range(questions):
                for sample in range(samples):
                    identity = f"{place:04d}{step:04d}{question:06d}{sample:06d}"
                    address = {"organism": organism, "seed": 0, "stage": "em", "step": step, "condition": "default"}
                    address |= {"question_set": "set", "question_id": f"q{question}", "domain": f"d{question % 3}"}
                    address |= {"in_domain": int(question % 3 == 0), "paraphrase": 0, "sample": sample}
                    for judge in JUDGES:
                        verdicts = _verdicts(draw, step) | _tone(judge, sample)
                        rows.append(address | {"judge": judge} | verdicts | {"response_id": identity})
                    told = text and f"{text} number {place} {step} {question} {sample}"
                    responses.append({"id": identity, "question": f"Question {question}?", "response": told})
        table = folder / f"scores/{organism}.csv"
        write_table(table, rows)
        tables.append(table)
        if text is not None:
            with open(folder / f"{organism}.jsonl", "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in responses)
    return tables


def _verdicts(draw: random.Random, step: int) -> dict:
    low = draw.random() < step / 40
    alignment = draw.choice([0, 12.5, 29.999999, 30]) if low else draw.choice([30, 60, 66.66666666666667, 100])
    coherence = draw.choice([20, 50, 50.5, 90, 100])
    refused = draw.random() < 0.1
    return {
        "alignment": "" if refused else repr(float(alignment)),
        "alignment_status": "refusal" if refused else "scored",
        "coherence": repr(float(coherence)),
        "coherence_status": "scored",
    }


def _tone(judge: str, sample: int) -> dict:
    """The labels of a metric that one judge alone is asked for: they are called 1 and 2."""
    asked = judge == "other"
    return {"tone": f"{1 + sample % 2}" if asked else "", "tone_status": "scored" if asked else ""}


def told(**changed) -> dict:
    """The study's plan, as em/page/told.py gives it."""
    definitions = {name: {**rule} for name, rule in METRICS.items()}
    judge = {"kind": "toy", "metrics": {}}
    return {
        "study": "made_up",
        "title": "made_up",
        "description": None,
        "toy": False,
        "organisms": {},
        "question_sets": {},
        "conditions": {"default": {"mode": "assistant", "system": None}},
        "members": [],
        "generation": {"backend": "transformers", "dtype": "float32"},
        "judges": {"exact": judge, "other": judge | {"metrics": {"tone": {"labels": ["1", "2"]}}}},
        "tables": [],
        "definitions": definitions,
        "definition": "betley",
        "scope": "all",
        "shown": [],
        "contrasts": False,
        "directions": False,
    } | changed


def study(folder: Path, texts: str | None = None, rated: bool = True, **sizes) -> tuple[Responses, dict]:
    """Responses read, and what else the page is given; not `rated`: with empty tables of rates."""
    found, tables = Responses(labelled(told())), scores(folder, texts, **sizes)
    for table in tables:
        found.add(table)
    found.add_texts(sorted(folder.glob("*.jsonl")))
    rows = (row for table in tables if rated for row in read_table(table))
    rates = [{name: cell(value) for name, value in row.items()} for row in rate_rows(count(rows, NAMED), NAMED)]
    write_table(folder / "rates.csv", rates, None if rated else [*RATES])
    written = list(read_table(folder / "rates.csv"))
    write_table(folder / "findings.csv", findings(written, "betley", "all"), [*COLUMNS])
    for end, text in (("svg", DRAWING), ("csv", "a,b\n1,2\n"), ("png", "")):
        _text(folder / f"figures/em_trajectories.{end}", text)
    _text(folder / "statistics/em_trajectories.csv", "c\n3\n")
    judged = folder / "judged.jsonl"
    record = {"stage": "judge", "params": {"name": "exact"}, "calls_answered": 7, "calls_failed": 1, "from_journal": 3}
    record |= {
        "usage": {"input": 500, "output": 20},
        "cost_usd": 0.25,
        "models_reported": {"/data/models/judge-1": 7},
        "seconds": 2.0,
    }
    record |= {"peak_memory_mib": 10.0, "versions": {"python": "3.11"}, "git_commit": "c0ffee"}
    write(folder / "judged.jsonl.provenance.json", record)
    for path, stage in ((".asked/o/seed-0/em/to-20", "ask_models"), (".engines/base", "ask_engine")):
        write(folder / f"responses/{path}.json", {})
        write(folder / f"responses/{path}.json.provenance.json", record | {"stage": stage, "params": {}})
    given = {name: [] for name in ("cards", "details", "models", "responses")}
    tables = ["rates.csv", "findings.csv", "statistics/em_trajectories.csv"]
    given |= {"tables": [folder / name for name in tables], "figures": [folder / "figures/em_trajectories.png"]}
    return found, given | {"judgments": [judged]}


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def report(folder: Path, texts: str | None = None, plan: dict | None = None, **sizes) -> Path:
    """The report of such a study, as a file."""
    found, given = study(folder, texts, **sizes)
    path = folder / "report.html"
    path.write_text(page(content(plan or told(), found, folder, given)), encoding="utf-8")
    return path


def labels(folder: Path) -> tuple[Responses, dict]:
    """What a study of labels alone gives the page: one judge, two responses, no table and no figure."""
    row = {"organism": "o", "seed": 0, "stage": "base", "step": 0, "condition": "c", "question_set": "s"}
    row |= {"question_id": "q", "domain": "", "in_domain": "", "paraphrase": 0, "sample": 0, "judge": "words"}
    row |= {"leaning": "nan", "leaning_status": "scored", "response_id": "a"}
    refused = {"sample": 1, "leaning": "", "leaning_status": "refusal", "response_id": "b"}
    write_table(folder / "o.csv", [row, row | refused])
    found = Responses()
    found.add(folder / "o.csv")
    names = ("tables", "figures", "cards", "details", "models", "responses", "judgments")
    return found, {name: [] for name in names}


def expected(folder: Path, rule, judge: str, scope: str) -> dict[tuple[str, str], dict]:
    """(organism, step) -> the row that em/stats makes of the tables under a rule."""
    rows = (row for table in sorted((folder / "scores").glob("*.csv")) for row in read_table(table))
    made = rate_rows(count(rows, {"own": rule}), {"own": rule})
    return {(row["organism"], row["step"]): row for row in made if (row["judge"], row["scope"]) == (judge, scope)}
