"""Who runs in a folder: a lock of the dead is removed, one of the living never; stages end with their Snakemake."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.running import WORKFLOW, alive, drop_dead_lock, forget_others, hold_study, sign_in

HOST = socket.gethostname()


def python(code: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def another(folder, code: str):
    """Another process that has run `code` (with `folder` and the functions) and lives on for the block."""
    begin = "import sys; from pathlib import Path; from workflow_scripts.em.running import *\n"
    process = python(f"{begin}folder = Path({str(folder)!r})\n{code}\nprint('ready', flush=True); sys.stdin.read()")
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_the_dead_are_signed_out_and_the_living_are_seen(tmp_path):
    with another(tmp_path, "sign_in(folder)") as first:
        assert sign_in(tmp_path) == [f"{HOST}-{first.pid}"]
    assert sign_in(tmp_path) == []
    assert [path.name for path in (tmp_path / "running").iterdir()] == [f"{HOST}-{os.getpid()}"]


def test_one_that_ends_by_itself_signs_out(tmp_path):
    code = "from pathlib import Path; from workflow_scripts.em.running import sign_in"
    done = python(f"{code}; sign_in(Path({str(tmp_path)!r}))")
    assert done.wait(30) == 0 and list((tmp_path / "running").iterdir()) == []


def test_of_another_machine_nothing_is_known_until_the_user_says_so(tmp_path):
    (tmp_path / "running").mkdir()
    (tmp_path / "running/elsewhere-1").touch()
    assert sign_in(tmp_path) == ["elsewhere-1"]
    forget_others(tmp_path, ["elsewhere-1"])
    assert sign_in(tmp_path) == []


def test_on_a_file_system_without_locks_all_count_as_alive(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / "running").mkdir()
    (tmp_path / f"running/{HOST}-1").touch()
    assert sign_in(tmp_path) == [f"{HOST}-1"]
    forget_others(tmp_path, [f"{HOST}-1"])
    assert sign_in(tmp_path) == [f"{HOST}-1"], "it is of this machine"
    hold_study(tmp_path, "mine")


def test_a_lock_is_dropped_once(tmp_path):
    (tmp_path / "locks").mkdir()
    assert not drop_dead_lock(tmp_path)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/0.output.lock").write_text("results/x\n")
    assert drop_dead_lock(tmp_path) and not drop_dead_lock(tmp_path)


def test_a_study_has_one_runner(tmp_path):
    with another(tmp_path, "hold_study(folder, 'mine')") as first:
        with pytest.raises(
            UserError, match=rf"study mine: another Snakemake \(process {first.pid} on {HOST}\) runs it"
        ):
            hold_study(tmp_path, "mine")
        hold_study(tmp_path, "other")
    hold_study(tmp_path, "mine")


@pytest.mark.parametrize("waited_for", [True, False])
def test_a_stage_ends_with_its_snakemake(waited_for):
    snakemake = subprocess.Popen(["sleep", "1000"])
    code = "import time; from workflow_scripts.em.provenance import run; run(lambda: time.sleep(1000))"
    stage = python(code, **{WORKFLOW: str(snakemake.pid)})
    time.sleep(0.5)
    assert stage.poll() is None
    snakemake.kill()
    if waited_for:  # else it stays listed, as in a container
        snakemake.wait()
    assert stage.wait(20) == 1
    snakemake.wait()
    assert not alive(snakemake.pid) and alive(os.getpid())
