"""Disks that are full or cannot be written, told in one line that names the place."""

import errno
import os
import shutil
from pathlib import Path

FULL_BYTES = 2**20  # less than this is no room


def _place(path: str | Path) -> Path:
    """The nearest folder above `path` that is there."""
    return next(folder for folder in Path(path).absolute().parents if folder.is_dir())


def disk_problem(path: str | Path, error: Exception | None = None) -> str | None:
    """Why nothing more can be written beside `path`, and how to mend it; None when that is not what is wrong.

    Libraries that write say it each in its own way (torch: "file write failed"), so the disk itself is asked too.
    """
    place, number = _place(path), getattr(error, "errno", None)
    if number == errno.EDQUOT:
        return f"{place}: your quota is used up; make room"
    if number == errno.ENOSPC or "No space left" in str(error) or shutil.disk_usage(place).free < FULL_BYTES:
        return f"{place}: the disk is full; make room"
    if number == errno.EROFS or not os.access(place, os.W_OK):
        return f"{place}: cannot be written (read-only, or not yours); make it writable"
    return None
