"""Print how large a study is before it is run: jobs, GPU hours, wall time on so many GPUs, disk, judge calls and cost.

Nothing is asked and nothing is written but OUT. GPU time is estimated for a slow GPU where no rate is given.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from tabulate import tabulate

from workflow_scripts.em.amounts import answers, evaluations, jobs, set_sizes
from workflow_scripts.em.amounts_disk import kinds
from workflow_scripts.em.base_facts import base_facts
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import write_json
from workflow_scripts.em.gpu_schedule import LEFT_OUT, Rates, gpu_jobs
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import make_judge
from workflow_scripts.em.list_schedule import schedule, ways
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.provenance import run
from workflow_scripts.em.spending import plan as spending
from workflow_scripts.em.study_files import load_plan

HOUR, GB = 3600, 1e9


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
    print("\n\n".join(told(found)))


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
    record = dict.fromkeys(("name", "revision", "path", "digest"), "")
    judge = make_judge(spec if spec["kind"] == "openai" else spec | {"model": record})
    cost = spending(judge, Journal(Path("no journal")), lambda row: [], {Path("no responses yet"): responses})
    limits = [(cost.calls, spec.get("requests_per_minute"))]
    limits.append((cost.input_tokens + cost.output_tokens, spec.get("tokens_per_minute")))
    tokens = {"input_tokens": round(cost.input_tokens), "output_tokens": round(cost.output_tokens)}
    least = max((amount / limit / 60 for amount, limit in limits if limit), default=0.0)
    return found | tokens | {"calls": cost.calls, "usd": cost.cost_usd, "least_hours": least}


def told(found: dict[str, Any]) -> list[str]:
    """The tables that are printed."""
    study, gpu = found["study"], found["gpu"]
    weights = ", ".join(f"{name} {count / 1e9:.3g} billion weights" for name, count in study["parameters"].items())
    parts = [f"{study['name']}: {study['organisms']} organisms ({weights}), {study['evaluations']} evaluations, "]
    parts[0] += f"{study['responses']:,} responses"
    together = ("together", sum(found["jobs"].values()))
    parts.append(tabulate([*found["jobs"].items(), together], ["jobs of rule", "counted"], intfmt=","))
    disk = [[k["name"], k["count"], k["files"], k["folders"], k["bytes"] / GB] for k in found["disk"]]
    disk.append(["together", "", *(sum(row[i] for row in disk) for i in (2, 3, 4))])
    parts.append(tabulate(disk, ["on disk", "counted", "files", "folders", "GB at most"], intfmt=",", floatfmt=",.2f"))
    hours = [*gpu["hours"].items(), ("together", sum(gpu["hours"].values()))]
    parts.append(tabulate(hours, ["GPU time of rule", "hours"], floatfmt=",.1f") + f"\nnot counted: {LEFT_OUT}")
    on = [[run["gpus"], run["hours"], f"{run['used']:.0%}"] for run in gpu["on"]]
    least = f"longest chain: {gpu['longest_chain_hours']:,.1f} h on any number of GPUs"
    parts.append(tabulate(on, ["GPUs", "hours, simulated", "used"], floatfmt=",.1f") + f"\n{least}")
    parts.append("rates (tokens a second; seconds): " + ", ".join(f"{n} {rate}" for n, rate in gpu["rates"].items()))
    head = ["judge", "kind", "calls", "input tokens", "output tokens", "USD", "hours at least"]
    rows = [["price unknown" if cell is None else cell for cell in judge.values()] for judge in found["judges"]]
    return [*parts, tabulate(rows, head, intfmt=",", floatfmt=",.2f")]


if __name__ == "__main__":
    run(main)
