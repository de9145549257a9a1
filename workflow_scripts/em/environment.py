"""Whether this machine is ready: Python, packages, the file of keys, GPU and disk. Each finding says its mend."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

OK, WARNING, MISSING = "ok", "warning", "missing"
GIB = 2**30
OLDEST = (3, 11)
SHOWN = 5


class Finding(NamedTuple):
    """One line of a check: `mend` is empty where all is well. Neither text ever holds a secret's value."""

    status: str
    what: str
    text: str
    mend: str = ""


def python() -> Finding:
    """This Python's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        return Finding(MISSING, "Python", version, "3.11 or newer is needed: make setup PYTHON=python3.11")
    return Finding(OK, "Python", version)


def packages(lock: Path) -> Iterator[Finding]:
    """Installed packages against the pins of a lock file; a local part of a version (+cpu) does not count."""
    if not lock.is_file():
        yield Finding(WARNING, "packages", f"no lock file {lock}", "run from the repository's folder")
        return
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)$", lock.read_text(encoding="utf-8"), re.M))
    absent, other = [], []
    for name, pinned in pins.items():
        try:
            found = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            absent.append(f"{name}=={pinned}")
            continue
        if found != pinned:
            other.append(f"{name} {found} (pinned: {pinned})")
    mend = f"make setup LOCK={lock}"
    if absent:
        yield Finding(MISSING, "packages", f"not installed: {_some(absent)}", mend)
    if other:
        yield Finding(WARNING, "packages", f"other versions: {_some(other)}", mend)
    if not absent and not other:
        yield Finding(OK, "packages", f"all {len(pins)} as pinned in {lock}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def key_file(path: Path = Path(".env")) -> Finding:
    """The file that keys may stand in."""
    if not path.exists():
        return Finding(OK, str(path), "none; keys come from the environment alone")
    if not os.access(path, os.R_OK):
        return Finding(MISSING, str(path), "cannot be read", f"chmod 600 {path}")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding(WARNING, str(path), "others on this machine may read it", f"chmod 600 {path}")
    return Finding(OK, str(path), "readable, by you alone")


def gpu(found: list[dict], real_models: bool) -> Finding:
    """What `backends.devices.gpus` found; `real_models`: the study has base models that are no toys."""
    if not found:
        mend = "a GPU machine, or a driver that PyTorch's CUDA build fits (envs/gpu.txt)" if real_models else ""
        return Finding(WARNING if real_models else OK, "GPU", "CPU only", mend)
    kinds = [f"{g['name']}, {g['bytes'] / GIB:.0f} GiB{'' if g['bfloat16'] else ', no bfloat16'}" for g in found]
    text = "; ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    if not all(g["bfloat16"] for g in found):
        return Finding(WARNING, "GPU", text, "dtype: float32 in recipes and generation, or a newer GPU")
    return Finding(OK, "GPU", text)


def disk(kinds: dict[str, float], free: int, uncounted: list[str]) -> Finding:
    """Bytes that a study still writes, by kind, against those free; `uncounted` are models of unknown size."""
    total, least = sum(kinds.values()), GIB / 10
    parts = [f"{kind} {size / GIB:.1f}" for kind, size in kinds.items() if size >= least]
    needed = f"about {total / GIB:.1f} GiB" if total >= least else "less than 0.1 GiB"
    text = f"{free / GIB:.1f} GiB free; to be written: {needed}" + (f" ({', '.join(parts)})" if len(parts) > 1 else "")
    text += f", and models of unknown size: {_some(uncounted)}" if uncounted else ""
    mend = "free some, or keep fewer checkpoints; HF_HOME moves the hub's cache to another disk"
    if total > free:
        return Finding(MISSING, "disk", text, mend)
    return Finding(WARNING, "disk", text, mend) if 2 * total > free else Finding(OK, "disk", text)


def vllm(where: str, python_path: str | None) -> Finding:
    """Whether the Python that is to start vLLM has it."""
    command = [python_path or sys.executable, "-c", "from importlib.metadata import version; print(version('vllm'))"]
    mend = "python3 -m venv .venv-vllm && .venv-vllm/bin/pip install -r envs/vllm.txt; then name .venv-vllm/bin/python"
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return Finding(MISSING, where, f"{command[0]} does not run: {error.strerror}", mend)
    if done.returncode:
        return Finding(MISSING, where, f"{command[0]} has no vLLM", mend)
    return Finding(OK, where, f"vLLM {done.stdout.strip()}")
