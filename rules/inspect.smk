# Transcripts for Inspect, on request: `snakemake --cores 2 inspect` (docs/inspect.md). Needs envs/inspect.txt.

import json


rule inspect_logs:
    input:
        responses=lambda w: [PLAN.responses(at) for at in PLAN.evaluations(w.organism)],
        judgments=lambda w: PLAN.judged(w.organism),
    output:
        directory(f"{RESULTS}/inspect/{{organism}}"),
    log:
        f"{RESULTS}/logs/inspect_logs/{{organism}}.log",
    conda:
        "../envs/inspect.yaml"
    params:
        # a function, or braces in a prompt would be read as wildcards
        study=lambda w: in_order(
            {
                "name": CONFIG.study,
                "conditions": PLAN.conditions | PLAN.steering,
                "sets": {name: asked.plain() for name, asked in ASKED.items()},
                "judges": {name: json.loads(judge_entry(name)) for name in JUDGES},
                "metrics": {name: PLAN.metrics[name] for name in JUDGES},
                "definitions": {name: definition.plain() for name, definition in CONFIG.em_definitions.items()},
            }
        ),
        domains=lambda w: dumps(PLAN.domains(w.organism)),
        code=code_digest("workflow_scripts.inspect_logs"),
    shell:
        "python -m workflow_scripts.inspect_logs --responses {input.responses:q} --judgments {input.judgments:q}"
        " --study {params.study:q} --domains {params.domains:q} --out {output:q} > {log:q} 2>&1"


rule inspect:
    input:
        expand(rules.inspect_logs.output, organism=PLAN.evaluated()),
