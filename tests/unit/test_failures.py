"""Why jobs failed, from their logs."""

import os

from workflow_scripts.em.failures import LINES, SHOWN, failures, reason


def test_the_last_error_is_told_whole_and_nothing_before_it(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("error: an earlier one\nreading\nerror: rows.jsonl:7: not valid JSON\n  mend the line\n")
    assert reason(log, 0).text == "rows.jsonl:7: not valid JSON\n  mend the line"
    assert list(failures([("train", str(log))], 0)) == [
        f"train failed: rows.jsonl:7: not valid JSON\n  mend the line\n    whole log: {log}"
    ]


def test_a_log_without_an_error_line_gives_its_last_line(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("Traceback (most recent call last):\n" + "  File x\n" * 9000 + "KeyError: 'x'\n")
    assert reason(log, 0).text == "KeyError: 'x'"
    log.write_text("")
    assert reason(log, 0).text == reason(tmp_path / "none.log", 0).text == ""
    assert list(failures([("page", None)], 0)) == ["page failed: it says nothing of why"]


def test_many_failures_and_long_ones_are_cut(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("error: " + "line\n" * 50)
    assert len(reason(log, 0).text.splitlines()) == LINES
    told = list(failures([("judge", str(log))] * (SHOWN + 3), 0))
    assert len(told) == SHOWN + 1 and told[-1] == "3 more failed"


def test_of_a_group_the_one_with_an_error_is_told_and_of_an_interrupted_job_nothing(tmp_path):
    jobs = []
    for number in range(25):
        log = tmp_path / f"{number}.log"
        log.write_text("error: no such model\n" if number == 19 else "judged 100 responses with toy\n")
        jobs.append(("judge", str(log)))
    assert list(failures(jobs, 0)) == [f"judge failed: no such model\n    whole log: {jobs[19][1]}"]
    (tmp_path / "19.log").write_text("step 4 of 8\ninterrupted\n")
    assert list(failures(jobs[19:20], 0)) == []


def test_what_an_earlier_run_said_is_no_reason(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("error: long mended\n")
    os.utime(log, (1000, 1000))
    assert list(failures([("judge", str(log))], 2000)) == [
        f"judge failed: it says nothing of why\n    whole log: {log}"
    ]
