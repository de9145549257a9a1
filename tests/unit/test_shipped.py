"""Files that come with emtrace are found by a study that runs in another folder; its own go before them."""

from pathlib import Path

import pytest
import yaml

from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.shipped import ROOT, named_from_here

STUDIES = [ROOT / "config.yaml", ROOT / "tests/tiny.yaml", *sorted(ROOT.glob("studies/*-tiny.yaml"))]


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def files(config: dict) -> list[str]:
    """Every text in a config that may be a file's path under data/."""
    values = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    found = [path for value in values for path in files(value)]
    return [*found, *(value for value in values if isinstance(value, str) and "data/" in value)]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_is_valid_in_an_empty_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(named_from_here(read(path)), [])
    named = files(config.plain())
    assert named and all(Path(file).resolve().is_relative_to(ROOT / "data") for file in named)
    assert all(Path(file).is_file() for file in named)


def test_prompts_that_are_shipped_for_a_judge_are_found_too(tmp_path, monkeypatch):
    raw = read(ROOT / "tests/tiny.yaml")
    raw["judges"]["words"] = {"kind": "transformers", "base_model": "toy", "question_prompts": False}
    raw["judges"]["own"] = {**raw["judges"]["words"], "metrics": {"alignment": {"prompt": "mine.txt"}, "coherence": {}}}
    monkeypatch.chdir(tmp_path)
    judges = named_from_here(raw)["judges"]
    assert {Path(asked["prompt"]).resolve() for asked in judges["words"]["metrics"].values()} == {
        ROOT / "data/judges/alignment.txt",
        ROOT / "data/judges/coherence.txt",
    }
    assert judges["own"]["metrics"]["alignment"] == {"prompt": "mine.txt"}


def test_files_of_the_working_directory_go_first(tmp_path, monkeypatch):
    raw = read(ROOT / "tests/tiny.yaml")
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "data/questions/toy.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("[]")
    assert named_from_here(raw)["question_sets"]["toy"]["path"] == "data/questions/toy.yaml"
    assert raw == read(ROOT / "tests/tiny.yaml")


def test_in_the_repository_a_study_stays_as_it_is(raw):
    assert named_from_here(raw) is raw


def test_a_study_that_is_not_valid_is_left_to_the_check_of_configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_from_here({"studdy": "typo"}) == {"studdy": "typo"}
