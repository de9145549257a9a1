"""What is still to be done of a study: time and disk of the jobs that a dry run names."""

from collections import Counter
from pathlib import Path, PurePath
from typing import Any

from workflow_scripts.em import gpu_job_names as names
from workflow_scripts.em.amounts import asked_in, model_name
from workflow_scripts.em.amounts_disk import still
from workflow_scripts.em.answers_there import AnswersThere
from workflow_scripts.em.conditions import Address
from workflow_scripts.em.dry_run import DryJob
from workflow_scripts.em.gpu_schedule import Rates, gpu_jobs
from workflow_scripts.em.list_schedule import Job, schedule, ways
from workflow_scripts.em.measured import Measured
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.readiness import Models
from workflow_scripts.em.saved_weights import Facts, free_bytes

HOUR = 3600
JOURNAL = Path("results/.journal/responses")
# Seconds that a program takes to start, which no record holds: 0.1 to 2.
START = 1.0


def would_run(plan: Plan, jobs: list[DryJob]) -> set[str]:
    """Names of the jobs that would run and hold a GPU."""
    found = set()
    # An engine's name holds digests: it is known by who reads that it has answered.
    readers = {path: job.wildcards for job in jobs if job.rule == "generate" for path in job.inputs}
    for job in jobs:
        w = job.wildcards
        if job.rule in ("train", "ask_models"):
            at = w["organism"], w["seed"], w["stage"], w["last"]
            found.add(names.training(*at) if job.rule == "train" else names.asking(at))
        elif job.rule == "merge_adapter":
            found.add(names.merging(w["organism"], w["seed"], w["stage"]))
        elif job.rule == "ask_engine" and (w := readers.get(job.outputs[0])):
            group = asked_in(plan, (w["organism"], int(w["seed"]), w["stage"], int(w["step"])))
            found |= {names.asking(group)} if group else set()
    return found


def needed(names_: set[str], work: dict[str, Job]) -> dict[str, Job]:
    """Of all jobs that hold a GPU those with these names; what they wait for is among them, or done."""
    kept = {name: job for name, job in work.items() if name in names_}
    return {n: Job(j.rule, j.seconds, j.gpus, [a for a in j.after if a in kept]) for n, j in kept.items()}


def time_left(
    plan: Plan, jobs: list[DryJob], facts: Facts, measured: Measured, slots: int, gpu: bool, journal: Path = JOURNAL
) -> dict[str, Any]:
    """Hours by rule and where each comes from; hours of all on `slots` GPUs, or without `gpu` on so many cores.

    `in_journal`: answers that the `journal` of responses has and that take no time; `not_looked_up`: those of
    checkpoints that are made first.
    """
    rates, run = Rates() if gpu else Rates(start=10.0), would_run(plan, jobs)
    there = AnswersThere(plan, journal, {path for job in jobs for path in job.outputs})

    def left(at: Address, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return there.left(at, parts) if names.asking(asked_in(plan, at)) in run else parts

    held = needed(run, gpu_jobs(plan, facts, rates, measured, gpu, left))
    dear = {job.rule for job in held.values()}
    counted, seconds, unknown = Counter(job.rule for job in jobs), Counter(), Counter()
    told = {rule: _where(measured, rule, gpu) for rule in dear}
    for job in held.values():
        seconds[job.rule] += job.seconds * job.gpus
    for job in (job for job in jobs if job.rule not in dear):
        took = measured.took(job.stage, _base(plan, job), _how(plan, job))
        if took is None:
            unknown[job.rule] += 1
        else:
            seconds[job.rule] += START + took.seconds / took.work
            told.setdefault(job.rule, _records(took.records))
    rest = sum(count for rule, count in seconds.items() if rule not in dear)
    known = [rule for rule in counted if rule in seconds]
    return {
        "rules": [
            {"rule": rule, "jobs": counted[rule], "gpu": gpu and rule in dear}
            | {"hours": seconds[rule] / HOUR, "from": told[rule]}
            for rule in known
        ],
        "gpu_hours": sum(seconds[rule] for rule in dear) / HOUR if gpu else 0.0,
        "hours": (schedule(held, slots).seconds + rest / slots) / HOUR,
        "longest_chain_hours": max(ways(held).values(), default=0.0) / HOUR,
        "slots": {"count": slots, "of": "GPU" if gpu else "core"},
        "unknown": dict(unknown),
        "in_journal": there.known,
        "not_looked_up": there.unseen,
    }


def _where(measured: Measured, rule: str, gpu: bool) -> str:
    """Where the hours of a rule come from that trains, merges or asks."""
    looked = measured.looked.get(rule, {}).values()
    found = [took for took in looked if took]
    estimate = f"an estimate: {'a slow GPU' if gpu else 'one core'}"
    if not found:
        return estimate
    on = ", ".join(sorted(set().union(*(took.hardware for took in found)))).replace(", 1 threads", ", 1 thread")
    text = _records(sum(took.records for took in found)) + (f" ({on})" if on else "")
    return text if len(found) == len(looked) else f"{text}; other models: {estimate}"


def _records(count: int) -> str:
    return f"{count} record{'s' * (count != 1)} of this machine"


def _base(plan: Plan, job: DryJob) -> str | None:
    models = [PurePath(path) for path in job.inputs if path.startswith(f"{plan.results}/models/")]
    return model_name(plan, models[0].stem) if models else None


def _how(plan: Plan, job: DryJob) -> str:
    """As `measured.how` says it of a record."""
    w = job.wildcards
    if job.rule == "base_model":
        return "hub" if plan.config.base_models[w["base_model"]].hub else ""
    if job.rule == "generate":
        return "api" if plan.config.organisms[w["organism"]].api else ""
    return plan.config.judges[w["judge"]].kind if job.stage in ("judge", "ask_judge") else ""


def disk_left(plan: Plan, jobs: list[DryJob] | None, facts: Facts, models: Models) -> dict[str, Any]:
    """Bytes still to be written, kind by kind (`amounts_disk.still`), and bytes free where the results are.

    `jobs` None: of a whole run. `uncounted`: models that would be fetched, and whose size is not known.
    """
    found = {"models to fetch": float(sum(models.to_fetch.values()))}
    counts = None if jobs is None else Counter(job.rule for job in jobs)
    outputs = None if jobs is None else {path for job in jobs for path in job.outputs}
    found |= {kind.name: size for kind, size in still(plan, facts, counts, outputs)}
    left = {name: size for name, size in found.items() if size}
    free = free_bytes(plan.results)
    return {"kinds": left, "bytes": sum(left.values()), "free": free, "uncounted": models.unsized}
