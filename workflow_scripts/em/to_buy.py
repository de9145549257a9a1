"""What is still to be asked of judges: as the `plan` rule counts it, and answers that will be written anew besides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.em.amounts import answers, evaluations, set_sizes
from workflow_scripts.em.dry_run import DryJob
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import Call, Judge
from workflow_scripts.em.judges.prompted import PromptedJudge
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.spending import judge_to_count
from workflow_scripts.em.spending import plan as spending


def judged_files(plan: Plan, jobs: list[DryJob]) -> tuple[dict[Path, int], set[Path]]:
    """(response files that judges are asked about -> responses of each, those that jobs will write from new answers).

    What was judged of the old answers says nothing of the new ones. Those that turn out the same cost nothing, so what
    is counted for them is the most.
    """
    made = {path for job in jobs for path in job.outputs}
    anew = {Path(path) for job in jobs if job.rule == "generate" and made & {*job.inputs} for path in job.outputs}
    sizes = set_sizes(plan)
    files = {plan.responses(at): sum(n for n, _ in answers(plan, sizes, at)) for at in evaluations(plan)}
    files |= {plan.table_responses(name): 0 for name, table in plan.config.tables.items() if table.rejudge}
    return {Path(path): count for path, count in files.items()}, anew


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
    (files, anew), found = judged_files(plan, jobs), []
    for name in plan.config.evaluation.judges:
        spec = plan.config.judges[name].plain()
        judge, tokenizer = judge_to_count(spec, Path(plan.results, f"models/{spec.get('base_model')}.json"))
        if not isinstance(judge, PromptedJudge):
            continue
        cost = spending(judge, Journal(journals / judge.identity), wanted(judge), files, tokenizer, anew)
        found.append(
            {"asked": f"judge {name}", "model": spec.get("model") or spec["base_model"], "calls": cost.calls}
            | {"in_journal": cost.in_journal, "to_ask": cost.to_buy, "input_tokens": round(cost.input_tokens)}
            | {"output_tokens": round(cost.output_tokens), "counted_by": cost.counted_by, "usd": cost.cost_usd}
        )
    return found
