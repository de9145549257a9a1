"""What is still to be asked of judges: as the `plan` rule counts it, and answers that will be written anew besides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.em.amounts import answers, evaluations, set_sizes
from workflow_scripts.em.dry_run import DryJob
from workflow_scripts.em.files import read_json
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import Call, Judge, make_judge
from workflow_scripts.em.judges.prompted import PromptedJudge
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.spending import plan as spending


def judged_files(plan: Plan, jobs: list[DryJob]) -> dict[Path, int]:
    """Response files that judges are asked about -> responses of each.

    One that a job will write from new answers is named as one that is not there: what was judged of the old ones says
    nothing of it. Answers that turn out the same cost nothing, so what is counted for them is the most.
    """
    made = {path for job in jobs for path in job.outputs}
    anew = {path for job in jobs if job.rule == "generate" and made & {*job.inputs} for path in job.outputs}
    sizes = set_sizes(plan)
    files = {plan.responses(at): sum(n for n, _ in answers(plan, sizes, at)) for at in evaluations(plan)}
    files |= {plan.table_responses(name): 0 for name, table in plan.config.tables.items() if table.rejudge}
    return {Path(f"{path}.to-come" if path in anew else path): count for path, count in files.items()}


def unread(plan: Plan, files: list[Path]) -> list[str]:
    """What keeps the answers of tables to be judged from being counted; `files` are the study's."""
    paths = {name: plan.table_responses(name) for name, table in plan.config.tables.items() if table.rejudge}
    return [
        f"table {name}: not read yet, so what judges are asked of it is not counted; first: "
        f"snakemake --cores 1 {path} --configfile {' '.join(map(str, files))}"
        for name, path in paths.items()
        if not Path(path).exists()
    ]


def judgments(
    plan: Plan, jobs: list[DryJob], journals: Path, wanted: Callable[[Judge], Callable[[dict], list[Call]]]
) -> list[dict[str, Any]]:
    """One row a judge that asks a model. `wanted` gives what a judge is asked about a response record."""
    files, found = judged_files(plan, jobs), []
    for name in plan.config.evaluation.judges:
        spec = plan.config.judges[name].plain()
        local = "base_model" in spec
        record = Path(plan.results, f"models/{spec.get('base_model')}.json")
        here = local and record.is_file()
        # A model that is not here yet has judged nothing.
        model = read_json(record) if here else dict.fromkeys(("name", "revision", "path", "digest"), "")
        judge = make_judge(spec | ({"model": model} if local else {}))
        if not isinstance(judge, PromptedJudge):
            continue
        cost = spending(
            judge, Journal(journals / judge.identity), wanted(judge), files, model["path"] if here else None
        )
        found.append(
            {"asked": f"judge {name}", "model": spec.get("model") or spec["base_model"], "calls": cost.calls}
            | {"in_journal": cost.in_journal, "to_ask": cost.to_buy, "input_tokens": round(cost.input_tokens)}
            | {"output_tokens": round(cost.output_tokens), "counted_by": cost.counted_by, "usd": cost.cost_usd}
        )
    return found
