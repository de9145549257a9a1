"""What the tests of progress share: a clock to set, and records of runs as Snakemake would have them written."""

import os
import socket
import time
from types import SimpleNamespace

import pytest

from workflow_scripts.em.files import dumps


@pytest.fixture
def clock(monkeypatch):
    """Both of time's clocks, to be set: `clock.now`."""
    found = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    monkeypatch.setattr(time, "time", lambda: found.now)
    return found


def record(path, *events: dict, jobs: dict | None = None, pid: int | None = None) -> None:
    """A run's record: `jobs` of each rule, then events (`t`, `event`, ...)."""
    begun = {"t": 1000.0, "event": "run", "pid": pid or os.getpid(), "host": socket.gethostname(), "jobs": jobs or {}}
    path.write_text("".join(dumps(event) + "\n" for event in (begun, *events)))


def started(t: float, job: int, rule: str, log: str | None = None) -> dict:
    return {"t": t, "event": "started", "job": job, "rule": rule, "log": log}


def event(t: float, name: str, job: int) -> dict:
    return {"t": t, "event": name, "job": job}
