"""Journals: nothing that was written is lost, nothing that was torn is read, and contents stay on disk."""

import json
import multiprocessing
import os
import sys
import time

import pytest

from workflow_scripts.em.journal import Journal, late_s


def item(number: int, text: str = "text") -> dict:
    return {"key": f"key-{number}", "text": text, "number": number}


AWKWARD = ["line\nbreak\r\n\u2028", 'quote " and \\ and {"key":"key-9"', "ünï 🦊 \x00\x7f", "", "x" * 100_000]


def test_items_come_back_whole_in_a_new_process_or_the_same(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.append([item(number, text) for number, text in enumerate(AWKWARD)])
    journal.append([item(7)])
    for reader in (journal, Journal(tmp_path / "j")):
        assert reader.find(f"key-{n}" for n in range(9)) == {f"key-{n}" for n in (0, 1, 2, 3, 4, 7)}
        assert [reader.get(f"key-{n}") for n in range(5)] == [item(n, text) for n, text in enumerate(AWKWARD)]
    assert len(list((tmp_path / "j").iterdir())) == 1


def test_only_wanted_keys_are_found(tmp_path):
    Journal(tmp_path).append([item(n) for n in range(100)])
    reader = Journal(tmp_path)
    assert reader.find(["key-5", "key-500"]) == {"key-5"}
    assert reader.get("key-5") == item(5)
    with pytest.raises(KeyError):
        reader.get("key-6")


def test_an_absent_folder_is_an_empty_journal_and_is_not_made(tmp_path):
    assert Journal(tmp_path / "no").find(["a"]) == set()
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("keep", [1, 5, 8, 15, 40, -1])
def test_a_torn_last_line_is_ignored_and_the_rest_is_kept(tmp_path, keep):
    """Whatever part of the last line reached the disk; the same item can then be written again."""
    Journal(tmp_path).append([item(0, "é")])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    Journal(tmp_path / "other").append([item(1, "é" * 30)])
    (torn,) = (tmp_path / "other").iterdir()
    path.write_bytes(whole + torn.read_bytes()[:keep])
    again = Journal(tmp_path)
    assert again.find(["key-0", "key-1"]) == {"key-0"}
    again.append([item(1, "new")])
    last = Journal(tmp_path)
    assert last.find(["key-0", "key-1"]) == {"key-0", "key-1"}
    assert (last.get("key-0"), last.get("key-1")) == (item(0, "é"), item(1, "new"))


def test_lines_that_are_no_items_are_skipped(tmp_path):
    """What a power cut can leave: zeros, an empty line, half an item with another writer's newline after it."""
    Journal(tmp_path).append([item(0)])
    (tmp_path / "broken.jsonl").write_bytes(b"\0" * 64 + b'\n\n{"key":"key-1\n{"key":"key-2","text":\n[]\n')
    reader = Journal(tmp_path)
    found = reader.find([f"key-{n}" for n in range(3)])
    assert "key-0" in found and "key-1" not in found


def test_a_line_with_a_hole_is_absent(tmp_path):
    """A power cut may leave zeros where a file had grown; what they took can be written again."""
    Journal(tmp_path).append([item(n, "x" * 50) for n in range(3)])
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:30] + b"\0" * 20 + lines[1][50:] + lines[2])
    again = Journal(tmp_path)
    assert again.find(["key-0", "key-1", "key-2"]) == {"key-0", "key-2"}
    assert [found["key"] for found in again.items()] == ["key-0", "key-2"]
    again.append([item(1, "new")])
    last = Journal(tmp_path)
    assert last.find(["key-1", "key-2"]) == {"key-1", "key-2"} and last.get("key-1") == item(1, "new")


def test_a_journal_grows_while_it_is_open(tmp_path):
    one, other = Journal(tmp_path), Journal(tmp_path)
    one.append([item(0)])
    assert other.find(["key-0"]) == {"key-0"}
    one.append([item(1)])
    other.append([item(2)])
    assert other.find([f"key-{n}" for n in range(3)]) == {"key-0", "key-1", "key-2"}
    assert [other.get(f"key-{n}")["number"] for n in range(3)] == [0, 1, 2]


def _write(folder, writer: int) -> None:
    journal = Journal(folder)
    for start in range(0, 60, 3):
        journal.append([item(writer * 1000 + n, str(writer) * 300) for n in range(start, start + 3)])


def test_many_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, writer)) for writer in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 6
    assert len(list(tmp_path.glob("*.jsonl"))) == 6
    numbers = [writer * 1000 + n for writer in range(6) for n in range(60)]
    reader = Journal(tmp_path)
    assert reader.find(f"key-{n}" for n in numbers) == {f"key-{n}" for n in numbers}
    assert all(reader.get(f"key-{n}") == item(n, str(n // 1000) * 300) for n in numbers)


def test_two_journals_of_one_process_do_not_share_a_file(tmp_path):
    first, second = Journal(tmp_path), Journal(tmp_path)
    first.append([item(0)])
    second.append([item(1)])
    first.append([item(2)])
    assert len(list(tmp_path.iterdir())) == 2
    assert [first.get("key-2"), second.get("key-1")] == [item(2), item(1)]


def test_memory_holds_places_and_no_contents(tmp_path):
    Journal(tmp_path).append([item(n, "x" * 10_000) for n in range(200)])
    reader = Journal(tmp_path)
    reader.find(f"key-{n}" for n in range(100))
    held = reader._places
    assert len(held) == 100
    assert sum(sys.getsizeof(key) + sys.getsizeof(place) for key, place in held.items()) < 100 * 300


def test_the_files_are_plain_json_lines(tmp_path):
    Journal(tmp_path).append([item(0, "é\n")])
    (path,) = tmp_path.iterdir()
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [item(0, "é\n")]


def test_what_another_machine_wrote_is_waited_for(tmp_path, monkeypatch, capsys):
    """Its file comes to be seen, then its last lines; what is not there in time is not found."""
    other, looks = Journal(tmp_path), []

    def look(seconds: float) -> None:
        looks.append(seconds)
        other.append([item(len(looks))])

    monkeypatch.setattr(time, "sleep", look)
    keys = ["key-1", "key-2", "key-3", "key-4"]
    assert Journal(tmp_path).find(keys, 60, spared=0.5) == {"key-1", "key-2"}
    assert Journal(tmp_path).find(keys, 60) == set(keys) and len(looks) == 4
    assert capsys.readouterr().err.count("waiting for what another machine wrote") == 2
    assert Journal(tmp_path).find(["key-9"]) == set() and len(looks) == 4


def test_for_how_long_it_is_waited(tmp_path, monkeypatch):
    sign = tmp_path / "asked.json"
    sign.touch()
    for age, left in ((0, 90), (60, 30), (90, 0), (10**6, 0), (-(10**6), 90)):
        os.utime(sign, (0, 10**9 - age))
        monkeypatch.setattr(time, "time", lambda: 1e9)
        assert late_s(sign) == left
    assert late_s(None) == 0


def test_what_was_dropped_is_gone_from_all_writers_files_and_can_come_again(tmp_path):
    for numbers in (range(5), range(3, 8)):
        Journal(tmp_path).append([item(number, AWKWARD[1]) for number in numbers])
    keys = {f"key-{number}" for number in range(8)}
    reader = Journal(tmp_path)
    reader.find(keys)
    sizes = {path: path.stat().st_size for path in tmp_path.iterdir()}
    reader.drop({"key-1", "key-4"})
    assert {path: path.stat().st_size for path in tmp_path.iterdir()} == sizes, "nothing else moves"
    left = {number: item(number, AWKWARD[1]) for number in (0, 2, 3, 5, 6, 7)}
    for journal in (reader, Journal(tmp_path)):
        assert journal.find(keys) == {f"key-{number}" for number in left} and "key-4" not in journal
        assert all(journal.get(f"key-{number}") == whole for number, whole in left.items())
        assert sorted(found["number"] for found in journal.items()) == list(left)
    reader.append([item(4, "again")])
    again = Journal(tmp_path)
    assert again.find(keys) == {f"key-{number}" for number in (*left, 4)} and again.get("key-4") == item(4, "again")
