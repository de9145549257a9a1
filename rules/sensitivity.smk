# What the thresholds and the design decide: sensitivity surface and power plan.


rule threshold_surface:
    input:
        rules.rates.input,
    output:
        report(
            f"{RESULTS}/statistics/threshold_surface.csv",
            category="Tables",
            caption="../docs/captions/threshold_surface.rst",
        ),
    log:
        f"{RESULTS}/logs/threshold_surface.log",
    conda:
        "../envs/cpu.yaml"
    params:
        # a function, or its braces would be read as wildcards
        definition=lambda w: dumps(
            {CONFIG.figures.definition: CONFIG.em_definitions[CONFIG.figures.definition].plain()}
        ),
        scope=CONFIG.figures.scope,
        code=code_digest("workflow_scripts.threshold_surface"),
    shell:
        "python -m workflow_scripts.threshold_surface --scores {input:q} --definition {params.definition:q}"
        " --scope {params.scope} --out {output:q} > {log:q} 2>&1"


# On request: `snakemake --cores 1 power_plan`. Other rates, effects and designs are options of the stage itself.


rule power:
    input:
        rules.rates.output.question_rates,
    output:
        plan=f"{RESULTS}/statistics/power.csv",
        components=f"{RESULTS}/statistics/power_components.csv",
    log:
        f"{RESULTS}/logs/power.log",
    conda:
        "../envs/cpu.yaml"
    params:
        definition=CONFIG.figures.definition,
        scope=CONFIG.figures.scope,
        code=code_digest("workflow_scripts.power_plan"),
    shell:
        "python -m workflow_scripts.power_plan --rates {input:q} --definition {params.definition}"
        " --scope {params.scope} --out {output.plan:q} 2>&1 | tee {log:q}"


rule power_plan:
    input:
        rules.power.output.plan,
    output:
        multiext(f"{RESULTS}/figures/power", ".png", ".svg", ".csv"),
    log:
        f"{RESULTS}/logs/figure/power.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        style=lambda w: dumps({"width_inches": CONFIG.figures.width_inches}),
        prefix=lambda w, output: output[0].removesuffix(".png"),
        code=[code_digest("workflow_scripts.figures"), code_digest("workflow_scripts.em.plots.power")],
    shell:
        "python -m workflow_scripts.figures power --data {input:q} --style {params.style:q} --out {params.prefix:q}"
        " > {log:q} 2>&1"


DRAWN_FROM["threshold_surface"] = rules.threshold_surface.output
TABLES += [rules.threshold_surface.output]
