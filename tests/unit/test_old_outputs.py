"""What a job was to make anew and did not is as it was before; what it made stays."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from workflow_scripts.em.old_outputs import Output, keep, settle


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study with a table, a checkpoint and private data, all of which Snakemake has records of."""
    monkeypatch.chdir(tmp_path)
    outputs = {}
    for name in ("results/s/table.csv", "results/s/step-5", "data/decrypted/s/rows"):
        path = Path(name)
        if path.suffix:
            path.parent.mkdir(parents=True)
            path.write_text("old")
        else:
            (path / "deep").mkdir(parents=True)
            (path / "deep/weights").write_text("old")
        os.utime(path, (1000, 1000))
        record, mark = tmp_path / f"record-{path.name}", tmp_path / f"mark-{path.name}"
        record.write_text("made of the old config")
        outputs[path.name] = Output(path, record, mark)
    return outputs


FOLDERS = "results/s", "data/decrypted/s"


def begun(tmp_path, study):
    """A run's start; returns its index."""
    index = tmp_path / ".snakemake/before/s.jsonl"
    keep(study.values(), map(Path, FOLDERS), index)
    return index


def deleted(output: Output) -> None:
    """As Snakemake does it, with a job that fails."""
    shutil.rmtree(output.path) if output.path.is_dir() else output.path.unlink()
    output.record.unlink()


def test_what_was_not_made_anew_is_put_back(tmp_path, study):
    index = begun(tmp_path, study)
    for output in study.values():
        deleted(output)
        output.mark.write_text("being made")
    assert settle(index) == [output.path for output in study.values()]
    assert study["table.csv"].path.read_text() == "old"
    assert (study["step-5"].path / "deep/weights").read_text() == "old"
    for output in study.values():
        assert output.path.stat().st_mtime == 1000, "or it would count as newer than what is to be made of it"
        assert output.record.read_text() == "made of the old config" and not output.mark.exists()
    assert not (tmp_path / "results/.before").exists() and not (tmp_path / "data/decrypted/.before").exists()
    assert not index.exists() and settle(index) == []


def test_what_was_made_stays_and_nothing_else_of_it(tmp_path, study):
    index = begun(tmp_path, study)
    deleted(study["table.csv"])
    study["table.csv"].path.write_text("new")
    study["table.csv"].record.write_text("made of the new config")
    assert settle(index) == []
    assert study["table.csv"].path.read_text() == "new"
    assert study["table.csv"].record.read_text() == "made of the new config"
    assert (study["step-5"].path / "deep/weights").read_text() == "old", "its job was not begun"
    assert not (tmp_path / "results/.before").exists()


def test_a_run_that_follows_a_killed_one_keeps_what_that_one_put_back(tmp_path, study):
    index = begun(tmp_path, study)
    deleted(study["step-5"])
    settle(index)
    begun(tmp_path, study)
    deleted(study["step-5"])
    assert settle(index) == [study["step-5"].path]


def test_a_line_that_a_crash_tore_is_passed_over(tmp_path, study):
    index = begun(tmp_path, study)
    index.write_text(index.read_text()[:-20])
    for output in study.values():
        deleted(output)
    assert len(settle(index)) == 2


def test_without_links_nothing_is_kept_and_nothing_fails(tmp_path, study, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    index = tmp_path / "index"
    assert keep(study.values(), map(Path, FOLDERS), index) == 3
    deleted(study["table.csv"])
    assert settle(index) == [] and not (tmp_path / "results/.before").exists() and not index.exists()


def test_what_the_user_deletes_with_its_folder_does_not_come_back(tmp_path, study):
    index = begun(tmp_path, study)
    shutil.rmtree("data/decrypted/s")
    assert settle(index) == [] and not Path("data/decrypted/s").exists() and not Path("data/decrypted/.before").exists()


def test_the_record_is_put_back_before_the_output_and_what_fails_is_tried_again(tmp_path, study, monkeypatch):
    index, put = begun(tmp_path, study), os.rename
    for output in study.values():
        deleted(output)
        output.record.write_text("of the new config, as Snakemake leaves it")

    def full(source, target):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "rename", full)
    assert settle(index) == [study["table.csv"].path], "a file is linked"
    for name in ("step-5", "rows"):
        assert not study[name].path.exists() and study[name].record.read_text() == "made of the old config"
    monkeypatch.setattr(os, "rename", put)
    assert settle(index) == [study["step-5"].path, study["rows"].path] and not index.exists()


def test_what_a_job_made_that_outlived_its_snakemake_gives_way(tmp_path, study):
    """It is of a config that nobody has recorded, and would pass for one of the old config."""
    index, step, table = begun(tmp_path, study), study["step-5"], study["table.csv"]
    shutil.rmtree(step.path)
    (step.path / "deep").mkdir(parents=True)
    (step.path / "deep/weights").write_text("new")
    table.path.unlink()
    table.path.write_text("new")
    assert settle(index) == [table.path, step.path]
    assert table.path.read_text() == (step.path / "deep/weights").read_text() == "old"


def test_an_output_without_a_record_is_put_back_without_one(tmp_path, study):
    study["table.csv"].record.unlink()
    index = begun(tmp_path, study)
    study["table.csv"].path.unlink()
    study["table.csv"].record.write_text("of the new config")
    assert settle(index) == [study["table.csv"].path] and not study["table.csv"].record.exists()
