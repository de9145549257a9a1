"""How far a run of Snakemake is, by what it writes down: jobs of each rule, how long they take, what is left."""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import IO, Any, NamedTuple

from workflow_scripts.em.progress_record import ENDED, FAILED, FINISHED, RUN, STARTED
from workflow_scripts.em.running import alive


class Job(NamedTuple):
    """A job that was begun: its rule, its log file (some have none), and when (seconds since 1970)."""

    rule: str
    log: str | None
    since: float


# Rules without a command: they name what is to be made.
TARGETS = {"all", "export", "figures", "inspect", "push"}


class Left(NamedTuple):
    """An estimate of the seconds that a run still takes, and by what a rule's jobs were counted that are left."""

    seconds: float
    own: list[str]  # jobs of this run
    earlier: list[str]  # those of earlier runs, the rule with the most seconds first
    without: list[str]  # nothing: these are not in it


class Run:
    """The latest run of a study, as far as it was read. `look` reads what is new, so looking again costs little."""

    def __init__(self, path: Path):
        self.path = path
        self.earlier: Mapping[str, float] = {}  # rule -> seconds that a job took in earlier runs, as far as it is known
        self._file: IO[bytes] | None = None
        self._begin()

    def _begin(self) -> None:
        self.about: dict[str, Any] | None = None
        self.seconds: dict[str, list[float]] = {}  # rule -> of its jobs that ended well
        self.running: dict[int, Job] = {}
        self.failed: dict[int, Job] = {}
        self.ended: float | None = None
        self.goes_on = False
        self._last = 0.0
        self._first: float | None = None  # a job was begun

    def look(self) -> list[Job]:
        """Read what was written since, and whether the run goes on; returns the jobs that ended well since."""
        self._follow()
        done: list[Job] = []
        while self._file:
            place, line = self._file.tell(), self._file.readline()
            if not line.endswith(b"\n"):  # the end, or a line that is being written
                self._file.seek(place)
                break
            with suppress(ValueError):  # torn by a crash
                self._take(json.loads(line), done)
        self.goes_on = self._is_there()
        if not self.goes_on:  # what began was killed with it
            self.running.clear()
        return done

    def _follow(self) -> None:
        """Open the record that lies there now: each run begins another file."""
        try:
            there = os.stat(self.path)
            if self._file and os.path.samestat(there, os.fstat(self._file.fileno())):
                return
            new = open(self.path, "rb")  # noqa: SIM115  (it is read from for as long as it is the latest)
        except OSError:
            return
        if self._file:
            self._file.close()
        self._file = new
        self._begin()

    def _take(self, found: dict[str, Any], done: list[Job]) -> None:
        event, job = found["event"], found.get("job")
        self._last = found["t"]
        if event == RUN:
            self.about = found
            self.seconds = {rule: [] for rule in found["jobs"]}
        elif event == STARTED:
            self.failed.pop(job, None)  # it is tried again
            self._first = found["t"] if self._first is None else self._first
            self.running[job] = Job(found["rule"], found["log"], found["t"])
        elif event == FINISHED and job in self.running:
            ended = self.running.pop(job)
            self.seconds.setdefault(ended.rule, []).append(found["t"] - ended.since)
            done.append(ended)
        elif event == FAILED and job in self.running:
            self.failed[job] = self.running.pop(job)
        elif event == ENDED:
            self.ended = found["t"]

    def _is_there(self) -> bool:
        """Whether its Snakemake is; of another machine's this is unknown, and it is taken to be."""
        if self.about is None or self.ended is not None:
            return False
        return self.about["host"] != socket.gethostname() or alive(self.about["pid"])

    @property
    def passed(self) -> float:
        """Seconds since it began; of one that is over, until the last that is known of it."""
        end = time.time() if self.goes_on else self.ended or self._last
        return max(0.0, end - self.about["t"]) if self.about else 0.0

    def counted(self, rule: str) -> tuple[int, int, int, int]:
        """Of a rule's jobs: all, done, running, failed."""
        done = len(self.seconds.get(rule, ()))
        here = [sum(job.rule == rule for job in jobs.values()) for jobs in (self.running, self.failed)]
        return max(self.about["jobs"].get(rule, 0), done + sum(here)), done, *here

    def usual(self, rule: str) -> float | None:
        """Median seconds of a rule's jobs that ended well, else what they took in earlier runs; None: not known."""
        ended = self.seconds.get(rule)
        return median(ended) if ended else self.earlier.get(rule)

    def left(self) -> Left | None:
        """What is left: a rule's usual seconds, over how many jobs ran at once so far. None: no job has begun."""
        now = time.time()
        busy = sum(map(sum, self.seconds.values())) + sum(now - job.since for job in self.running.values())
        if self._first is None or busy <= 0:
            return None
        work: dict[str, float] = {}
        without = []
        for rule in sorted(self.seconds, key=lambda rule: -self.counted(rule)[0]):
            every, done, running, failed = self.counted(rule)
            if rule in TARGETS or every == done + failed:
                continue
            if (usual := self.usual(rule)) is None:
                without.append(rule)
                continue
            begun = (now - job.since for job in self.running.values() if job.rule == rule)
            waiting = usual * (every - done - running - failed)
            work[rule] = waiting + sum(max(0.0, usual - spent) for spent in begun)
        dear = sorted(work, key=work.__getitem__, reverse=True)
        passed = self.passed - (self._first - self.about["t"])
        seconds = sum(work.values()) * passed / busy
        own = [rule for rule in dear if self.seconds[rule]]
        return Left(seconds, own, [rule for rule in dear if rule not in own], without)
