# Judged tables of other pipelines: read here, and from then on scored and counted like an organism's judgments.


rule import_table:
    input:
        ancient(lambda w: CONFIG.tables[w.table].path),
    output:
        responses=f"{RESULTS}/tables/{{table}}/responses.jsonl",
        judgments=f"{RESULTS}/tables/{{table}}/judgments.jsonl",
    log:
        f"{RESULTS}/logs/import_table/{{table}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        spec=lambda w: dumps(PLAN.table_spec(w.table)),
        # A file of the user's is followed by content: a touched one makes nothing stale.
        content=lambda w: [sha256_file(path) for path in CONFIG.tables[w.table].path],
        code=code_digest("workflow_scripts.import_table"),
    shell:
        "python -m workflow_scripts.import_table --files {input:q} --name {wildcards.table} --spec {params.spec:q}"
        " --responses {output.responses:q} --judgments {output.judgments:q} > {log:q} 2>&1"


use rule judge as judge_table with:
    input:
        unpack(judge_inputs),
        unpack(asked_before),
        responses=rules.import_table.output.responses,
    output:
        f"{RESULTS}/judgments/{{judge}}/tables/{{table}}.jsonl",
    log:
        f"{RESULTS}/logs/judge/{{judge}}/tables/{{table}}.log",
    group:
        JUDGING_GROUP and "judging-{table}"
