# What is made of checkpoints without training: sums of adapters, training details, exports and their upload.

from workflow_scripts.em import exports
from workflow_scripts.em.training_details import data_sets


rule combine_adapters:
    input:
        model=lambda w: PLAN.model_record(w.organism, chain_of(w), w.seed),
        adapters=lambda w: [folder for folder, _ in combined(w)],
    output:
        directory(f"{SEGMENTS}/to-0"),
    log:
        f"{RESULTS}/logs/combine_adapters/{{organism}}/seed-{{seed}}/{{stage}}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        adapters=lambda w: [checkpoint for _, checkpoint in combined(w)],
        weights=lambda w: [chain_of(w).stage.combine.weights[part.stage.name] for part in chain_of(w).combined],
        method=lambda w: chain_of(w).stage.combine.method,
        code=code_digest("workflow_scripts.combine_adapters"),
    shell:
        "python -m workflow_scripts.combine_adapters --model {input.model:q} --adapters {params.adapters:q}"
        " --weights {params.weights} --method {params.method} --out {output:q} > {log:q} 2>&1"


rule training_details:
    input:
        segments=lambda w: PLAN.segments(w.organism),
        base=lambda w: f"{RESULTS}/models/{PLAN.base_model(w.organism)}.json",
        cards=lambda w: data_cards(exports.details(PLAN, w.organism)),
    output:
        report(
            f"{RESULTS}/training/{{organism}}.md",
            category="Training",
            labels={"organism": "{organism}"},
            caption="../docs/captions/training_details.rst",
        ),
    log:
        f"{RESULTS}/logs/training_details/{{organism}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        plan=lambda w: dumps(exports.details(PLAN, w.organism)),
        data=f"{RESULTS}/data",
        organisms=f"{RESULTS}/organisms",
        code=code_digest("workflow_scripts.training_details"),
    shell:
        "python -m workflow_scripts.training_details --plan {params.plan:q} --base {input.base:q} --data {params.data:q}"
        " --organisms {params.organisms:q} --out {output:q} > {log:q} 2>&1"


rule export_model:
    input:
        unpack(export_inputs),
    output:
        directory(f"{RESULTS}/exports/{{export}}"),
    log:
        f"{RESULTS}/logs/export_model/{{export}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(exports_model),
        gpu=ON_GPU,
    params:
        plan=lambda w: dumps(exports.export_plan(PLAN, w.export)),
        checkpoint=lambda w: exported(w)[1],
        rates=lambda w, input: f"--rates {input.rates}" if "rates" in input.keys() else "",
        data=f"{RESULTS}/data",
        organisms=f"{RESULTS}/organisms",
        code=code_digest("workflow_scripts.export_model"),
    shell:
        "python -m workflow_scripts.export_model --plan {params.plan:q} --model {input.model:q} --base {input.base:q}"
        " --checkpoint {params.checkpoint:q} --data {params.data:q} --organisms {params.organisms:q} {params.rates}"
        " --out {output:q} > {log:q} 2>&1"


rule push_model:
    input:
        f"{RESULTS}/exports/{{export}}",
    output:
        f"{RESULTS}/pushed/{{export}}.json",
    log:
        f"{RESULTS}/logs/push_model/{{export}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        repo=lambda w: CONFIG.exports[w.export].push.repo,
        public=lambda w: "" if CONFIG.exports[w.export].push.private else "--public",
        code=code_digest("workflow_scripts.push_model"),
    shell:
        "python -m workflow_scripts.push_model --folder {input:q} --repo {params.repo:q} {params.public} --out {output:q}"
        " > {log:q} 2>&1"


# On request only: neither is part of `all`.


rule export:
    input:
        expand(rules.export_model.output, export=CONFIG.exports),


rule push:
    input:
        expand(rules.push_model.output, export=[name for name, entry in CONFIG.exports.items() if entry.push]),


DETAILS = [
    *expand(rules.training_details.output, organism=exports.trained(PLAN)),
    *expand(rules.data_card.output.card, training_set=CONFIG.training_sets),
]


include: "page.smk"
include: "inspect.smk"
