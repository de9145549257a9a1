# Statistics: EM definitions are applied here, last, so that a changed threshold costs seconds and no judge call.


rule rates:
    input:
        expand(rules.scores.output, organism=PLAN.scored()),
    output:
        rates=report(f"{RESULTS}/statistics/rates.csv", category="Tables", caption="../docs/captions/rates.rst"),
        question_rates=report(
            f"{RESULTS}/statistics/question_rates.csv",
            category="Tables",
            caption="../docs/captions/question_rates_table.rst",
        ),
        recipes=report(f"{RESULTS}/statistics/recipes.csv", category="Tables", caption="../docs/captions/recipes.rst"),
    log:
        f"{RESULTS}/logs/rates.log",
    conda:
        "../envs/cpu.yaml"
    params:
        definitions=in_order({name: d.plain() for name, d in CONFIG.em_definitions.items()}),
        out=subpath(output.rates, parent=True),
        code=code_digest("workflow_scripts.rates"),
    shell:
        "python -m workflow_scripts.rates --scores {input:q} --definitions {params.definitions:q} --out {params.out:q}"
        " > {log:q} 2>&1"


rule metrics:
    input:
        rules.rates.input,
    output:
        report(f"{RESULTS}/statistics/metrics.csv", category="Tables", caption="../docs/captions/metrics.rst"),
    log:
        f"{RESULTS}/logs/metrics.log",
    conda:
        "../envs/cpu.yaml"
    params:
        code=code_digest("workflow_scripts.metrics"),
    shell:
        "python -m workflow_scripts.metrics --scores {input:q} --out {output:q} > {log:q} 2>&1"


# Several judges of the same responses: how far they agree, and what human labels say of the others' rates.

HUMAN = [name for name in JUDGES if CONFIG.judges[name].kind == "human"]
MODEL_JUDGES = [name for name in JUDGES if name not in HUMAN]
EM_JUDGES = [name for name in MODEL_JUDGES if "alignment" in PLAN.metrics[name]]
SHEET_JUDGE = (EM_JUDGES or MODEL_JUDGES)[:1]
# EM rates are corrected by what people say; where there are none, people are judges like others.
CORRECTED_BY = HUMAN if PLAN.has_alignment else []
SEVERAL_JUDGES = bool(MODEL_JUDGES and ((len(JUDGES) > 1 and CONFIG.organisms) or JUDGED_TABLES))
SEVERAL_EM_JUDGES = SEVERAL_JUDGES and givers("alignment") > 1
SHEET_WORDS = " ".join(
    [
        *(PLAN.globs(f"judgments/{judge}", lambda at: not is_steered(at[2])) for judge in SHEET_JUDGE),
        *(PLAN.table_judgments(judge, table) for judge in SHEET_JUDGE for table in JUDGED_TABLES),
    ]
)
CORRECTED = f"{RESULTS}/statistics/corrected_rates.csv"


rule agreement:
    input:
        scores=rules.rates.input,
        rates=rules.rates.output.rates if CORRECTED_BY else [],
    output:
        agreement=report(
            f"{RESULTS}/statistics/agreement.csv", category="Tables", caption="../docs/captions/agreement.rst"
        ),
        counts=f"{RESULTS}/statistics/agreement_counts.csv",
        labels=f"{RESULTS}/statistics/label_counts.csv",
        corrected=(
            report(CORRECTED, category="Tables", caption="../docs/captions/corrected_rates.rst")
            if CORRECTED_BY
            else []
        ),
    log:
        f"{RESULTS}/logs/agreement.log",
    conda:
        "../envs/cpu.yaml"
    params:
        definitions=rules.rates.params.definitions,
        rates=lambda w, input: f"--rates {input.rates}" if input.rates else "",
        human=CORRECTED_BY,
        sheet_judge=SHEET_JUDGE,
        sheet_definition=CONFIG.figures.definition,
        out=subpath(output.agreement, parent=True),
        code=code_digest("workflow_scripts.agreement"),
    shell:
        "python -m workflow_scripts.agreement --scores {input.scores:q} {params.rates}"
        " --definitions {params.definitions:q} --human {params.human} --sheet-judge {params.sheet_judge}"
        " --sheet-definition {params.sheet_definition} --out {params.out:q} > {log:q} 2>&1"


rule label_sheet:
    # On request: what people label. One judge's own judgments, not the scores: those wait for the labels. Not what was
    # said under steering, which is another matter than the rates that labels correct.
    input:
        responses=UNSTEERED,
        judgments=(
            [
                *(PLAN.judgments(SHEET_JUDGE[0], at) for name in CONFIG.organisms for at in PLAN.unsteered(name)),
                *(PLAN.table_judgments(SHEET_JUDGE[0], table) for table in JUDGED_TABLES),
            ]
            if SHEET_JUDGE
            else []
        ),
    output:
        # Read-only: people fill in a copy, and a rerun must not take their work away.
        protected(f"{RESULTS}/labels/sheet.csv"),
    log:
        f"{RESULTS}/logs/label_sheet.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        definition=dumps(CONFIG.em_definitions[CONFIG.figures.definition].plain()),
        metrics=[*(["alignment", "coherence"] if PLAN.has_alignment else []), *PLAN.labels],
        # functions, or their braces would be read as wildcards
        responses=lambda w: ASKED_ABOUT["asked"][1],
        judgments=lambda w: SHEET_WORDS,
        code=code_digest("workflow_scripts.label_sheet"),
    shell:
        "python -m workflow_scripts.label_sheet --responses {params.responses} --judgments {params.judgments}"
        " --definition {params.definition:q} --metrics {params.metrics} --out {output:q} > {log:q} 2>&1"


rule findings:
    input:
        rules.rates.output.rates,
    output:
        report(f"{RESULTS}/findings.csv", category="Findings", caption="../docs/captions/findings.rst"),
    log:
        f"{RESULTS}/logs/findings.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        definition=CONFIG.figures.definition,
        scope=CONFIG.figures.scope,
        without=list(PLAN.steering),
        code=code_digest("workflow_scripts.findings"),
    shell:
        "python -m workflow_scripts.findings --rates {input:q} --definition {params.definition} --scope {params.scope}"
        " --without {params.without} --out {output:q} > {log:q} 2>&1"


include: "contrasts.smk"
include: "onset.smk"
include: "sensitivity.smk"
include: "labels.smk"
include: "literature.smk"
include: "hand_in.smk"
include: "budgets.smk"
include: "steering.smk"
include: "directions.smk"
