"""What Snakemake does in a run, written down as it happens, for the progress view: a JSON line an event.

It lies beside Snakemake's own records, is no part of a study's results, and is begun anew by each run.
"""

import logging
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.em.files import dumps

RUN, STARTED, FINISHED, FAILED, ENDED = "run", "started", "finished", "failed", "ended"


def record_of(folder: Path, study: str) -> Path:
    """Where a study's runs are written down; `folder` is Snakemake's own, `.snakemake`."""
    return folder / "progress" / f"{study}.jsonl"


class Recorder(logging.Handler):
    """Hears Snakemake's logger, as its logger plugins do: whatever `--quiet` leaves out on the terminal."""

    def __init__(self, path: Path, jobs: dict[str, int]):
        """Begin a run of so many `jobs` of each rule. Whoever reads the record of the run before keeps what it has."""
        super().__init__()
        self.began = time.time()
        self._begun: dict[int, tuple[str, str | None]] = {}
        self.failed: dict[int, tuple[str, str | None]] = {}  # job -> its rule and log, of those that failed for good
        self.finished: set[str] = set()  # rules of which a job ended well
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._out = open(path, "a", encoding="utf-8")  # noqa: SIM115  (closed by `close`)
        self._write(time.time(), RUN, pid=os.getpid(), host=socket.gethostname(), jobs=jobs)

    def emit(self, record: logging.LogRecord) -> None:
        """Write down what begins, ends and fails. A run does not end by what cannot be told of it."""
        try:
            self._tell(record)
        except Exception as error:  # another Snakemake's records may be others
            print(f"warning: the progress view misses what follows ({error!r})", file=sys.stderr)
            self.setLevel(logging.CRITICAL + 1)

    def _tell(self, record: logging.LogRecord) -> None:
        event, at = str(getattr(record, "event", None)), record.created
        if event == "job_info":
            log = next(iter(record.log or ()), None)
            self._begun[record.jobid] = record.rule_name, log
            self.failed.pop(record.jobid, None)  # it is tried again
            self._write(at, STARTED, job=record.jobid, rule=record.rule_name, log=log)
        elif event == "job_finished":
            self.failed.pop(record.job_id, None)
            self.finished.add(self._begun[record.job_id][0])
            self._write(at, FINISHED, job=record.job_id)
        elif event in ("job_error", "group_error"):
            jobs = [record.jobid] if event == "job_error" else [job["jobid"] for job in record.job_error_info]
            for job in jobs:
                self.failed[job] = self._begun[job]
                self._write(at, FAILED, job=job)

    def close(self) -> None:
        """The end of the run; Snakemake closes its handlers."""
        if not self._out.closed:
            self._write(time.time(), ENDED)
            with suppress(OSError):
                self._out.close()
        super().close()

    def _write(self, at: float, event: str, **about: Any) -> None:
        # A full disk is told of elsewhere.
        with suppress(OSError):
            self._out.write(dumps({"t": round(at, 3), "event": event, **about}) + "\n")
            self._out.flush()
