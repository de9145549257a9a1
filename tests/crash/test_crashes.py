"""A study ended in all ways again and again, and its locks, disk, clock and files: the bytes stay the same."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.crash.harness import STARTED, WAYS, Study, torment
from tests.workflow.conftest import Copy

pytestmark = pytest.mark.slow

CONFIG, KILLS, SEED = "tests/crash/killed.yaml", 25, 8
DAY_S = 86400
TABLE = "results/killed/latex/findings.tex"  # the last thing that is made
needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk or a read-only one")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """The study after all that, done."""
    return torment(tmp_path_factory.mktemp("crash"), CONFIG, KILLS, SEED)


@pytest.fixture(scope="module")
def whole(study) -> dict[str, str]:
    return study.made()


def refused(study: Study, *arguments: str) -> str:
    """What a run says that ends with an error."""
    run = study.start(*arguments)
    assert run.wait(300) == 1, study.log.read_text()
    return study.log.read_text()


@contextlib.contextmanager
def mounted(place, *options: str):
    """Something mounted at a folder for the block; skips where that is not allowed, as in a container."""
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_study_that_is_ended_again_and_again_ends_with_the_same_bytes(study):
    print(study.report())
    assert study.kills == KILLS and {way for way, _ in study.table} >= set(WAYS)
    assert len({rule for _, rule in study.table}) >= 6, "of all kinds"


def test_two_at_once_are_refused_and_a_dead_one_is_not_in_the_way(study, whole):
    locks, aside = study.folder / ".snakemake/locks", study.folder / "locks"
    first = study.start("--forcerun", "latex")
    while not study.jobs()[0]:
        assert first.poll() is None, study.log.read_text()
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGSTOP)
    shutil.copytree(locks, aside)
    assert "Directory cannot be locked" in refused(study, "--forcerun", "latex")
    # Whichever Snakemake ends here, of another study too, takes all locks away.
    shutil.rmtree(locks)
    assert f"study killed: another Snakemake (process {first.pid} on" in refused(study, "--forcerun", "latex")
    shutil.copytree(aside, locks, dirs_exist_ok=True)
    first.kill()
    first.wait()
    said = study.run()
    assert "The Snakemake that ran here before was killed: its lock is removed." in said
    study.check(whole)
    # One of another machine may be alive: the user has to say that it is not.
    shutil.move(aside, locks)
    (study.folder / ".snakemake/running/elsewhere-1").touch()
    (study.folder / TABLE).unlink()
    assert "can be removed with the --unlock argument" in refused(study)
    study.run("--unlock")
    study.run()
    study.check(whole)


@needs_mounts
def test_a_full_disk_is_told_and_loses_nothing(study, whole, tmp_path):
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=96m", "tmpfs") as disk:
        small = Study(Copy(disk), CONFIG)
        for path in ("results", "data/decrypted", ".snakemake", "tests/crash", "workflow_scripts"):
            shutil.copytree(study.folder / path, disk / path, dirs_exist_ok=True)
        # What is to be made again, with all that is made from it: Snakemake removes a job's outputs when it begins.
        for made in ("scores", "statistics", "figures", "examples", "latex"):
            shutil.rmtree(disk / "results/killed" / made)
        for table in (disk / "results/killed").glob("*.csv*"):
            table.unlink()
        before = small.made()
        run = small.start()
        while small.jobs()[1] == 0:
            assert run.poll() is None, small.log.read_text()
            time.sleep(0.02)
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
            while filler.write(bytes(2**20)):
                pass
        assert run.wait(300) == 1
        said = f"{disk}/results/killed: the disk is full; make room"
        assert said in small.log.read_text()
        assert said in refused(small)
        now = small.made()
        assert before.items() <= now.items()
        (disk / "filler").unlink()
        small.run()
        small.check(whole)


@needs_mounts
def test_results_that_cannot_be_written_are_told_at_once(study, whole):
    results = study.folder / "results"
    # Where the old ones still lie Snakemake says so itself ("Write-protected output files").
    shutil.rmtree((study.folder / TABLE).parent)
    with mounted(results, "--bind", str(results)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(results)], check=True)
        assert f"{results}/killed: cannot be written (read-only" in refused(study)
    study.run()
    study.check(whole)


def set_clock(study: Study, seconds: float) -> None:
    """Shift all times of change, as if all had been made so much later than it was."""
    for folder in ("results", "data/decrypted", ".snakemake"):
        for path in (study.folder / folder).rglob("*"):
            at = path.stat().st_mtime + seconds
            os.utime(path, (at, at))


def test_a_clock_that_jumps_makes_nothing_stale_and_hides_nothing(study, whole):
    set_clock(study, DAY_S)
    (study.folder / TABLE).unlink()
    said = study.run()
    assert "The clock was set back" in said and {rule for rule, _ in STARTED.findall(said)} == {"latex", "all"}
    study.check(whole)
    set_clock(study, -DAY_S)
    assert "Nothing to be done" in study.run()


def test_what_a_power_cut_leaves_is_found_and_made_again(study, whole):
    """Empty, torn and zeroed files under names that count as done, torn journals and records, and a lock."""
    results = study.folder / "results"
    killed = results / "killed"
    broken = [killed / "responses/bad/seed-0/em/step-4.jsonl", killed / "statistics/rates.csv", killed / "findings.csv"]
    for path, content in zip(broken, (b"", b"organism,se", bytes(100)), strict=True):
        path.write_bytes(content)
    for journal in results.glob(".journal/judgments/*/*.jsonl"):
        journal.write_bytes(journal.read_bytes()[:-7])
    for record in list((study.folder / ".snakemake/metadata").rglob("*"))[::5]:
        if record.is_file():
            record.write_bytes(b"")
    lock = study.folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(TABLE)
    said = study.run()
    for path in broken:
        assert f"{path.relative_to(study.folder)}: not what its record says" in said
        path.with_name(f".{path.name}.broken").unlink()
    study.check(whole)
