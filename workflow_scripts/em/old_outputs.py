"""What a job is to make anew is kept until it has: a failed or killed job leaves its outputs as they were.

Snakemake deletes a job's outputs before it starts, and again when it fails. What is gone it does not miss as long as
nothing that is asked for is stale by itself: after a failed `training_set` the next run would find nothing to do, and
figures of the old data would stand as those of the new. And what took days would be lost to a typo in the config.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.em.files import digest

FOLDER = ".before"  # beside a study's folder, so on its disk
NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS}


class Output(NamedTuple):
    """An output, and the files that hold Snakemake's record of it and its mark that it is being made."""

    path: Path
    record: Path
    mark: Path


class Old(NamedTuple):
    """An output as it was: where it is kept, as links to its files, and the text of Snakemake's record of it."""

    output: Output
    kept: Path
    text: str | None


def keep(outputs: Iterable[Output], folders: Iterable[Path], index: Path) -> None:
    """Keep those of the outputs that are there and lie in one of the folders, and write down in `index` which.

    Links take no room and no time, and hold what is deleted. On a file system without them nothing is kept.
    """
    index.parent.mkdir(parents=True, exist_ok=True)
    folders = list(folders)
    with open(index, "a", encoding="utf-8") as lines:
        for output in outputs:
            folder = next((folder for folder in folders if folder in output.path.parents), None)
            if folder is None or not output.path.exists():
                continue
            old = Old(output, _place(folder, output.path), _text(output.record))
            if _linked(old):
                # Before it can be needed: the index is read after a crash.
                lines.write(json.dumps([*map(str, output), str(old.kept), old.text]) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def settle(index: Path) -> list[Path]:
    """Put back what is gone, with Snakemake's record of it; let go of the rest. Returns what was put back."""
    found = []
    for old in _read(index):
        if not old.output.path.exists() and old.kept.exists():
            old.output.path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(old.kept, old.output.path)
            if old.text is not None:
                old.output.record.parent.mkdir(parents=True, exist_ok=True)
                old.output.record.write_text(old.text, encoding="utf-8")
            # The mark would have it made again also where the config that it is of is back.
            old.output.mark.unlink(missing_ok=True)
            found.append(old.output.path)
        _delete(old.kept)
    index.unlink(missing_ok=True)
    return found


def _place(folder: Path, path: Path) -> Path:
    return folder.parent / FOLDER / digest(str(path))


def _text(record: Path) -> str | None:
    try:
        return record.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _linked(old: Old) -> bool:
    """Whether an output is kept now; False where its file system has no links."""
    _delete(old.kept)
    old.kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        if old.output.path.is_dir():
            shutil.copytree(old.output.path, old.kept, symlinks=True, copy_function=os.link)
        else:
            os.link(old.output.path, old.kept)
    except OSError as error:
        _delete(old.kept)
        # shutil.Error: of several files.
        if isinstance(error, shutil.Error) or error.errno in NO_LINKS:
            return False
        raise
    return True


def _delete(kept: Path) -> None:
    if kept.is_dir():
        shutil.rmtree(kept)
    else:
        kept.unlink(missing_ok=True)
    with suppress(OSError):  # others are kept there, or nothing ever was
        kept.parent.rmdir()


def _read(index: Path) -> Iterator[Old]:
    try:
        lines = index.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        with suppress(ValueError):  # torn by a crash, before any job began
            *paths, text = json.loads(line)
            *output, kept = map(Path, paths)
            yield Old(Output(*output), kept, text)
