"""Run a training job: in this process, or in one process a GPU, which Trainer's accelerate then brings together."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.em import backends
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json, write_json
from workflow_scripts.em.gpus import claim, held
from workflow_scripts.em.running import WORKFLOW
from workflow_scripts.em.scratch import near
from workflow_scripts.em.tracking import check_settings, tracker_environment


def launch(job: dict[str, Any]) -> dict[str, Any]:
    """Train as `job` (arguments of `training.train_steps`, paths as text) says; returns its counts.

    With `settings.processes` above 1 the job runs under torch's launcher. Raises UserError as `train_steps` does,
    and when a process ends with an error (its own message is in the log by then).
    """
    check_settings(job["settings"])
    os.environ.update(tracker_environment(job["settings"]["tracking"], job["tracking"]))
    processes = job["settings"]["processes"]
    claim(processes)
    if processes == 1:
        return train(job)
    asked, counts = Path(job["out"]) / ".job.json", Path(job["out"]) / ".counts.json"
    write_json(asked, job)
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        processes,
        "-m",
        __name__,
        asked,
        counts,
    ]
    # They end with this stage, however it ends, and hold its GPUs until they do.
    own = os.environ | {WORKFLOW: str(os.getpid())}
    done = subprocess.run([sys.executable, *map(str, command)], env=own, pass_fds=held(), check=False)
    if done.returncode:
        raise UserError(f"training in {processes} processes ended with status {done.returncode}; see above")
    return read_json(counts)


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train in this process."""
    if job["recipe"]["backend"] == "unsloth":
        from workflow_scripts.em.backends import unsloth_lora  # noqa: F401 - it must be imported before transformers
    else:
        backends.without_bitsandbytes(job["record"], job["recipe"])
    from workflow_scripts.em.backends import models, training

    models.set_threads()
    record = near(models.read_record(job["record"]))
    paths = {name: Path(job[name]) for name in ("data", "adapter", "resume", "out", "kl_data") if job[name]}
    return training.train_steps(**job | {"adapter": None, "resume": None, "kl_data": None} | paths | {"record": record})


def main() -> None:
    """One process of a job; the first of them writes the counts."""
    counts = train(read_json(sys.argv[1]))
    if os.environ.get("RANK", "0") == "0":
        write_json(Path(sys.argv[2]), counts)


if __name__ == "__main__":
    from workflow_scripts.em.provenance import run

    run(main)
