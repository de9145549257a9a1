"""Stages that outlive a killed Snakemake are ended before the next one starts its own."""

import os
from contextlib import suppress
from pathlib import Path

import psutil

from workflow_scripts.em.running import WORKFLOW, alive


def end_left_stages(folder: Path) -> list[int]:
    """End the stages in a folder whose Snakemake is gone, and return their process ids.

    They end by themselves within a second, but not on a machine that is too busy to let them look. The next Snakemake
    would then run the same job beside them, and one that came to its end late would replace what that job has made.
    """
    others = (process for process in psutil.process_iter() if process.pid != os.getpid())  # a Snakemake in a stage
    left = [process for process in others if _left_behind(process, folder.resolve())]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)
    return [process.pid for process in left]


def _left_behind(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error, ValueError):  # of another user, or just gone
        workflow = int(process.environ().get(WORKFLOW) or 0)
        return workflow > 0 and not alive(workflow) and Path(process.cwd()) == folder
    return False
