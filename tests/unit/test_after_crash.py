"""What a crash leaves on a disk: outputs that are not what their records say, and disks with no room."""

import errno
import os
import time
from types import SimpleNamespace

import pytest

from workflow_scripts.em.after_crash import RECENT_S, set_broken_aside, settle_times
from workflow_scripts.em.disk import disk_problem
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_dir, atomic_file
from workflow_scripts.em.provenance import record_path, recorded


@pytest.fixture
def made(tmp_path):
    """Outputs as stages leave them: two tables, one empty by right, and a folder."""
    for name, text in (("table.csv", "a,b\n1,2\n"), ("empty.jsonl", ""), ("old.csv", "a\n")):
        with recorded("stage", {}, [], tmp_path / "deep" / name), atomic_file(tmp_path / "deep" / name) as handle:
            handle.write(text)
    with recorded("stage", {}, [], tmp_path / "set"), atomic_dir(tmp_path / "set") as folder:
        (folder / "train.jsonl").write_text("{}\n")
    return tmp_path


def test_what_is_whole_stays(made):
    assert set_broken_aside([made, made / "missing"]) == []


@pytest.mark.parametrize("content", ["", "a,b\n1", "\0" * 8])
def test_a_broken_file_or_folder_is_set_aside(made, content):
    (made / "deep/table.csv").write_text(content)
    (made / "set/train.jsonl").write_text("")
    assert set_broken_aside([made]) == [made / "deep/table.csv", made / "set"]
    assert not (made / "deep/table.csv").exists() and not (made / "set").exists()
    assert (made / "deep/.table.csv.broken").read_text() == content and (made / ".set.broken/train.jsonl").exists()
    assert (made / "deep/empty.jsonl").exists()
    assert set_broken_aside([made]) == []


@pytest.mark.parametrize("name", ["deep/table.csv", "set"])
def test_an_output_with_a_broken_record_is_set_aside(made, name):
    record_path(made / name).write_text("")
    assert set_broken_aside([made]) == [made / name]


def test_what_was_written_long_before_the_end_is_not_read(made):
    (made / "deep/old.csv").write_text("")
    record = record_path(made / "deep/old.csv")
    os.utime(record, (0, record.stat().st_mtime - RECENT_S - 1))
    assert set_broken_aside([made]) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; make room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "your quota is used up; make room"),
        (OSError(errno.EROFS, "Read-only file system"), r"cannot be written \(read-only, or not yours\)"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full; make room"),
    ],
)
def test_a_stage_without_room_says_where_in_one_message(tmp_path, error, said):
    match = rf"^{tmp_path}: {said}.*run again: what is done is kept$"
    with pytest.raises(UserError, match=match), recorded("stage", {}, [], tmp_path / "not/there/yet.csv"):
        raise error


def test_a_full_disk_is_seen_however_a_library_says_it(tmp_path, monkeypatch):
    assert disk_problem(tmp_path / "x", ValueError("a defect")) is None
    with pytest.raises(ValueError, match="a defect"), recorded("stage", {}, [], tmp_path / "x"):
        raise ValueError("a defect")
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=4096))
    assert "the disk is full" in disk_problem(tmp_path / "x", RuntimeError("file write failed"))


def test_times_that_lie_ahead_keep_their_order_and_others_stay(tmp_path):
    now, day = time.time(), 86400
    times = {"log/a": now + day, "old": now - day, "first": now + 0.5 * day, "then": now + 0.9 * day, "last": now + day}
    (tmp_path / "log").mkdir()
    for name, at in times.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (at, at))
    assert settle_times(tmp_path / "log", [tmp_path])
    found = {name: (tmp_path / name).stat().st_mtime for name in times}
    assert found["old"] == pytest.approx(now - day, abs=1)
    assert now - 2 < found["first"] < found["then"] < found["last"] <= time.time()
    assert not settle_times(tmp_path / "log", [tmp_path]), "the second time there is nothing"
