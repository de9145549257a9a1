"""Why jobs failed, from their logs."""

from workflow_scripts.em.failures import LINES, SHOWN, failures, reason


def test_the_last_error_is_told_whole_and_nothing_before_it(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("error: an earlier one\nreading\nerror: rows.jsonl:7: not valid JSON\n  mend the line\n")
    assert reason(log) == "rows.jsonl:7: not valid JSON\n  mend the line"
    assert list(failures([("train", str(log))])) == [
        f"train failed: rows.jsonl:7: not valid JSON\n  mend the line\n    whole log: {log}"
    ]


def test_a_log_without_an_error_line_gives_its_last_line(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("Traceback (most recent call last):\n" + "  File x\n" * 9000 + "KeyError: 'x'\n")
    assert reason(log) == "KeyError: 'x'"
    log.write_text("")
    assert reason(log) == reason(tmp_path / "none.log") == ""
    assert list(failures([("page", None)])) == ["page failed: it says nothing of why"]


def test_many_failures_and_long_ones_are_cut(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("error: " + "line\n" * 50)
    assert len(reason(log).splitlines()) == LINES
    told = list(failures([("judge", str(log))] * (SHOWN + 3)))
    assert len(told) == SHOWN + 1 and told[-1] == "3 other jobs failed"
