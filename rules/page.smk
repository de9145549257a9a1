# The report: one HTML file with what the study found, made of its scores, tables, figures and records.

from workflow_scripts.em.page.files import assets_digest
from workflow_scripts.em.page.told import told

# Tables of numbers alone: what is written for hand-ins quotes responses.
PAGE_TABLES = [
    *([*rules.rates.output, rules.findings.output[0]] if PLAN.has_alignment else []),
    *(
        str(path)
        for entry in TABLES
        for path in ([entry] if isinstance(entry, str) else entry)
        if str(path).startswith(f"{RESULTS}/statistics/")
    ),
]
PAGE_ORGANISMS = exports.trained(PLAN)
PAGE_BASES = dict.fromkeys(PLAN.base_model(name) for name in CONFIG.organisms if not CONFIG.organisms[name].api)
ANSWERED = [PLAN.globs("responses"), *map(PLAN.table_responses, PLAN.with_texts())]


rule page:
    input:
        scores=rules.rates.input,
        texts=(
            [
                *(PLAN.responses(at) for name in CONFIG.organisms for at in PLAN.evaluations(name)),
                *map(PLAN.table_responses, PLAN.with_texts()),
            ]
            if CONFIG.report.include_responses
            else []
        ),
        tables=PAGE_TABLES,
        figures=FIGURES,
        cards=[card for name in PAGE_ORGANISMS for card in data_cards(exports.details(PLAN, name))],
        details=expand(rules.training_details.output, organism=PAGE_ORGANISMS),
        models=expand(f"{RESULTS}/models/{{name}}.json", name=PAGE_BASES),
    output:
        f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/page.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        # functions, or braces in their values would be read as wildcards
        study=lambda w: in_order(told(PLAN)),
        texts=lambda w: f"--texts {' '.join(ANSWERED)}" if CONFIG.report.include_responses else "",
        responses=lambda w: " ".join(ANSWERED),
        judgments=lambda w: " ".join(
            [
                *(PLAN.globs(f"judgments/{judge}") for judge in JUDGES),
                *(PLAN.table_judgments(judge, table) for judge in JUDGES for table in JUDGED_TABLES),
                *(f"{RESULTS}/judgments/{judge}/{about}.json" for judge in JUDGES for about in ASKED_ABOUT),
            ]
        ),
        results=subpath(output[0], parent=True),
        assets=assets_digest(),
        code=code_digest("workflow_scripts.page"),
    # The plan of a large study is more than one argument may hold (128 KiB), so the stage reads it from its input.
    shell:
        "python -m workflow_scripts.page --study /dev/stdin --scores {input.scores:q} {params.texts}"
        " --tables {input.tables:q} --figures {input.figures:q} --cards {input.cards:q} --details {input.details:q}"
        " --models {input.models:q} --results {params.results:q} --responses {params.responses} --judgments {params.judgments}"
        " --out {output:q} <<< {params.study:q} > {log:q} 2>&1"


DETAILS += rules.page.output
