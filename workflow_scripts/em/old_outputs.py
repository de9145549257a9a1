"""What a job is to make anew is kept until it has: a failed or killed job leaves its outputs as they were.

Snakemake deletes a job's outputs before it starts, and again when it fails, when it has already recorded the new config
for them. What is gone it does not miss as long as nothing that is asked for is stale by itself: after a failed
`training_set` the next run would find nothing to do, and figures of the old data would stand as those of the new. And
what took days would be lost to a typo in the config.
"""

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.em.files import atomic_file, digest

FOLDER = ".before"  # beside a study's folder, so on its disk


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


def keep(outputs: Iterable[Output], folders: Iterable[Path], index: Path) -> int:
    """Keep those of the outputs that are there and lie in one of the folders, and write down in `index` which.

    Links take no room and little time, and hold what is deleted. Returns how many could not be kept, as on a file
    system without links.
    """
    index.parent.mkdir(parents=True, exist_ok=True)
    folders, failed = list(folders), 0
    with open(index, "a", encoding="utf-8") as lines:
        for output in outputs:
            folder = next((folder for folder in folders if folder in output.path.parents), None)
            if folder is None or not output.path.exists():
                continue
            kept = folder.parent / FOLDER / index.stem / digest(str(output.path))
            old = Old(output, kept, _text(output.record))
            # The line first: what is kept without one would never be let go.
            lines.write(json.dumps([*map(str, output), str(old.kept), old.text]) + "\n")
            lines.flush()
            failed += not _linked(old)
        os.fsync(lines.fileno())
    return failed


def settle(index: Path) -> list[Path]:
    """Put back what was deleted to be made anew and was not, with Snakemake's record of it; let go of the rest.

    Nobody may be at work on the outputs. Returns what was put back; what could not be stays kept for the next time.
    """
    found, left = [], []
    for old in _read(index):
        try:
            if _lost(old):
                _put_back(old)
                found.append(old.output.path)
        except OSError:
            left.append(old)
        else:
            _delete(old.kept)
    if left:
        with atomic_file(index) as lines:
            lines.writelines(json.dumps([*map(str, old.output), str(old.kept), old.text]) + "\n" for old in left)
    else:
        index.unlink(missing_ok=True)
    return found


def _lost(old: Old) -> bool:
    """Whether it is gone, or another is there that Snakemake has not recorded, as of a job that outlived it.

    Where its folder is gone too, the user has deleted that. Whether its job was begun cannot be seen: Snakemake deletes
    an output before it marks it as being made.
    """
    path = old.output.path
    if not old.kept.exists() or not path.exists():
        return old.kept.exists() and path.parent.is_dir()
    return not _same(old.kept, path) and _text(old.output.record) == old.text


def _same(kept: Path, path: Path) -> bool:
    """Whether what is there is what is kept, by the first of its files."""
    if not kept.is_dir():
        return kept.samefile(path)
    first = next((file for file in sorted(kept.rglob("*")) if file.is_file()), None)
    there = path / first.relative_to(kept) if first else None
    return there is None or (there.is_file() and first.samefile(there))


def _put_back(old: Old) -> None:
    """The record before the output: with the record of the new config the old output would pass for up to date."""
    if old.output.path.is_dir():
        shutil.rmtree(old.output.path)
    else:
        old.output.path.unlink(missing_ok=True)
    if old.text is None:
        old.output.record.unlink(missing_ok=True)
    else:
        with atomic_file(old.output.record) as record:
            record.write(old.text)
    if old.kept.is_dir():
        os.rename(old.kept, old.output.path)
    else:
        os.link(old.kept, old.output.path)  # unlike a rename, over nothing that has come meanwhile
    # The mark would have it made again also where the config that it is of is back.
    old.output.mark.unlink(missing_ok=True)


def _text(record: Path) -> str | None:
    try:
        return record.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _linked(old: Old) -> bool:
    try:
        _delete(old.kept)
        old.kept.parent.mkdir(parents=True, exist_ok=True)
        if old.output.path.is_dir():
            shutil.copytree(old.output.path, old.kept, symlinks=True, copy_function=os.link)
        else:
            os.link(old.output.path, old.kept)
    except OSError:  # of several files a `shutil.Error`, which is one
        _delete(old.kept)
        return False
    return True


def _delete(kept: Path) -> None:
    """Let go of what is kept, as far as it can be: what stays is in nobody's way."""

    def writable(_: object, path: str, __: object) -> None:
        with suppress(OSError):
            os.chmod(os.path.dirname(path), stat.S_IRWXU)
            os.unlink(path)

    with suppress(OSError):
        if kept.is_dir():
            shutil.rmtree(kept, onerror=writable)
            shutil.rmtree(kept, ignore_errors=True)
        else:
            kept.unlink(missing_ok=True)
    with suppress(OSError):  # others are kept there
        kept.parent.rmdir()
        kept.parent.parent.rmdir()


def _read(index: Path) -> Iterator[Old]:
    try:
        lines = index.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        with suppress(ValueError):  # torn by a crash, before its job began
            *paths, text = json.loads(line)
            *output, kept = map(Path, paths)
            yield Old(Output(*output), kept, text)
