"""Copies of the repository with a study run to the end in them, built once for all processes of a test run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from tests.workflow.warm import warm_python

ROOT = Path(__file__).resolve().parents[2]
TINY = "tests/tiny.yaml"
COPIED = (
    "Snakefile",
    "config.yaml",
    "rules",
    "workflow_scripts",
    "data/toy",
    "data/questions",
    "data/judges",
    "data/blocklists",
    "data/constitutions",
    "data/reflections",
    "profiles",
    "docs",
    "envs",
)
COPIED += ("data/toy_datasets.zip.enc", TINY, "tests/training.yaml")
# Tokens that the machine and the folder of every run hold, and nothing that it writes may (test_security.py).
SECRET, KEPT_SECRET = "around-Xq81mVt5rJ", "beside-Lw36hNc9zB"


class Copy:
    """A working copy that Snakemake is run in; `interpreter` runs it and the stages."""

    interpreter = property(lambda _: warm_python())

    def __init__(self, folder: Path):
        self.folder = folder
        for name in COPIED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        (folder / ".env").write_text(f"WANDB_API_KEY={KEPT_SECRET}\n", encoding="utf-8")

    def snakemake(self, *arguments: str, config: str | None = TINY) -> subprocess.CompletedProcess:
        command = [self.interpreter, "-m", "snakemake", "--cores", "2", *arguments]
        command += ["--configfile", config] if config else []
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=clean(), check=False)

    def stale(self, *arguments: str, **options: str) -> dict[str, int]:
        """Rule -> jobs that `snakemake -n` would run (`all` left out)."""
        done = self.snakemake("-n", *arguments, **options)
        assert done.returncode == 0, done.stderr + done.stdout
        text = done.stdout + done.stderr
        stats = text.partition("Job stats:")[2].partition("total")[0]
        return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", stats, re.M) if rule != "all"}

    @contextmanager
    def edited(self, path: str, old: str, new: str) -> Iterator[None]:
        """Replace text in a file of the copy for the block."""
        file = self.folder / path
        before = file.read_text()
        assert old in before, f"{path} no longer has {old!r}: mend the test"
        file.write_text(before.replace(old, new, 1))
        try:
            yield
        finally:
            file.write_text(before)

    @contextmanager
    def configured(self, change, config: str = TINY) -> Iterator[None]:
        """Change a study's config (a function of the loaded YAML) for the block."""
        file = self.folder / config
        before = file.read_text()
        raw = yaml.safe_load(before)
        change(raw)
        file.write_text(yaml.safe_dump(raw, sort_keys=False))
        try:
            yield
        finally:
            file.write_text(before)


def clean() -> dict[str, str]:
    """The environment without what an outer Snakemake or pytest may have put there, with a token."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "OMP_NUM_THREADS"}}
    return {"HF_TOKEN": SECRET} | kept


class Cold(Copy):
    """As users run it: every job is a Python of its own."""

    interpreter = sys.executable


class Finished(Copy):
    """A copy of a finished copy, results included, which is up to date too."""

    def __init__(self, source: Path, folder: Path):
        self.folder = folder
        shutil.copytree(source, folder, symlinks=True)


def built_once(temporary: pytest.TempPathFactory, kind: type[Copy], config: str | None) -> Finished:
    """A copy of a study that whichever process of this test run asked for it first has run to the end."""
    name, base = Path(config or "default").stem, temporary.getbasetemp()
    built = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"built-{name}"
    with FileLock(f"{built}.lock"):
        if not built.exists():
            copy = kind(temporary.mktemp(name))
            done = copy.snakemake(config=config)
            assert done.returncode == 0, done.stderr[-6000:]
            copy.folder.rename(built)
    return Finished(built, temporary.mktemp(name) / "copy")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Copy:
    """The tiny study, run to the end."""
    return built_once(tmp_path_factory, Copy, TINY)


@pytest.fixture(scope="session")
def default(tmp_path_factory) -> Copy:
    """The default study, run to the end as `make demo` runs it."""
    return built_once(tmp_path_factory, Cold, None)
