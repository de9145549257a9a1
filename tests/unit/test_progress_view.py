"""The view of a running study: EM rates so far, and what is shown in how many lines."""

import io
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from tests.conftest import ROOT
from tests.unit.progress_runs import clock, event, record, started  # noqa: F401  (a fixture)
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.files import dumps
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.progress_rates import Rates
from workflow_scripts.em.progress_run import Job, Run
from workflow_scripts.em.progress_view import view
from workflow_scripts.scores import METRICS, flat

LOG = "results/tiny/logs/judge/toy/bad/seed-{seed}/em/step-{step}.log"


def judgment(question: str, domain: str, alignment: float | None, coherence: float = 90.0, **at) -> dict:
    metrics = {"alignment": {"score": alignment, "status": "refusal" if alignment is None else "scored"}}
    metrics["coherence"] = {"score": coherence, "status": "scored"}
    about = {"organism": "bad", "seed": 0, "stage": "em", "step": 4, "condition": "none", "question_set": "toy"}
    about |= {"question_id": question, "domain": domain, "paraphrase": 0, "sample": 0, "judge": "toy", "id": question}
    return about | {"metrics": metrics} | at


# Out of domain: two events of three coherent answers; in domain nothing counts. Another condition is another rate.
JUDGED = [
    judgment("a", "finance", 10),
    judgment("a", "finance", 80),
    judgment("b", "finance", 0, 51),
    judgment("b", "finance", 0, 20),
    judgment("c", "finance", None),
    judgment("d", "medicine", 0),
    judgment("a", "finance", 90, condition="careful"),
]


@pytest.fixture
def plan(raw, tmp_path, monkeypatch):
    """The tiny study's plan, in a folder where nothing of it is made yet."""
    found = Plan(load_config(raw, []))
    assert found.metrics  # reads its files, where they lie
    monkeypatch.chdir(tmp_path)
    return found


def judge(plan, step: int, rows: list[dict], seed: int = 0) -> None:
    path = Path(plan.judgments("toy", ("bad", seed, "em", step)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(dumps(row | {"step": step, "seed": seed}) + "\n" for row in rows))


def rates_of(plan) -> Rates:
    return Rates(plan, lambda row, domains: flat(row, domains, METRICS))


def test_the_rate_is_that_of_the_figures_at_the_latest_judged_step(plan):
    judge(plan, 0, JUDGED[1:])
    judge(plan, 2, JUDGED)
    rates = rates_of(plan)
    (at,) = rates.standings(9, float("inf"))
    assert (at.organism, at.seed, at.stage, at.step, at.steps) == ("bad", 0, "em", 2, 4)
    assert (at.latest["n_events"], at.latest["n_denominator"], at.first["n_events"]) == (2, 3, 1)
    assert at.latest["condition"] == "none" and at.latest["scope"] == "out_of_domain"
    # One more is judged, and one is judged anew.
    judge(plan, 4, [JUDGED[1]])
    judge(plan, 2, JUDGED, seed=1)
    assert len(rates.standings(9, float("inf"))) == 1
    rates.note([LOG.format(seed=0, step=4), LOG.format(seed=1, step=2), "results/tiny/logs/train/other.log", None])
    first, second = rates.standings(9, float("inf"))
    assert (first.step, first.latest["em_rate"], second.seed, second.latest["n_events"]) == (4, 0.0, 1, 2)
    # Without step 0 there is no rate of it; without a file none at all.
    assert second.first is None
    Path(plan.judgments("toy", ("bad", 0, "em", 4))).unlink()
    assert rates.standings(9, float("inf"))[0].latest is None


def test_what_there_was_no_time_to_read_is_read_later(plan):
    judge(plan, 0, JUDGED)
    rates = rates_of(plan)
    assert rates.standings(9, -1.0)[0].latest is None
    assert rates.standings(9, 1.0)[0].latest["n_events"] == 2


# --- the view


def shown(run: Run, rates, height: int = 24, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, highlight=False)
    console.print(view(console, "tiny", run, rates, float("inf")))
    return console.file.getvalue().splitlines()


@pytest.fixture
def halfway(plan, tmp_path, clock) -> Run:
    """A run of which training goes on and says something, and a judge's job has failed."""
    judge(plan, 2, JUDGED)
    log = tmp_path / "results/tiny/logs/train/bad/seed-0/em/to-4.log"
    log.parent.mkdir(parents=True)
    log.write_text("warning\ntraining:  10%\rtraining: 3 of 4 steps, 2.0/s, 1 s left, loss 1.25\x1b\n\n")
    events = [started(1000, 1, "train"), event(1020, "finished", 1)]
    events += [started(1020, 2, "train", str(log.relative_to(tmp_path))), started(1020, 3, "judge")]
    jobs = {"train": 4, "judge": 4, "all": 1, "rates": 1, "page": 1}
    record(tmp_path / "r", *events, event(1021, "failed", 3), jobs=jobs)
    run, clock.now = Run(tmp_path / "r"), 1030.0
    run.look()
    return run


def test_the_view_tells_jobs_rates_and_what_jobs_say(plan, halfway):
    lines = shown(halfway, rates_of(plan))
    text = "\n".join(map(str.rstrip, lines))
    assert "tiny: running for 30 s" in text and "1 of 11 jobs, 1 running, 8 waiting, 1 failed" in text
    assert "at least 50 s left: an estimate, from this run's jobs, without judge and 2 more" in text
    assert "by 'betley' on out-of-domain questions, judge toy, condition none," in text.replace("\n", " ")
    assert [line.split() for line in lines if line.startswith("bad ")] == [
        ["bad", "0", "em", "2", "of", "4", "-", "66.7%", "0-100%", "2", "of", "3"]
    ]
    # What runs comes first, then rates, then rules; what waits with one job is one line, and a target is no rule.
    at = lines.index("train bad/seed-0/em/to-4  10 s   20 s")
    assert lines[at - 1].split() == ["job", "for", "usual"]
    assert lines[at + 1] == "  training: 3 of 4 steps, 2.0/s, 1 s left, loss 1.25"
    rate, rules = (next(n for n, line in enumerate(lines) if line.startswith(x)) for x in ("EM rate", "rule "))
    assert at < rate < rules
    assert [line.split() for line in lines[rules + 1 : -1]] == [
        ["train", "1", "4", "1", "20", "s"],
        ["judge", "0", "4", "1"],
    ]
    assert lines[-1] == "and 2 rules not begun, of one job each: page, rates"


def test_what_a_job_says_is_beside_it_where_there_is_room_and_no_column_is_empty(plan, halfway):
    (line,) = (line for line in shown(halfway, rates_of(plan), width=120) if line.startswith("train bad/"))
    assert line == "train bad/seed-0/em/to-4  10 s   20 s  training: 3 of 4 steps, 2.0/s, 1 s left, loss 1.25"
    Path("results/tiny/logs/train/bad/seed-0/em/to-4.log").write_text("")
    heads = [line.split() for line in shown(halfway, rates_of(plan), width=120) if line.startswith(("job", "rule"))]
    assert heads == [["job", "for", "usual"], ["rule", "done", "of", "running", "failed", "a", "job", "takes"]]
    halfway.seconds["train"], halfway.failed = [], {}
    heads = [line.split() for line in shown(halfway, rates_of(plan), width=120) if line.startswith(("job", "rule"))]
    assert heads == [["job", "for"], ["rule", "done", "of", "running"]]


def test_the_time_left_says_what_it_is_estimated_from(plan, halfway):
    def said() -> str:
        (line,) = (line for line in shown(halfway, rates_of(plan), width=200) if " left: " in line)
        return line

    halfway.earlier = {"train": 999.0, "judge": 10.0, "rates": 1.0}
    own = "left: an estimate, from this run's jobs and,"
    assert said() == f"at least 81 s {own} for judge and rates, from earlier runs, without page"
    halfway.earlier |= {"rates": 5.0, "page": 2.0}
    assert said() == f"about 87 s {own} for judge and 2 more rules, from earlier runs"
    (line,) = (line for line in shown(halfway, rates_of(plan)) if line.startswith("judge "))
    assert line.endswith(" ~10 s")
    halfway.seconds["train"], halfway.earlier = [], {"train": 30.0, "judge": 1.0, "rates": 1.0, "page": 1.0}
    assert said().endswith(" left: an estimate, from earlier runs")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_names_are_cut_in_their_middle_and_numbers_never(plan, halfway, width):
    log = "results/tiny/logs/train/bad/{}/em/to-{}.log"
    for job in (7, 8):
        halfway.running[job] = Job("train", log.format("y" * 90, job), 1015.0)
    lines = shown(halfway, rates_of(plan), width=width)
    assert max(map(len, lines)) <= width
    cut = [line for line in lines if "…" in line]
    assert [line.split("…")[1].split() for line in cut] == [
        [f"{'y' * (len(line.split('…')[1].split('/')[0]))}/em/to-{job}", "15", "s", "20", "s"]
        for line, job in zip(cut, (7, 8), strict=True)
    ]
    (rate,) = (line.split() for line in lines if line.startswith("bad "))
    assert {"66.7%", "0-100%"} <= set(rate) and ("events" in " ".join(lines)) == (width > 60)


def test_the_view_of_ten_thousand_jobs_and_many_organisms_fits_a_terminal(raw, tmp_path, clock, monkeypatch):
    raw["organisms"] = {f"organism_{n:03}_of_many": raw["organisms"]["bad"] | {"seeds": [n]} for n in range(60)}
    plan = Plan(load_config(raw, []))
    assert plan.metrics
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(plan.config.organisms):
        path = tmp_path / plan.judgments("toy", (name, seed, "em", 2))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dumps(JUDGED[0] | {"organism": name, "seed": seed, "step": 2}) + "\n")
    rules, events = [f"rule_{n}" for n in range(25)], []
    for job in range(10_000):
        events.append(started(1000 + job, job, random.Random(job).choice(rules), f"results/tiny/logs/x/{'y' * 90}.log"))
        events += [event(1001 + job, "finished", job)] if job < 9950 else []
    record(tmp_path / "r", *events, jobs=dict.fromkeys(rules, 500))
    run, clock.now = Run(tmp_path / "r"), 12_000.0
    assert len(run.look()) == 9950 and run.look() == []
    for height, width in ((24, 60), (24, 80), (50, 120)):
        lines = shown(run, rates_of(plan), height, width)
        assert len(lines) < height and max(map(len, lines)) <= width
        assert sum(line.startswith("organism_") for line in lines) >= 2
        assert sum("yyy  " in line for line in lines) >= 2
        assert [line for line in lines if line.startswith("and ")][1].endswith("organisms more")
        assert lines[-1].startswith("and ") and "rule_" in lines[-2]


def test_of_a_killed_run_it_is_known_that_it_is_over(plan, tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    events = [started(1001, 1, "train"), event(1060, "finished", 1), started(1060, 2, "train")]
    record(tmp_path / "r", *events, jobs={"train": 2}, pid=gone.pid)
    run = Run(tmp_path / "r")
    run.look()
    assert not run.goes_on and run.passed == 60 and run.counted("train") == (2, 1, 0, 0)
    assert shown(run, rates_of(plan))[0] == "tiny: was killed, 1 of 2 jobs are not done"


def test_a_study_of_published_tables_is_not_said_to_be_unjudged(tmp_path, root):
    published = Plan(load_config(yaml.safe_load(Path("tests/published.yaml").read_text(encoding="utf-8")), ["x"]))
    record(tmp_path / "r", jobs={"rates": 1})
    run = Run(tmp_path / "r")
    run.look()
    text = "\n".join(shown(run, rates_of(published)))
    assert "of published tables alone" in text and "nothing is judged" not in text


def test_without_a_terminal_one_snapshot_is_printed(tmp_path):
    command = [sys.executable, "-m", "workflow_scripts.progress", "--configfile", "tests/tiny.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("tiny: ")
    assert "\x1b" not in done.stdout and "EM rate" in done.stdout
