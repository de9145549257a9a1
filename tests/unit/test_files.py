"""Files are whole or absent, also when a job lives on that its workflow has given up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.em.files import atomic_dir, atomic_file, replace_dir

ROOT = Path(__file__).parents[2]
# Another job that writes the same output: it has begun when it says so, and ends when its input does.
OTHER = (
    "import sys; from workflow_scripts.em.files import atomic_file\n"
    "with atomic_file(sys.argv[1]) as out: out.write('theirs' * 9); print(flush=True); sys.stdin.read()"
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def other(tmp_path):
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    job = subprocess.Popen([sys.executable, "-c", OTHER, str(tmp_path / "out.json")], cwd=ROOT, **pipes)
    job.stdout.readline()
    yield job
    job.kill()
    job.communicate()


def test_two_jobs_that_write_one_output_do_not_mix(other, tmp_path):
    with atomic_file(tmp_path / "out.json") as out:
        out.write("ours")
    assert (tmp_path / "out.json").read_text() == "ours"
    other.communicate()
    assert other.returncode == 0 and (tmp_path / "out.json").read_text() == "theirs" * 9
    assert names(tmp_path) == ["out.json"]


def test_what_a_killed_job_left_is_removed_by_the_next(other, tmp_path):
    other.kill()
    other.wait()
    (left,) = names(tmp_path)
    os.utime(tmp_path / left, (0, 0))
    (tmp_path / ".another.json.host-1.tmp").touch()
    with atomic_file(tmp_path / "out.json") as out:
        assert left not in names(tmp_path)
        out.write("ours")
    assert names(tmp_path) == [".another.json.host-1.tmp", "out.json"]


def test_a_folder_stays_when_the_one_in_its_place_does_not_come(tmp_path):
    """As a job finds it that has lost its unfinished work to another one, which has finished."""
    with atomic_dir(tmp_path / "made") as folder:
        (folder / "a").touch()
    with pytest.raises(FileNotFoundError):
        replace_dir(tmp_path / "lost", tmp_path / "made")
    assert names(tmp_path) == ["made"] and names(tmp_path / "made") == ["a"]
    with atomic_dir(tmp_path / "made") as folder:
        (folder / "b").touch()
    assert names(tmp_path) == ["made"] and names(tmp_path / "made") == ["b"]
