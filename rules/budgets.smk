# Masked adapters: EM rate against the number of trained weights.

from workflow_scripts.em.budgets import budget_runs

BUDGET_RUNS = budget_runs(PLAN)


rule budgets:
    input:
        rates=rules.rates.output.rates,
        recipes=rules.rates.output.recipes,
        segments=[folder for run in BUDGET_RUNS for folder in run["segments"].values()],
    output:
        report(f"{RESULTS}/statistics/budgets.csv", category="Tables", caption="../docs/captions/budgets.rst"),
    log:
        f"{RESULTS}/logs/budgets.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        # a function, or its braces would be read as wildcards
        runs=lambda w: dumps(BUDGET_RUNS),
        code=code_digest("workflow_scripts.budgets"),
    shell:
        "python -m workflow_scripts.budgets --rates {input.rates:q} --recipes {input.recipes:q} --runs {params.runs:q}"
        " --out {output:q} > {log:q} 2>&1"


if BUDGET_RUNS:
    TABLES += [rules.budgets.output]
    DRAWN_FROM["em_by_budget"] = rules.budgets.output


# Ten budgets of each series would hide all else in the other figures; masked adapters have one of their own.
MASKED = {run["organism"] for run in BUDGET_RUNS if run["budget"]}
if MASKED and PLAN.shown("organism"):
    left_out = MASKED | set(CONFIG.organisms) - set(PLAN.evaluated())
    unmasked = [name for name in PLAN.shown("organism") if name not in left_out]
    for kind in ("em_trajectories", "coherence_trajectories", "organism_comparison", "domain_comparison"):
        STYLE_OF.setdefault(kind, {})["organism"] = unmasked
