"""Print how large a study is before it is run: jobs, GPU hours, wall time on so many GPUs, disk, judge calls and cost.

Nothing is asked and nothing is written but OUT. GPU time is estimated for a slow GPU where no rate is given.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from workflow_scripts.em.amounts import answers, evaluations, jobs, set_sizes
from workflow_scripts.em.amounts_disk import kinds
from workflow_scripts.em.base_facts import base_facts
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import write_json
from workflow_scripts.em.gpu_schedule import Rates, gpu_jobs
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.list_schedule import schedule, ways
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_tables import of_whole
from workflow_scripts.em.provenance import run
from workflow_scripts.em.spending import judge_to_count
from workflow_scripts.em.spending import plan as spending
from workflow_scripts.em.study_files import load_plan

HOUR = 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", nargs="+", default=[Path("config.yaml")], type=Path, help="the study")
    parser.add_argument("--gpus", nargs="+", type=int, default=[1, 8, 64], help="how many GPUs at once, each planned")
    parser.add_argument("--train-rate", type=float, help="tokens a second that a GPU of yours trains, padding included")
    parser.add_argument("--answer-rate", type=float, help="tokens a second that it writes")
    parser.add_argument("--start", type=float, default=Rates.start, help="seconds that a GPU job takes to start")
    parser.add_argument("--out", type=Path, help="JSON of all that is printed")
    args = parser.parse_args()
    if min([*args.gpus, args.train_rate or 1, args.answer_rate or 1]) <= 0 or args.start < 0:
        raise UserError("GPUs and rates are above 0, a start takes 0 seconds or more")
    rates = Rates(args.train_rate, args.answer_rate, args.start)
    found = planned(load_plan(args.configfile, data=False), args.gpus, rates)
    if args.out:
        write_json(args.out, found)
    print("\n\n".join(of_whole(found)))


def planned(plan: Plan, gpus: list[int], rates: Rates) -> dict[str, Any]:
    """All numbers as plain data: study, jobs, disk, gpu, judges."""

    def facts(name: str) -> dict[str, Any]:
        return known.setdefault(
            name, base_facts(plan.config.base_models[name], Path(plan.results, f"models/{name}.json"))
        )

    known: dict[str, dict] = {}
    at, sizes = evaluations(plan), set_sizes(plan)
    responses = sum(count for each in at for count, _ in answers(plan, sizes, each))
    work = gpu_jobs(plan, facts, rates)
    hours: Counter = Counter()
    for job in work.values():
        hours[job.rule] += job.seconds * job.gpus / HOUR
    runs = [schedule(work, count) for count in gpus]
    return {
        "study": {"name": plan.config.study, "organisms": len(plan.config.organisms), "evaluations": len(at)}
        | {"responses": responses, "parameters": {name: entry["parameters"] for name, entry in known.items()}},
        "jobs": jobs(plan),
        "disk": [vars(kind) for kind in kinds(plan, facts)],
        "gpu": {
            "rates": {name: value if value is not None else "estimated" for name, value in vars(rates).items()},
            "jobs": len(work),
            "hours": dict(hours),
            "longest_chain_hours": max(ways(work).values(), default=0.0) / HOUR,
            "on": [{"gpus": r.gpus, "hours": r.seconds / HOUR, "used": r.used} for r in runs],
        },
        "judges": [judged(plan, name, responses) for name in plan.config.evaluation.judges],
    }


def judged(plan: Plan, name: str, responses: int) -> dict[str, Any]:
    """Calls, tokens and cost of one judge of all responses, as if none were judged before."""
    spec = plan.config.judges[name].plain()
    found = {"judge": name, "kind": spec["kind"], "calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0}
    if spec["kind"] not in ("openai", "transformers", "vllm"):
        return found | {"least_hours": 0.0}
    judge, _ = judge_to_count(spec, None)
    cost = spending(judge, Journal(Path("no journal")), lambda row: [], {Path("no responses yet"): responses})
    limits = [(cost.calls, spec.get("requests_per_minute"))]
    limits.append((cost.input_tokens + cost.output_tokens, spec.get("tokens_per_minute")))
    tokens = {"input_tokens": round(cost.input_tokens), "output_tokens": round(cost.output_tokens)}
    least = max((amount / limit / 60 for amount, limit in limits if limit), default=0.0)
    return found | tokens | {"calls": cost.calls, "usd": cost.cost_usd, "least_hours": least}


if __name__ == "__main__":
    run(main)
