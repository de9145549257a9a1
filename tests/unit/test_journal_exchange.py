"""Journals change hands: what was exported comes in whole, once, and nothing else does."""

import gzip
import json

import pytest

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.exchange import export, take_in
from workflow_scripts.em.journal import Journal


def item(number: int, text: str = "é \u2028\n") -> dict:
    return {"key": f"{number:04x}", "reply": {"text": text, "top": [["85", -0.5]]}}


@pytest.fixture
def root(tmp_path):
    """Two journals, one of them of two writers that share an item."""
    for name, numbers in {"openai-a": range(20), "toy-b": range(5)}.items():
        Journal(tmp_path / "from" / name).append([item(n) for n in numbers])
    Journal(tmp_path / "from/openai-a").append([item(n) for n in range(15, 30)])
    return tmp_path / "from"


def contents(root) -> dict[str, list]:
    return {path.name: sorted(map(str, Journal(path).items())) for path in root.iterdir()}


def test_an_export_comes_in_whole_and_once(root, tmp_path):
    out, to = tmp_path / "answers.jsonl.gz", tmp_path / "to"
    assert export(root, out, []) == 35
    again = tmp_path / "again.gz"
    export(root, again, [])
    assert again.read_bytes() == out.read_bytes(), "the same journals make the same file"
    assert take_in(to, out) == (35, 0) and contents(to) == contents(root)
    assert take_in(to, out) == (0, 35) and contents(to) == contents(root)


def test_one_journal_and_its_absence(root, tmp_path):
    assert export(root, tmp_path / "one.gz", ["toy-b"]) == 5
    assert take_in(tmp_path / "to", tmp_path / "one.gz") == (5, 0) and set(contents(tmp_path / "to")) == {"toy-b"}
    for only in (["toy-b", "none"], ["../from/toy-c"]):
        with pytest.raises(UserError, match="no journal here"):
            export(root, tmp_path / "none.gz", only)
    assert not (tmp_path / "none.gz").exists()


def line(**changed) -> str:
    return json.dumps({"journal": "openai-a", **item(1)} | changed)


BROKEN = {
    "no JSON": "{",
    "a list": "[]",
    "a key that would tear a line": line(key='a"b'),
    "a key of two lines": line(key="a\nb"),
    "an empty key": line(key=""),
    "a key that is a number": line(key=5),
    "no key": '{"journal": "openai-a"}',
    "no journal": '{"key": "ab", "reply": {}}',
    "a journal outside": line(journal="../openai-a"),
    "the folder above": line(journal=".."),
    "the folder itself": line(journal=""),
    "an absolute path": line(journal="/tmp/x"),
    "a journal that is no name": line(journal=["openai-a"]),
    "NaN": line(reply={"top": [["85", float("nan")]]}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_export_is_refused_with_its_line(tmp_path, name):
    path, to = tmp_path / "broken.gz", tmp_path / "to"
    with gzip.open(path, "wt", encoding="utf-8") as handle:
        handle.write(f"{line()}\n{BROKEN[name]}\n")
    with pytest.raises(UserError, match=r"broken\.gz:2: "):
        take_in(to, path)
    assert {p.name for p in tmp_path.iterdir()} <= {"broken.gz", "to"}
    for found in to.rglob("*"):
        assert found.is_dir() or [json.loads(text)["key"] for text in found.read_text().splitlines()] == ["0001"]


def test_a_file_cut_short_is_refused(root, tmp_path):
    export(root, tmp_path / "whole.gz", [])
    (tmp_path / "cut.gz").write_bytes((tmp_path / "whole.gz").read_bytes()[:-40])
    (tmp_path / "plain.gz").write_text(line())
    for name in ("cut.gz", "plain.gz", "absent.gz"):
        with pytest.raises(UserError, match=name):
            take_in(tmp_path / "to", tmp_path / name)


def test_chosen_answers_alone_are_exported(root, tmp_path):
    keys = {item(n)["key"] for n in (3, 17)}
    assert export(root, tmp_path / "some.gz", ["openai-a"], keys) == 2
    assert take_in(tmp_path / "to", tmp_path / "some.gz") == (2, 0)
    assert {found["key"] for found in Journal(tmp_path / "to/openai-a").items()} == keys
