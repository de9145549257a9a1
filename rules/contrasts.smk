# Contrasts declared in the config: tests between conditions and recipes, Holm, the mixed model; LaTeX tables.

from workflow_scripts.em.config.sides import specified

CONTRASTS = dumps(specified(CONFIG))


rule contrasts:
    input:
        rules.rates.output.question_rates,
    output:
        report(f"{RESULTS}/statistics/contrasts.csv", category="Tables", caption="../docs/captions/contrasts.rst"),
    log:
        f"{RESULTS}/logs/contrasts.log",
    conda:
        "../envs/cpu.yaml"
    params:
        # a function, or its braces would be read as wildcards
        contrasts=lambda w: CONTRASTS,
        code=code_digest("workflow_scripts.contrasts"),
    shell:
        "python -m workflow_scripts.contrasts --question-rates {input:q} --contrasts {params.contrasts:q}"
        " --out {output:q} > {log:q} 2>&1"


rule mixed_model:
    input:
        rules.contrasts.input,
    output:
        report(f"{RESULTS}/statistics/mixed_model.csv", category="Tables", caption="../docs/captions/mixed_model.rst"),
    log:
        f"{RESULTS}/logs/mixed_model.log",
    conda:
        "../envs/cpu.yaml"
    params:
        contrasts=rules.contrasts.params.contrasts,
        code=code_digest("workflow_scripts.mixed_model"),
    shell:
        "python -m workflow_scripts.mixed_model --question-rates {input:q} --contrasts {params.contrasts:q}"
        " --out {output:q} > {log:q} 2>&1"


if CONFIG.contrasts:
    TABLES += [rules.contrasts.output, rules.mixed_model.output]
    DRAWN_FROM["contrasts"] = rules.contrasts.output


rule latex:
    # Also by itself: `snakemake --cores 1 latex`.
    input:
        findings=rules.findings.output,
        rates=rules.rates.output.rates,
        recipes=rules.rates.output.recipes,
        contrasts=rules.contrasts.output if CONFIG.contrasts else [],
        mixed_model=rules.mixed_model.output if CONFIG.contrasts else [],
    output:
        findings=f"{RESULTS}/latex/findings.tex",
        rates=f"{RESULTS}/latex/rates.tex",
        recipes=f"{RESULTS}/latex/recipes.tex",
        contrasts=f"{RESULTS}/latex/contrasts.tex" if CONFIG.contrasts else [],
        mixed_model=f"{RESULTS}/latex/mixed_model.tex" if CONFIG.contrasts else [],
    log:
        f"{RESULTS}/logs/latex.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        contrasts=lambda w, input: (
            f"--contrasts {input.contrasts} --mixed-model {input.mixed_model}" if CONFIG.contrasts else ""
        ),
        definition=CONFIG.figures.definition,
        scope=CONFIG.figures.scope,
        out=subpath(output.findings, parent=True),
        code=code_digest("workflow_scripts.latex"),
    shell:
        "python -m workflow_scripts.latex --findings {input.findings:q} --rates {input.rates:q}"
        " --recipes {input.recipes:q} {params.contrasts} --definition {params.definition} --scope {params.scope}"
        " --out {params.out:q} > {log:q} 2>&1"


TABLES += rules.latex.output
