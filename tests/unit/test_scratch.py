"""Models on a node's own disk: copied once, checked on the way, and loaded from there as from anywhere."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workflow_scripts.em import scratch
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest_tree
from workflow_scripts.em.scratch import SCRATCH, near


@pytest.fixture
def record(tmp_path) -> dict:
    """A model as the hub's cache keeps it: files that are links to blobs, in a folder named after the commit."""
    blobs, folder = tmp_path / "hub/blobs", tmp_path / "hub/snapshots/0123abcd"
    blobs.mkdir(parents=True)
    folder.mkdir(parents=True)
    for name, text in {"config.json": "{}", "model.safetensors": "weights"}.items():
        (blobs / name[:3]).write_text(text, encoding="utf-8")
        (folder / name).symlink_to(Path("../../blobs") / name[:3])
    return {"name": "owner/model", "path": str(folder), "digest": digest_tree(folder)}


def test_without_scratch_a_model_stays_where_it_is(record, monkeypatch):
    monkeypatch.delenv(SCRATCH, raising=False)
    assert near(record) is record


def test_jobs_that_start_at_once_share_one_copy(record, monkeypatch, tmp_path):
    monkeypatch.setenv(SCRATCH, str(tmp_path / "node/scratch"))
    made, copy = [], scratch._copy
    monkeypatch.setattr(scratch, "_copy", lambda *words: made.append(words) or copy(*words))
    with ThreadPoolExecutor(4) as jobs:
        found = list(jobs.map(near, [record] * 4))
    assert len(made) == 1 and all(one == found[0] for one in found)
    assert found[0] == record | {"path": str(tmp_path / "node/scratch/emtrace-models" / record["digest"])}
    shutil.rmtree(record["path"])  # links to nothing would be no copy
    shutil.rmtree(tmp_path / "hub/blobs")
    assert digest_tree(near(record)["path"]) == record["digest"]


def test_a_model_that_changed_since_is_refused(record, monkeypatch, tmp_path):
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    (tmp_path / "hub/blobs/mod").write_text("other weights", encoding="utf-8")
    with pytest.raises(UserError, match=r"0123abcd: no longer the model that its record was made of; delete that"):
        near(record)
    assert not [path for path in (tmp_path / "scratch/emtrace-models").iterdir() if path.is_dir()]


def test_scratch_that_cannot_be_written_is_named(record, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv(SCRATCH, str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"EMTRACE_SCRATCH=.*file: model owner/model cannot be copied there .*unset it"):
        near(record)
