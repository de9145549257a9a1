"""Models on a node's own disk: with EMTRACE_SCRATCH each is copied there once and checked, then loaded from there."""

import errno
import fcntl
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_dir, digest_tree, why

SCRATCH = "EMTRACE_SCRATCH"


def near(record: dict[str, Any]) -> dict[str, Any]:
    """A model record with the path of a copy in the folder that EMTRACE_SCRATCH names; without that, as it is.

    The copy is named after the model's digest, so it is the same content, whoever made it. A full disk is told, and
    the model read from where it lies. Raises UserError when the copy cannot be made for another reason, or when the
    model is no longer what its record says.
    """
    if not (scratch := os.environ.get(SCRATCH)):
        return record
    copy = Path(scratch) / "emtrace-models" / record["digest"]
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with open(copy.with_suffix(".lock"), "w") as lock:
            # One job of the node copies, the others wait for it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not copy.is_dir():
                _copy(record, copy)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            print(f"{SCRATCH}={scratch} is full: {record['name']} is read from where it lies", file=sys.stderr)
            return record
        raise UserError(
            f"{SCRATCH}={scratch}: model {record['name']} cannot be copied there ({why(error)}); name "
            "another folder of this machine's disk, or unset it"
        ) from None
    return record | {"path": str(copy)}


def _copy(record: dict[str, Any], copy: Path) -> None:
    with atomic_dir(copy) as folder:
        # What links point to is copied: the hub's cache is made of them.
        shutil.copytree(record["path"], folder, dirs_exist_ok=True)
        if digest_tree(folder) != record["digest"]:
            raise UserError(
                f"{record['path']}: no longer the model that its record was made of; delete that record "
                "(results/<study>/models or merged_base.json) and run again"
            )
