# Homework 0, and what a reader wants first: a table of all checkpoints, targets met or not, generations to hand in; and
# on request whether all that the study needs is there.

from workflow_scripts.em.config.targets import condition_of

# The definition by which an answer is coherent: that of the figures, or the first that says.
GATED = next(
    (
        name
        for name in (CONFIG.figures.definition, *CONFIG.em_definitions)
        if CONFIG.em_definitions[name].coherence is not None
    ),
    CONFIG.figures.definition,
)


rule checkpoint_table:
    input:
        rules.rates.output.rates,
    output:
        report(f"{RESULTS}/summary.csv", category="Findings", caption="../docs/captions/summary.rst"),
    log:
        f"{RESULTS}/logs/checkpoint_table.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        definition=CONFIG.figures.definition,
        coherence=GATED,
        scope=CONFIG.figures.scope,
        code=code_digest("workflow_scripts.checkpoint_table"),
    shell:
        "python -m workflow_scripts.checkpoint_table --rates {input:q} --definition {params.definition}"
        " --coherence {params.coherence} --scope {params.scope} --out {output:q} > {log:q} 2>&1"


HOW = {name: condition.plain() for name, condition in CONFIG.conditions.items()}


rule targets:
    input:
        rules.metrics.output,
    output:
        report(f"{RESULTS}/statistics/targets.csv", category="Findings", caption="../docs/captions/targets.rst"),
    log:
        f"{RESULTS}/logs/targets.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        targets=in_order(
            {
                name: target.plain() | {"condition": condition_of(target, PLAN.conditions, HOW)}
                for name, target in CONFIG.targets.items()
            }
        ),
        judge=lambda w: f"--judge {JUDGES[0]}" if JUDGES else "",
        code=code_digest("workflow_scripts.targets"),
    shell:
        "python -m workflow_scripts.targets --metrics {input:q} --targets {params.targets:q} {params.judge}"
        " --out {output:q} > {log:q} 2>&1"


# The first training seed's last evaluated checkpoint.
HANDED_IN = {name: PLAN.ends(name)[-1] for name in PLAN.evaluated() if CONFIG.organisms[name].stages}


rule hand_in:
    input:
        responses=lambda w: PLAN.responses(HANDED_IN[w.organism]),
        details=f"{RESULTS}/training/{{organism}}.md",
    output:
        directory(f"{RESULTS}/hand_in/{{organism}}"),
    log:
        f"{RESULTS}/logs/hand_in/{{organism}}.log",
    wildcard_constraints:
        organism=one_of(HANDED_IN),
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        code=code_digest("workflow_scripts.hand_in"),
    shell:
        "python -m workflow_scripts.hand_in --responses {input.responses:q} --details {input.details:q} --out {output:q}"
        " > {log:q} 2>&1"


rule check_env:
    # On request: `snakemake --cores 1 check_env`.
    log:
        f"{RESULTS}/logs/check_env.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        configfiles=lambda w: [os.path.relpath(path) for path in workflow.configfiles],
    shell:
        "python -m workflow_scripts.check_env --configfile {params.configfiles:q} 2>&1 | tee {log:q}"


TABLES += rules.checkpoint_table.output
if CONFIG.targets:
    DRAWN_FROM["targets"] = rules.targets.output
    HOMEWORK = [*rules.targets.output, *expand(rules.hand_in.output, organism=HANDED_IN)]
    TABLES += HOMEWORK
    WITHOUT_ALIGNMENT += ["targets", *HOMEWORK]
