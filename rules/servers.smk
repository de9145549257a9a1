# Models behind servers: whether they can be asked, which is the first to be known; and what asking them and the judges
# will cost, which is told on request.


include: "common_servers.smk"


rule api_preflight:
    output:
        f"{RESULTS}/preflight/{{served}}.json",
    log:
        f"{RESULTS}/logs/api_preflight/{{served}}.log",
    wildcard_constraints:
        served=one_of(SERVED),
    # First of all, with that of judges: a wrong key or model name is known before anything is trained.
    priority: 100
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        buying=lambda w: served_keys(SERVED[w.served], True),
        api_judging=1,
    params:
        api=lambda w: served_keys(SERVED[w.served], False),
        ways=lambda w: dumps(served_ways(w)),
        journal=lambda w: (
            "data/decrypted/.journal/made" if w.served.startswith("datasets.") else "results/.journal/responses"
        ),
        code=[code_digest("workflow_scripts.api_preflight"), code_digest("workflow_scripts.em.backends.chat_api")],
    shell:
        "python -m workflow_scripts.api_preflight --name {wildcards.served} --api {params.api:q}"
        " --buying {resources.buying:q} --ways {params.ways:q} --journal {params.journal} --out {output:q}"
        " 2>&1 | tee {log:q} >&2"


rule plan:
    # On request: what generation and judging will ask and cost. It reads what is there and makes nothing but tables,
    # which cost nothing.
    input:
        list(map(PLAN.table_responses, JUDGED_TABLES)),
    log:
        f"{RESULTS}/logs/plan.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        # functions, or their braces would be read as wildcards
        judges=lambda w: dumps({name: CONFIG.judges[name].plain() for name in JUDGES}),
        models=dumps({name: f"{RESULTS}/models/{name}.json" for name in CONFIG.base_models}),
        questions=dumps(QUESTIONS),
        responses=lambda w: counted_responses(),
        conditions=lambda w: CONDITIONS,
        question_sets=lambda w: QUESTION_SETS,
        organisms=lambda w: dumps(asked_by_api(PLAN)),
        made=lambda w: dumps(made_by_apis(PLAN)),
        code=[code_digest("workflow_scripts.generation_plan"), code_digest("workflow_scripts.judge_plan")],
    shell:
        "( python -m workflow_scripts.generation_plan --organisms {params.organisms:q} --made {params.made:q}"
        " --conditions {params.conditions:q} --question-sets {params.question_sets:q}"
        " --journal results/.journal/responses --made-journal data/decrypted/.journal/made &&"
        " python -m workflow_scripts.judge_plan --judges {params.judges:q} --models {params.models:q}"
        " --questions {params.questions:q} {params.responses}"
        " --journal results/.journal/judgments ) 2>&1 | tee {log:q}"
