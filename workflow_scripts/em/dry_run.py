"""What Snakemake would run now, and why: read from what its dry run prints (`snakemake -n -p`), and nothing is run."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.param_changes import changed, exclusive

# Snakemake's reasons -> as they are told. What else it says is told as it is.
ABSENT, FOLLOWS, PARAMS = "not there", "input is made again", "params changed"
REASONS = {
    "Missing output files": ABSENT,
    "Incomplete output files": "left half done",
    "Updated input files": "input changed",
    "Input files updated by another job": FOLLOWS,
    "Set of input files has changed since last execution": "other inputs",
    "Code has changed since last execution": "command changed",
    "Params have changed since last execution": PARAMS,
    "Software environment definition has changed since last execution": "environment changed",
    "Forced execution": "forced",
}
CODE = "code changed"
_JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .+\n)+)(?:Shell command: (.*))?", re.M)
_REASON = re.compile(rf"(?:^|; )({'|'.join(REASONS)})(?:: |(?=;|$))")
LEFT_OUT = "all"  # the target that names what a study is, and runs nothing


@dataclass(frozen=True)
class DryJob:
    """A job that would run. `stage` is the program it calls; `reasons`: as told -> what Snakemake says of it."""

    rule: str
    stage: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    wildcards: dict[str, str]
    reasons: dict[str, str]


def dry_run(configfiles: list[Path], options: Sequence[str] = ()) -> list[DryJob]:
    """The jobs that a run with these options and targets would run now.

    Raises UserError with what Snakemake says when it cannot tell.
    """
    # Before the files: after them a target would be one of them.
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--nocolor", *options]
    command += ["--configfile", *map(str, configfiles)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"snakemake -n: {(done.stderr or done.stdout).strip()[-2000:]}")
    return parse(done.stdout)


def parse(text: str) -> list[DryJob]:
    """The jobs in the text of a dry run, in its order; raises UserError when they are not those that it counts."""
    found = [_job(*match.groups()) for match in _JOB.finditer(text)]
    stats = text.partition("Job stats:")[2].partition("\ntotal ")[0]
    counted = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", stats, re.M)}
    if Counter(job.rule for job in found) != counted or not all(job.reasons for job in found):
        raise UserError("`snakemake -n` prints in another form than this version knows: is Snakemake that of the lock?")
    return [job for job in found if job.rule != LEFT_OUT]


def _job(rule: str, body: str, command: str | None) -> DryJob:
    told = dict(line.strip().partition(": ")[::2] for line in body.splitlines())
    stage = re.search(r"python -m workflow_scripts\.(\w+)", command or "")
    return DryJob(
        rule=rule,
        stage=stage.group(1) if stage else rule,
        inputs=tuple(filter(None, told.get("input", "").split(", "))),
        outputs=tuple(filter(None, told.get("output", "").split(", "))),
        wildcards=dict(part.split("=", 1) for part in told.get("wildcards", "").split(", ") if "=" in part),
        reasons=reasons(told.get("reason", "")),
    )


def reasons(said: str) -> dict[str, str]:
    """What Snakemake says of a job as told -> detail. Params of which only digests of code differ are CODE."""
    parts = _REASON.split(said)
    found = {REASONS[name]: detail for name, detail in zip(parts[1::2], parts[2::2], strict=True)}
    if PARAMS in found and not any(exclusive(found[PARAMS])):
        found[CODE] = found.pop(PARAMS)
    return found or ({said: ""} if said else {})


def grouped(jobs: list[DryJob]) -> list[dict]:
    """Jobs of the same rule and for the same reasons as one row: rule, jobs, why, changed (each once), files.

    Rows of one rule stand together. A job's file is its first output.
    """
    found: dict[tuple, list[DryJob]] = {}
    for job in jobs:
        # What is not there has no older inputs.
        why = [reason for reason in job.reasons if reason != FOLLOWS or ABSENT not in job.reasons]
        found.setdefault((job.rule, *why), []).append(job)
    order = list(dict.fromkeys(rule for rule, *_ in found))
    return [
        {"rule": rule, "jobs": len(same), "why": list(why)}
        | {"changed": list(dict.fromkeys(filter(None, (changed(job.reasons.get(PARAMS, "")) for job in same))))}
        | {"files": [job.outputs[0] for job in same if job.outputs]}
        for (rule, *why), same in sorted(found.items(), key=lambda row: order.index(row[0][0]))
    ]
