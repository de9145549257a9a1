"""GPUs are taken by one process each, of several Snakemakes too, and given back however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.em import gpus
from workflow_scripts.em.engine_options import gpus_of
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.gpus import VISIBLE, claim, visible_gpus

ROOT = Path(__file__).parents[2]
# Takes some, says which, and ends when its input does.
TAKE = (
    "import os, sys; from workflow_scripts.em import gpus; gpus.WAIT_S = 0.02; gpus.claim(int(sys.argv[1]));"
    "print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); sys.stdin.read()"
)


@pytest.fixture
def take(tmp_path):
    """Start a process that takes GPUs of those it sees."""
    started = []

    def start(number: int, seen: str = "0,1", **more: str) -> subprocess.Popen:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        env = os.environ | {VISIBLE: seen, "TMPDIR": str(tmp_path)} | more
        command = [sys.executable, "-c", TAKE, str(number)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=env, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def taken(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


def test_each_takes_another_and_a_killed_one_gives_its_own_back(take):
    first, second = take(1), take(1)
    held = {taken(first): first, taken(second): second}
    assert set(held) == {"0", "1"}
    third = take(1)
    assert third.stderr.readline().startswith("waiting for 1 of 2 GPUs: other jobs hold them")
    held["1"].send_signal(signal.SIGKILL)
    assert taken(third) == "1"
    held["0"].communicate()  # it ends by itself
    assert taken(take(1)) == "0"


def test_several_are_taken_at_once_or_none(take):
    one = take(1, "4,5,6")
    assert taken(one) == "4"
    assert taken(take(2, "4,5,6")) == "5,6"
    both = take(2, "4,5,6")
    assert "waiting for 2 of 3" in both.stderr.readline()
    one.communicate()
    # 4 is free, and is not held while another is waited for.
    assert taken(take(1, "4,5,6")) == "4"


def test_what_a_cluster_gave_a_job_is_its_own(take):
    """Two allocations of a node may call their GPUs alike; within one, jobs of a group share them out."""
    assert [taken(take(1, "0", SLURM_JOB_ID=job)) for job in ("7", "8")] == ["0", "0"]
    assert {taken(take(1, "0,1", SLURM_JOB_ID="7")) for _ in range(2)} == {"0", "1"}
    assert taken(take(1, "0,1", SLURM_JOB_ID="8")) == "0"


def test_nothing_is_taken_without_gpus_and_too_few_are_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for seen, number in (("", 1), ("-1", 2), ("3", 1), ("GPU-8932f937,1", 2)):
        monkeypatch.setenv(VISIBLE, seen)
        claim(number)
        assert os.environ[VISIBLE] == seen
    with pytest.raises(UserError, match=r"needs 3 GPUs and sees 2 .*training.processes.*tensor_parallel"):
        claim(3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("0,1", ["0", "1"]),
        (" 2 , 0", ["2", "0"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
        ("MIG-a/1/0", ["MIG-a/1/0"]),
    ],
)
def test_cuda_s_own_variable_says_which_are_visible(monkeypatch, said, names):
    monkeypatch.setenv(VISIBLE, said)
    assert visible_gpus() == names


@pytest.mark.parametrize(
    ("arguments", "gpus"),
    [
        ([], 1),
        (["--tensor-parallel-size", "2"], 2),
        (["--tensor-parallel-size", "1", "-tp=4"], 4),
        (["-pp", "2", "--tensor-parallel-size=2", "--max-model-len", "8"], 4),
        (["--seed", "3"], 1),
    ],
)
def test_an_engine_takes_what_its_arguments_split_the_model_among(arguments, gpus):
    assert gpus_of(arguments) == gpus


def test_the_only_gpu_is_taken_too_where_nobody_assigned_it(monkeypatch, tmp_path):
    # A copy: what claiming sets here is nothing to the tests that follow in this process.
    others = {name: value for name, value in os.environ.items() if name != gpus.VISIBLE}
    monkeypatch.setattr(os, "environ", others)
    monkeypatch.setattr(gpus, "visible_gpus", lambda: ["0"])
    monkeypatch.setattr(gpus.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gpus, "_held", [])
    gpus.claim(1)
    (lock,) = gpus.held()
    folder = next(tmp_path.iterdir())
    assert os.environ[gpus.VISIBLE] == "0" and gpus._taken(folder, ["0"], 1) == []
    os.close(lock)
    assert gpus._taken(folder, ["0"], 1) == ["0"]
