# Judgments: one light job a checkpoint and judge; then one table of scores an organism. A judge that is dear to start is
# asked about the whole study at once, into its journal, and the jobs of the checkpoints read its answers there.


include: "servers.smk"


rule judge_preflight:
    output:
        f"{RESULTS}/judgments/{{judge}}/preflight.json",
    log:
        f"{RESULTS}/logs/judge_preflight/{{judge}}.log",
    wildcard_constraints:
        judge=one_of(API_JUDGES),
    # First of all: a wrong key or model name is known before anything is trained.
    priority: 100
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        buying=lambda w: buying(w.judge),
    params:
        judge=lambda w: judge_entry(w.judge),
        code=[code_digest("workflow_scripts.judge_preflight"), code_digest("workflow_scripts.em.backends.chat_api")],
    shell:
        "python -m workflow_scripts.judge_preflight --name {wildcards.judge} --judge {params.judge:q}"
        " --buying {resources.buying:q} --journal results/.journal/judgments --out {output:q} 2>&1 | tee {log:q} >&2"


rule ask_judge:
    input:
        unpack(judge_inputs),
        responses=lambda w: ASKED_ABOUT[w.about][0],
    output:
        f"{RESULTS}/judgments/{{judge}}/{{about}}.json",
    log:
        f"{RESULTS}/logs/ask_judge/{{judge}}/{{about}}.log",
    wildcard_constraints:
        judge=one_of(DEAR_JUDGES),
        about=one_of(ASKED_ABOUT),
    localrule: all(name in API_JUDGES for name in DEAR_JUDGES)
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(judges),
        # Not params: they change no answer, so a new value makes nothing stale.
        buying=lambda w: buying(w.judge),
        gpu=judge_gpus,
    params:
        judge=of_judges(judge_entry),
        model=of_judges(judge_model),
        questions=of_judges(lambda name: dumps(judge_questions(name))),
        sources=lambda w: judge_content(w.judge),
        # a function, or its braces would be read as wildcards
        responses=lambda w: ASKED_ABOUT[w.about][1],
        code=lambda w: [code_digest("workflow_scripts.ask_judge"), kind_digest(w.judge)],
    shell:
        "python -m workflow_scripts.ask_judge --name {wildcards.judge} --judge {params.judge:q}"
        " --buying {resources.buying:q} {params.model} --questions {params.questions:q}"
        " --responses {params.responses} --journal results/.journal/judgments --out {output:q} 2>&1 | tee {log:q} >&2"


rule judge:
    input:
        unpack(judge_inputs),
        unpack(asked_before),
        responses=rules.generate.output,
    output:
        f"{RESULTS}/judgments/{{judge}}/{{organism}}/seed-{{seed}}/{{stage}}/step-{{step}}.jsonl",
    log:
        f"{RESULTS}/logs/judge/{{judge}}/{{organism}}/seed-{{seed}}/{{stage}}/step-{{step}}.log",
    group:
        JUDGING_GROUP
    # The nodes of a cluster may have no network.
    localrule: bool(API_JUDGES)
    conda:
        "../envs/cpu.yaml"
    resources:
        buying=of_judges(buying),
        # One job at a time (see profiles/): rate limits and `concurrency` hold for a judge, not for each of its jobs.
        api_judging=(lambda w: int(CONFIG.judges[w.judge].kind == "openai")) if API_JUDGES else 0,
    params:
        judge=of_judges(judge_entry),
        model=of_judges(judge_model),
        questions=of_judges(lambda name: dumps(judge_questions(name))),
        sources=lambda w: judge_content(w.judge),
        asked=lambda w: shlex.join(["--asked", *found]) if (found := asked_before(w).values()) else "",
        code=lambda w: [code_digest("workflow_scripts.judge"), kind_digest(w.judge)],
    # Progress, rate, time left and cost are for the person who waits, so they go to the terminal too.
    shell:
        "python -m workflow_scripts.judge --responses {input.responses:q} --name {wildcards.judge}"
        " --judge {params.judge:q} --buying {resources.buying:q} {params.model} {params.asked}"
        " --questions {params.questions:q} --journal results/.journal/judgments --out {output:q}"
        " 2>&1 | tee {log:q} >&2"


rule scores:
    input:
        # One table an organism: a command line cannot name the files of a large study at once.
        lambda w: PLAN.judged(w.organism),
    output:
        f"{RESULTS}/scores/{{organism}}.csv",
    log:
        f"{RESULTS}/logs/scores/{{organism}}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        domains=lambda w: dumps(PLAN.domains(w.organism)),
        code=code_digest("workflow_scripts.scores"),
    shell:
        "python -m workflow_scripts.scores --judgments {input:q} --domains {params.domains:q}"
        " --out {output:q} > {log:q} 2>&1"


include: "injections.smk"
include: "tables.smk"
