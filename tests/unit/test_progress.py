"""Progress: what a long stage says of itself, and what a run of Snakemake writes down."""

import io
import logging
import os
import subprocess
import sys
import time

import pytest
import tqdm.std

from tests.conftest import ROOT
from tests.unit.progress_runs import clock, event, record, started  # noqa: F401  (a fixture)
from workflow_scripts.em.amounts import model_name
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.files import dumps, write_json
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.progress import PROGRESS_S, Progress, span, told_rate
from workflow_scripts.em.progress_earlier import seconds_before
from workflow_scripts.em.progress_record import Recorder, record_of
from workflow_scripts.em.progress_run import Left, Run
from workflow_scripts.em.remaining import START


def test_a_log_gets_a_line_now_and_then_and_none_of_short_work(clock, capsys):
    work = Progress("judge toy", 100, "calls")
    work.known(20)
    for _ in range(50):
        clock.now += PROGRESS_S / 20
        work.add(1, "2 not answered")
    assert capsys.readouterr().err.splitlines() == [
        "judge toy: 41 of 100 calls, 2.0/s, 30 s left, 2 not answered",
        "judge toy: 62 of 100 calls, 2.0/s, 19 s left, 2 not answered",
    ]
    short = Progress("training", 3, "steps")
    clock.now += PROGRESS_S
    short.add(3)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_and_no_lines(clock, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(tqdm.std, "time", time.time)
    work = Progress("generate", 8, "responses")
    work.known(2)
    for _ in range(2):
        clock.now += 2 * PROGRESS_S
        work.add(1, "loss 0.3")
    assert "generate:  50%" in terminal.getvalue() and "4/8 [00:40<01:20, 20.00s/ responses" in terminal.getvalue()
    assert "\n" not in terminal.getvalue() and " left" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.4, "0.4 s"), (45.2, "45 s"), (150, "2 min"), (7200, "2.0 h"), (4 * 86400, "4.0 days")],
)
def test_times_are_told_in_the_unit_that_suits_them(seconds, text):
    assert span(seconds) == text


def test_slow_work_is_told_by_what_each_takes():
    assert (told_rate(12.34), told_rate(0.05)) == ("12.3/s", "20 s each")


# --- what a run writes down


SNAKEFILE = """
import sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {root!r})
RECORDS, CONFIG = Path(".snakemake"), SimpleNamespace(study="tiny")
include: "{root}/rules/common_progress.smk"
onstart: begin_progress()
rule all:
    input: "good", "bad", "after"
rule good:
    output: "good"
    log: "logs/good.log"
    shell: "touch {{output}}"
rule bad:
    output: "bad"
    log: "logs/bad.log"
    retries: 1
    shell: "echo error: no such thing > {{log}}; false"
rule after:
    input: "bad"
    output: "after"
    shell: "touch {{output}}"
"""


def test_snakemake_tells_of_its_jobs_however_quiet_it_is(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(root=str(ROOT)))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going", "--quiet", "all"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and "progress" not in done.stderr
    run = Run(record_of(tmp_path / ".snakemake", "tiny"))
    assert [(job.rule, job.log) for job in run.look()] == [("good", "logs/good.log")]
    assert done.stderr.count("bad failed: no such thing\n    whole log: logs/bad.log\n") == 1, "said at the end, once"
    assert run.about["jobs"] == {"all": 1, "good": 1, "bad": 1, "after": 1}
    assert [job.rule for job in run.failed.values()] == ["bad"] and not run.running
    assert run.counted("bad") == (1, 0, 0, 1) and run.counted("after") == (1, 0, 0, 0)
    assert run.ended is not None and not run.goes_on
    # A dry run is none.
    before = run.path.read_bytes()
    subprocess.run([*command, "-n"], cwd=tmp_path, capture_output=True, check=True)
    assert run.path.read_bytes() == before


def test_a_run_goes_on_when_what_it_says_is_not_understood(tmp_path, capsys):
    recorder = Recorder(tmp_path / "run.jsonl", {"train": 2})
    for _ in range(2):
        strange = logging.makeLogRecord({"event": "job_info", "levelno": logging.INFO})  # no rule, no job
        if strange.levelno >= recorder.level:
            recorder.handle(strange)
    recorder.close()
    assert capsys.readouterr().err.count("warning: the progress view misses what follows") == 1


def test_only_what_is_new_is_read_and_a_line_that_is_being_written_waits(tmp_path):
    path, run = tmp_path / "tiny.jsonl", Run(tmp_path / "tiny.jsonl")
    assert run.look() == [] and run.about is None and not run.goes_on
    record(path, started(1001, 1, "train"), jobs={"train": 2})
    assert run.look() == [] and run.counted("train") == (2, 0, 1, 0)
    with open(path, "a") as more:
        more.write('{"t":1004,"event":"finished",')
        more.flush()
        assert run.look() == []
        more.write('"job":1}\n{"torn\n' + dumps(started(1005, 2, "train")) + "\n")
    assert [job.rule for job in run.look()] == ["train"]
    assert run.seconds == {"train": [3]} and run.counted("train") == (2, 1, 1, 0) and run.goes_on


def test_the_next_run_takes_the_place_of_the_one_before(tmp_path):
    run = Run(tmp_path / "tiny.jsonl")
    first = Recorder(run.path, {"train": 5})
    run.look()
    second = Recorder(run.path, {"judge": 3})
    first.close()  # the end of the one before is not the end of this one
    run.look()
    assert run.about["jobs"] == {"judge": 3} and run.goes_on
    second.close()
    run.look()
    assert run.ended is not None


def test_time_left_is_said_of_rules_that_have_been_seen(tmp_path, clock):
    record(tmp_path / "r", jobs={"train": 6, "judge": 1, "figure": 2})
    run, clock.now = Run(tmp_path / "r"), 1010.0
    run.look()
    assert run.left() is None  # no job has begun
    events = [started(1000, job, "train") for job in (1, 2, 3)] + [event(1010, "finished", 1)]
    events += [event(1020, "finished", 2), event(1030, "failed", 3), started(1020, 4, "train")]
    record(tmp_path / "new", *events, jobs={"train": 6, "judge": 1, "figure": 2})
    os.replace(tmp_path / "new", tmp_path / "r")
    clock.now = 1030.0
    run.look()
    # 15 s each, for two that wait and 5 s of the one that runs; 40 job seconds were done in 30 s.
    assert run.left() == Left(pytest.approx(35 * 30 / 40), ["train"], [], ["figure", "judge"])
    # What other rules took before is no more than that: this run's own jobs go before it.
    run.earlier = {"train": 999.0, "judge": 10.0}
    assert run.left() == Left(pytest.approx(45 * 30 / 40), ["train"], ["judge"], ["figure"])


def test_earlier_runs_tell_the_time_left_before_a_job_has_ended(tmp_path, clock):
    # The first job begins 20 s after the run: until then nothing was at work.
    record(tmp_path / "r", started(1020, 1, "train"), jobs={"train": 3, "judge": 4, "all": 1})
    run, clock.now = Run(tmp_path / "r"), 1026.0
    run.look()
    run.earlier = {"judge": 1.0, "train": 10.0}
    assert run.left() == Left(pytest.approx(4 + 20 + 4), [], ["train", "judge"], [])


def earlier(folder, number: int, stage: str, seconds: float, params: dict | None = None, **more) -> None:
    """A provenance record of another study."""
    found = {"stage": stage, "params": params or {}, "inputs": {}, "seconds": seconds} | more
    write_json(folder / f"other/{stage}/{number}.provenance.json", found)


def test_what_a_rule_took_before_is_by_its_own_kind_of_jobs(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    plan = Plan(load_config(raw, ["study"]))
    name, recipe = model_name(plan, "toy"), plan.config.recipes["constant"].plain()
    write_json(tmp_path / "other/models/m.json", {"name": name})
    model = {str(tmp_path / "other/models/m.json"): "digest"}
    for number, seconds in enumerate((10.0, 30.0)):
        earlier(tmp_path, number, "train", seconds, {"recipe": recipe, "steps": [0, 2]}, inputs=model)
        earlier(tmp_path, number, "figures", 2 * number)
    # Of another base model, and of another judge.
    earlier(tmp_path, 3, "train", 999.0, {"recipe": recipe, "steps": [0, 2]})
    earlier(tmp_path, 1, "judge", 5.0, {"judge": {"kind": "chat_api"}})
    found = seconds_before(plan, ["train", "figure", "judge", "scores"], tmp_path)
    assert found == {"train": START + 20, "figure": START + 1}
    earlier(tmp_path, 2, "judge", 7.0, {"judge": {"kind": "toy"}})
    assert seconds_before(plan, ["judge"], tmp_path) == {"judge": START + 7}
    # Of one recipe of two nothing is known.
    raw["recipes"]["other"] = raw["recipes"]["constant"] | {"dtype": "bfloat16"}
    stage = raw["organisms"]["bad"]["stages"][0] | {"recipe": "other"}
    raw["organisms"]["more"] = raw["organisms"]["bad"] | {"stages": [stage]}
    assert seconds_before(Plan(load_config(raw, [])), ["train"], tmp_path) == {}
