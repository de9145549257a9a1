"""Print what a run would do now: is all ready, jobs and why, time, disk, what is to be bought. Nothing is made."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from workflow_scripts import check_env, generation_plan, judge, study_plan
from workflow_scripts.em import served, to_buy
from workflow_scripts.em.dry_run import dry_run, grouped
from workflow_scripts.em.environment import MISSING, OK
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import write_json
from workflow_scripts.em.gpu_schedule import Rates
from workflow_scripts.em.gpus import visible_gpus
from workflow_scripts.em.measured import Measured
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_facts import facts_from
from workflow_scripts.em.plan_tables import UNPLANNED, finding_lines, no_room, told
from workflow_scripts.em.provenance import run
from workflow_scripts.em.readiness import Models
from workflow_scripts.em.remaining import disk_left, time_left

JOURNALS = Path("results/.journal")
# Options of Snakemake that would make it plan another study than is counted here.
CONFIGURING = {"--config", "-C", "--configfile", "--configfiles"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", nargs="+", required=True, type=Path, help="the study")
    parser.add_argument("--lock", default=Path("envs/cpu.txt"), type=Path, help="pins that packages should have")
    parser.add_argument("--gpus", type=int, help="plan for so many GPUs; else those here, without one its cores")
    parser.add_argument("--out", type=Path, help="JSON of all that is printed")
    parser.add_argument("snakemake", nargs="*", help="after `--`: options, targets for Snakemake, as `-- --sdm conda`")
    args = parser.parse_args()
    if args.gpus is not None and args.gpus < 1:
        raise UserError("--gpus: 1 or more; without the option those of this machine")
    if CONFIGURING & {*args.snakemake}:
        raise UserError("the study is that of --configfile alone: put the keys of --config into a second file there")
    found: dict[str, Any] = {"check": [], "problems": []}
    from workflow_scripts.em.backends.devices import gpus

    known = models, config = check_env.configured(args.configfile)
    for finding in check_env.findings(args.configfile, args.lock, gpus(), known):
        # Of the disk the part below says it, of what is not there yet.
        if finding.what != "disk" or config[0].status != OK:
            found["check"].append(finding._asdict())
            print(finding_lines(finding), flush=True)
    if config[0].status == OK:
        planned(found, models, args)
    elif models:
        found["whole"] = study_plan.planned(models.plan, [args.gpus or len(visible_gpus()) or 1], Rates())
        found |= {"to_buy": rows} if (rows := [*answers_to_buy(models.plan)]) else {}
    print("\n" + ("\n\n".join(told(found)) or UNPLANNED))
    if args.out:
        write_json(args.out, found)
    missing = any(finding["status"] == MISSING for finding in found["check"])
    sys.exit(bool(missing or found["problems"] or no_room(found.get("disk"))))


def planned(found: dict[str, Any], models: Models, args: argparse.Namespace) -> None:
    """Put all parts of the plan into `found` as plain data; its `problems` get what keeps a part from being told."""

    @contextmanager
    def part() -> Iterator[None]:
        try:
            yield
        except UserError as error:
            found["problems"].append(str(error))

    plan, facts, jobs = models.plan, facts_from(models), []
    found["study"] = plan.config.study
    with part():
        jobs = dry_run(args.configfile, args.snakemake)
        found["to_run"] = grouped(jobs)
    if "to_run" in found:
        # Real models are planned for a GPU, wherever this is asked.
        here, real = len(visible_gpus()), any(not base.toy for base in plan.config.base_models.values())
        gpu = bool(args.gpus or here or real)
        slots = args.gpus or here or (1 if gpu else os.cpu_count() or 1)
        with part():
            found["time"] = time_left(plan, jobs, facts, Measured(gpu=gpu), slots, gpu)
        with part():
            found["disk"] = disk_left(plan, jobs, facts, models)
    found["to_buy"] = []
    with part():
        sets = {name: plan.config.question_sets[name].path for name in plan.config.evaluation.question_sets}
        wanted = partial(judge.asked_about, args=argparse.Namespace(questions=sets))
        found["to_buy"] += to_buy.judgments(plan, jobs, JOURNALS / "judgments", wanted)
        if found["to_buy"]:
            found["problems"] += to_buy.unread(plan, args.configfile)
    with part():
        found["to_buy"] += answers_to_buy(plan)


def answers_to_buy(plan: Plan) -> Iterator[dict[str, Any]]:
    """One row an organism behind a server, and an author there of a data set."""
    args = argparse.Namespace(
        organisms=served.asked_by_api(plan),
        made=served.made_by_apis(plan),
        conditions=plan.conditions,
        question_sets={name: plan.config.question_sets[name].plain() for name in plan.config.evaluation.question_sets},
        journal=JOURNALS / "responses",
        made_journal=Path("data/decrypted/.journal/made"),
    )
    for name, estimate in (*generation_plan.organisms(args), *generation_plan.data_sets(args)):
        tokens = dict(zip(("input_tokens", "output_tokens"), map(round, estimate.tokens), strict=True))
        row = {"asked": name, "model": estimate.author.spec["model"], "calls": estimate.requests}
        row |= {"in_journal": estimate.in_journal, "to_ask": estimate.to_buy} | tokens
        yield row | {"counted_by": estimate.counted_by if estimate.to_buy else "-", "usd": estimate.cost_usd}


if __name__ == "__main__":
    run(main)
