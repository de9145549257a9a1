"""Print what a run would do now: is all ready, jobs and why, time, disk, what is to be bought. Nothing is made."""

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from workflow_scripts import check_env, generation_plan, judge
from workflow_scripts.em import served, to_buy
from workflow_scripts.em.base_facts import base_facts
from workflow_scripts.em.dry_run import DryJob, dry_run, grouped
from workflow_scripts.em.environment import MISSING
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import write_json
from workflow_scripts.em.gpus import visible_gpus
from workflow_scripts.em.measured import Measured
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_tables import finding_lines, told
from workflow_scripts.em.provenance import run
from workflow_scripts.em.readiness import Models
from workflow_scripts.em.remaining import disk_left, time_left
from workflow_scripts.em.study_files import load_plan

JOURNALS = Path("results/.journal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", nargs="+", required=True, type=Path, help="the study")
    parser.add_argument("--lock", default=Path("envs/cpu.txt"), type=Path, help="pins that packages should have")
    parser.add_argument(
        "--gpus", type=int, help="plan for so many GPUs; else those here, without one this machine's cores"
    )
    parser.add_argument("--out", type=Path, help="JSON of all that is printed")
    args = parser.parse_args()
    if args.gpus is not None and args.gpus < 1:
        raise UserError("--gpus: 1 or more; without the option those of this machine")
    found: dict[str, Any] = {"check": [], "problems": []}
    from workflow_scripts.em.backends.devices import gpus

    for finding in check_env.findings(args.configfile, args.lock, gpus()):
        found["check"].append(finding._asdict())
        print(finding_lines(finding), flush=True)
    try:
        found |= planned(load_plan(args.configfile), args.configfile, args.gpus, found["problems"])
    except UserError as error:
        found["problems"].append(str(error))
    print("\n\n".join(told(found)))
    if args.out:
        write_json(args.out, found)
    missing = any(finding["status"] == MISSING for finding in found["check"])
    sys.exit(bool(missing or found["problems"]))


def planned(plan: Plan, files: list[Path], gpus: int | None, problems: list[str]) -> dict[str, Any]:
    """All parts of the plan as plain data; `problems` gets what keeps a part from being told."""
    found: dict[str, Any] = {"study": plan.config.study}
    jobs = []
    try:
        jobs = dry_run(files)
        found |= {"to_run": grouped(jobs)} | effort(plan, jobs, gpus)
    except UserError as error:
        problems.append(str(error))
    about = argparse.Namespace(questions={name: plan.config.question_sets[name].path for name in asked_sets(plan)})
    rows = to_buy.judgments(plan, jobs, JOURNALS / "judgments", partial(judge.asked_about, args=about))
    return found | {"to_buy": [*rows, *answers_to_buy(plan)]}


def effort(plan: Plan, jobs: list[DryJob], gpus: int | None) -> dict[str, Any]:
    """Time and disk of the jobs."""

    def facts(name: str) -> dict[str, Any]:
        return base_facts(plan.config.base_models[name], Path(plan.results, f"models/{name}.json"))

    here, models = len(visible_gpus()), Models(plan)
    # Real models are planned for a GPU, wherever this is asked.
    gpu = bool(gpus or here) or any(not base.toy for base in plan.config.base_models.values())
    slots = gpus or here or (1 if gpu else os.cpu_count() or 1)
    list(models.findings())  # which asks the hub for the sizes of those that are not here
    return {
        "time": time_left(plan, jobs, facts, Measured(), slots, gpu),
        "disk": disk_left(plan, jobs, facts, sum(models.to_fetch.values())),
    }


def asked_sets(plan: Plan) -> list[str]:
    """Question sets that the study asks."""
    return plan.config.evaluation.question_sets


def answers_to_buy(plan: Plan) -> Iterator[dict[str, Any]]:
    """One row an organism behind a server, and an author there of a data set."""
    args = argparse.Namespace(
        organisms=served.asked_by_api(plan),
        made=served.made_by_apis(plan),
        conditions=plan.conditions,
        question_sets={name: plan.config.question_sets[name].plain() for name in asked_sets(plan)},
        journal=JOURNALS / "responses",
        made_journal=Path("data/decrypted/.journal/made"),
    )
    for name, estimate in (*generation_plan.organisms(args), *generation_plan.data_sets(args)):
        tokens = dict(zip(("input_tokens", "output_tokens"), map(round, estimate.tokens), strict=True))
        yield (
            {"asked": name, "model": estimate.author.spec["model"], "calls": estimate.requests}
            | {"in_journal": estimate.in_journal, "to_ask": estimate.to_buy}
            | tokens
            | {"counted_by": estimate.counted_by if estimate.to_buy else "-", "usd": estimate.cost_usd}
        )


if __name__ == "__main__":
    run(main)
