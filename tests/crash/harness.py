"""Runs a study and ends the run at random moments in five ways, again and again, until it is done.

`python -m tests.crash.harness --kills 200 --config tests/tiny.yaml` does so in a temporary copy (`make torture`).
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.crash.made import made
from tests.workflow.conftest import ROOT, Copy, clean
from tests.workflow.warm import warm_python

# How a run is ended, and how often of 20 times.
WAYS = {"kill all": 9, "kill Snakemake alone": 4, "kill one stage": 3, "terminate all": 2, "interrupt all": 2}
STARTED = re.compile(r"^(?:local)?rule (\w+):\n(?: .*\n)*? +jobid: (\d+)", re.M)
FINISHED = re.compile(r"^Finished jobid: (\d+)", re.M)


class Study:
    """A study in a copy of the repository."""

    def __init__(self, copy: Copy, config: str, seed: int = 0):
        self.folder, self.config, self.draw = copy.folder, config, random.Random(seed)
        self.log = copy.folder / "run-0.log"
        self.runs = self.kills = self.changes = 0
        self.ways: list[str] = []  # those to come
        self.table: Counter[tuple[str, str]] = Counter()  # (way, rule that ran) -> times
        self.job_s = self.ready_s = 2.0  # seconds a job takes, and Snakemake before the first

    def start(self, *arguments: str, python: str = sys.executable) -> subprocess.Popen:
        """Snakemake in a process group of its own; what it says goes to `self.log`."""
        # A log for each: stages may outlive their Snakemake for a moment, and go on with theirs.
        self.runs += 1
        self.log = self.folder / f"run-{self.runs}.log"
        command = [python, "-m", "snakemake", "--cores", "2", "--configfile", self.config, *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=open(self.log, "w"),
            stderr=subprocess.STDOUT,
            env={name: value for name, value in clean().items() if name != "PYTHONDONTWRITEBYTECODE"},
            start_new_session=True,
            # A shell that starts the tests in the background has them ignore Ctrl-C, and so would Snakemake.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str) -> str:
        """Run to the end, undisturbed; returns what was said."""
        done = self.start(*arguments, python=warm_python())
        assert done.wait(1200) == 0, self.log.read_text()[-4000:]
        return self.log.read_text()

    def jobs(self) -> tuple[dict[str, str], int]:
        """Rules of the jobs under way by job id, and how many have ended."""
        said = self.log.read_text(errors="replace")
        ended = set(FINISHED.findall(said))
        return {job: rule for rule, job in STARTED.findall(said) if job not in ended}, len(ended)

    def stages(self) -> list[psutil.Process]:
        """Living stages, whoever started them."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd", "status"]):
            at = process.info
            of_us = at["cwd"] == str(self.folder) and at["status"] != psutil.STATUS_ZOMBIE
            if of_us and any(word.startswith("workflow_scripts.") for word in at["cmdline"] or ()):
                found.append(process)
        return found

    def disturb(self) -> bool:
        """Run until a random moment, and end the run there; False when it came to its end before."""
        if not self.ways:
            self.ways = [way for way, times in WAYS.items() for _ in range(times)]
            self.draw.shuffle(self.ways)
        way = self.ways.pop()
        # While Snakemake gets ready (None), or so long after so many jobs have ended.
        wanted, share = self.draw.choice([None, 0, 0, 0, 1, 1, 2]), self.draw.random()
        run, begun, first = self.start(), time.monotonic(), None
        while wanted is not None and run.poll() is None:
            under_way, ended = self.jobs()
            if under_way and first is None:
                first = time.monotonic()
                self.ready_s = first - begun
            if under_way and ended >= wanted:
                break
            time.sleep(0.02)
        time.sleep(share * (self.ready_s if wanted is None else self.job_s))
        under_way, ended = self.jobs()
        if run.poll() is None:
            self._end(run, way)
            self.kills += 1
            self.table.update((way, rule) for rule in set(under_way.values()) or {"(getting ready)"})
        if ended and first is not None:  # they may have begun and ended between two looks
            self.job_s = (time.monotonic() - first) / ended
        try:
            return run.wait(180) != 0
        except subprocess.TimeoutExpired:
            # Snakemake's handler of SIGTERM waits for a lock, for ever when it is the main thread that held it.
            os.killpg(run.pid, signal.SIGKILL)
            self.table[f"{way} (hung, killed)", "(Snakemake)"] += 1
            return run.wait(60) != 0

    def _end(self, run: subprocess.Popen, way: str) -> None:
        stages = self.stages() if way == "kill one stage" else []
        if stages:
            self.draw.choice(stages).kill()  # Snakemake then ends by itself, with an error
        elif way == "kill Snakemake alone":
            run.kill()
        else:
            signals = {"terminate all": signal.SIGTERM, "interrupt all": signal.SIGINT}
            os.killpg(run.pid, signals.get(way, signal.SIGKILL))

    def forget(self) -> None:
        """Throw away all that was made, but for the toy model."""
        for place in (f"results/{Path(self.config).stem}", "results/.journal", "data/decrypted"):
            shutil.rmtree(self.folder / place, ignore_errors=True)

    def made(self) -> dict[str, str]:
        """File -> digest of what counts of it."""
        return made(self.folder / "results") | made(self.folder / "data/decrypted")

    def answers(self) -> dict[str, set[str]]:
        """Journal key -> contents of the whole lines that have it. Raises ValueError when one is broken."""
        found: dict[str, set[str]] = {}
        for path in (self.folder / "results/.journal").rglob("*.jsonl"):
            for line in path.read_bytes().split(b"\n")[:-1]:
                item = json.loads(line)
                found.setdefault(item["key"], set()).add(json.dumps(item, sort_keys=True))
        return found

    def report(self) -> str:
        """How often which rule ran when the run was ended in which way."""
        rules = sorted({rule for _, rule in self.table})
        rows = [[rule, *(self.table[way, rule] for way in WAYS)] for rule in rules]
        lines = [
            f"{self.kills} times ended, the config changed {self.changes} times, while this ran:",
            "rule | " + " | ".join(WAYS) + " | all",
        ]
        return "\n".join(lines + [" | ".join(map(str, [*row, sum(row[1:])])) for row in rows])

    def check(self, whole: dict[str, str]) -> None:
        """Assert that the finished study is what an undisturbed run made, and that nothing lies or lives about."""
        now = self.made()
        assert now.keys() == whole.keys(), (now.keys() - whole.keys(), whole.keys() - now.keys())
        assert now == whole, [path for path in now if now[path] != whole[path]]
        assert not (alive := self.stages()), alive
        answers = self.answers()
        assert answers and all(len(found) == 1 for found in answers.values()), "one answer to a question"


def torment(folder: Path, config: str, kills: int, seed: int) -> Study:
    """Run a study undisturbed, then end it `kills` times; whenever it is done it is checked.

    Then it is begun anew, or its other form is made over what is there: the same study with another learning rate.
    Now and then the form is changed, or taken back, while it is not done.
    """
    study = Study(Copy(folder), config, seed)
    (folder / config).parent.mkdir(exist_ok=True)
    forms = [(ROOT / config).read_text(encoding="utf-8")]
    forms.append(forms[0].replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    whole, form = [], len(forms) - 1
    for text in forms:
        (folder / config).write_text(text, encoding="utf-8")
        study.run()
        whole.append(study.made())
    assert whole[0] != whole[1]
    while study.kills < kills:
        done, chance = not study.disturb(), study.draw.random()
        if done:
            study.check(whole[form])
        if done and chance < 0.4:
            study.forget()
        elif done or chance < 0.2:
            form = 1 - form
            (folder / config).write_text(forms[form], encoding="utf-8")
            study.changes += 1
    (folder / config).write_text(forms[0], encoding="utf-8")
    study.run()
    study.check(whole[0])
    return study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how often the run is ended")
    parser.add_argument("--config", default="tests/tiny.yaml", help="the study")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of the moments")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        study = torment(Path(folder), args.config, args.kills, args.seed)
    print(study.report())


if __name__ == "__main__":
    main()
