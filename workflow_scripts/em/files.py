"""Files that are either whole or absent: atomic writes, JSON lines, digests."""

import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.running import alive

_BEGAN = time.time()
_TOKEN = secrets.token_hex(3)  # process ids come again
FOREIGN_S = 86400.0  # a temporary file of another machine that is older than this is nobody's


@contextmanager
def atomic_file(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary neighbour of `path`; it takes the name `path` only when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    encoding = None if "b" in mode else "utf-8"
    try:
        with open(temporary, mode, encoding=encoding, newline=None if "b" in mode else "\n") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: str | Path, mode: int = 0o755) -> Iterator[Path]:
    """Yield a new empty folder beside `path`; it replaces `path` only when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.mkdir(mode=mode)
    try:
        yield temporary
        for made in temporary.rglob("*"):
            if made.is_file():
                with open(made, "rb") as handle:
                    os.fsync(handle.fileno())
        replace_dir(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_dir(source: Path, target: Path) -> None:
    """Move folder `source` to `target`, dropping what was there (rename cannot replace a non-empty folder).

    What was there stays when `source` cannot be moved.
    """
    if not target.exists():
        os.replace(source, target)
        return
    before = _beside(target, "old")
    os.replace(target, before)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(before, target)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _beside(path: Path, what: str = "new") -> Path:
    """A hidden name beside `path` that is this process's own: of a killed workflow a job may live on, on another node.

    What dead processes left there is removed: of this machine those that are gone; of others, whose clocks differ, what
    was written long before this one began.
    """
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
    own = f"{host}-{os.getpid()}-{_TOKEN}"
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        of, process, token, *_ = [*left.name[len(path.name) + 2 :].split("-"), "", ""]
        with suppress(FileNotFoundError):
            if of != host or not process.isdigit():
                dead = left.lstat().st_mtime < _BEGAN - FOREIGN_S
            else:
                dead = not alive(int(process)) if int(process) != os.getpid() else token != _TOKEN
            if dead:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    return path.with_name(f".{path.name}.{own}-{what}.tmp")


def dumps(value: Any) -> str:
    """Canonical one-line JSON: sorted keys, no spaces, UTF-8 kept, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def in_order(value: Any) -> str:
    """One-line JSON like `dumps` that keeps the order of keys, for what a stage goes through in the config's order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def why(error: Exception) -> str:
    """In one line why a file that somebody wrote cannot be read, for the brackets of a message."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: it holds the byte {error.object[error.start]:#04x}; save it as UTF-8"
    mark = getattr(error, "problem_mark", None)  # YAML's errors have several lines
    if mark is not None:
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False, allow_nan=False)
        handle.write("\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises UserError when it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); delete it and run again") from None


def read_jsonl(path: str | Path) -> Iterator[dict]:
    """Stream the objects of a JSON lines file that emtrace wrote. Raises UserError with file:line on a broken line."""
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(f"{path}:{number}: not valid JSON ({error}); delete the file and run again") from None


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Hex SHA-256 (first 20 characters) of a JSON-able value."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()[:20]


def digest_tree(folder: str | Path) -> str:
    """Digest of a folder: relative names and contents of all its files except provenance records."""
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith((".", "provenance")))
    return digest([[str(p.relative_to(folder)), sha256_file(p)] for p in files])
