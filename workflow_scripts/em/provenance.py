"""The frame every stage runs in: one-line user errors, and a provenance record beside what it made."""

import datetime
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from workflow_scripts.em.disk import disk_problem
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest_tree, sha256_file, write_json
from workflow_scripts.em.running import end_with_workflow

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "numpy", "scipy", "snakemake")
RECORD = "provenance.json"


def _git_commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except OSError:  # no git on this machine
        return None
    return found.stdout.strip() or None


def content(path: str | Path) -> str:
    """Digest of a file or a folder."""
    return digest_tree(path) if Path(path).is_dir() else sha256_file(path)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def record_path(output: str | Path) -> Path:
    """Where the provenance of `output` is kept: inside a folder, beside a file."""
    output = Path(output)
    return output / RECORD if output.is_dir() else output.with_name(f"{output.name}.{RECORD}")


@contextmanager
def recorded(stage: str, params: dict, inputs: list, output: str | Path) -> Iterator[dict]:
    """Time the block and write a provenance record beside `output` when it ends well.

    The record holds the stage's name, its params, the digests of its inputs and of the output, package versions, the
    git commit, wall and CPU seconds and the peak memory in MiB. The block may add keys to the yielded dict (counts,
    costs). Params must not hold secrets: a stage takes the *name* of an environment variable, never its value.
    Raises UserError when the disk is full or cannot be written, however the library says so that found out.
    """
    start, cpu = time.time(), time.process_time()
    extra: dict = {}
    try:
        yield extra
    except UserError:
        raise
    except Exception as error:
        if problem := disk_problem(output, error):
            raise UserError(f"{problem}; then run again: what is done is kept") from error
        raise
    record = {
        "stage": stage,
        "output": str(output),
        "output_digest": content(output),
        "inputs": {str(path): content(path) for path in inputs if path},
        "params": params,
        **extra,
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": _git_commit(),
        "started": datetime.datetime.fromtimestamp(start, datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - start, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    write_json(record_path(output), record)


def run(main: Callable[[], None]) -> None:
    """Call a stage's `main`; a UserError becomes one message on standard error and exit status 1, Ctrl-C 130."""
    end_with_workflow()
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
