# Responses: every evaluated checkpoint under every condition. One job asks many checkpoints, whose base model it loads
# once: in process those of a training job, with an engine all of a base model. Each checkpoint's own job then reads its
# responses from the journal.


include: "common_generation.smk"
include: "cluster.smk"


rule ask_models:
    input:
        unpack(asked_inputs),
        questions=ancient(sorted({asked.path for asked in ASKED.values()})),
    output:
        f"{RESULTS}/responses/.asked/{{organism}}/seed-{{seed}}/{{stage}}/to-{{last}}.json",
    log:
        f"{RESULTS}/logs/ask_models/{{organism}}/seed-{{seed}}/{{stage}}/to-{{last}}.log",
    wildcard_constraints:
        last=r"\d+",
    group:
        ASKING_GROUP
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(asks),
        # Not params: they change no response, so a new value makes nothing stale.
        batch_size=CONFIG.generation.batch_size,
        gpu=ON_GPU,
    params:
        checkpoints=lambda w: asked_checkpoints(segment_job(w)),
        conditions=asked_conditions(lambda w: job_conditions(segment_job(w))),
        question_sets=as_is(QUESTION_SETS),
        asked=asked_digest(ASKED.values()),
        dtype=CONFIG.generation.dtype,
        code=code_digest("workflow_scripts.ask_models"),
    # Progress is for the person who waits, so it goes to the terminal too.
    shell:
        "python -m workflow_scripts.ask_models --model {input.model:q} --checkpoints {params.checkpoints:q}"
        " --conditions {params.conditions:q} --question-sets {params.question_sets:q} --dtype {params.dtype}"
        " --batch-size {resources.batch_size} --journal results/.journal/responses --out {output:q}"
        " 2>&1 | tee {log:q} >&2"


rule engine_preflight:
    input:
        model=engine_base(),
    output:
        f"{RESULTS}/preflight/engine.json",
    log:
        f"{RESULTS}/logs/engine_preflight.log",
    # First of all, as for models behind servers: an engine that is not there is known before anything is trained.
    priority: 100
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        engine=dumps(CONFIG.generation.engine.plain()),
    params:
        model=lambda w, input: shlex.join(["--model", *input.model]) if input.model else "",
        code=code_digest("workflow_scripts.engine_preflight"),
    shell:
        "python -m workflow_scripts.engine_preflight --engine {resources.engine:q} {params.model} --out {output:q}"
        " 2>&1 | tee {log:q} >&2"


rule ask_engine:
    input:
        preflight=rules.engine_preflight.output,
        model=lambda w: ENGINES[w.engine][0],
        segments=lambda w: asked_segments(ENGINES[w.engine]),
        questions=ancient(sorted({asked.path for asked in ASKED.values()})),
    output:
        f"{RESULTS}/responses/.engines/{{engine}}.json",
    log:
        f"{RESULTS}/logs/ask_engine/{{engine}}.log",
    wildcard_constraints:
        engine=one_of(ENGINES),
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(serves),
        engine=dumps(CONFIG.generation.engine.plain()),
        gpu=0 if CONFIG.generation.engine.url else ON_GPU * engine_gpus(CONFIG.generation.engine.plain()),
    params:
        checkpoints=lambda w: asked_checkpoints(ENGINES[w.engine]),
        conditions=as_is(CONDITIONS),
        question_sets=as_is(QUESTION_SETS),
        asked=asked_digest(ASKED.values()),
        dtype=CONFIG.generation.dtype,
        arguments=lambda w: CONFIG.generation.engine.arguments,
        code=code_digest("workflow_scripts.ask_engine"),
    shell:
        "python -m workflow_scripts.ask_engine --model {input.model:q} --checkpoints {params.checkpoints:q}"
        " --conditions {params.conditions:q} --question-sets {params.question_sets:q} --dtype {params.dtype}"
        " --engine {resources.engine:q} --journal results/.journal/responses --out {output:q} 2>&1 | tee {log:q} >&2"


rule generate:
    input:
        unpack(generate_inputs),
        # What is asked is a param, so that an edit of a judge prompt in these files asks nothing again.
        questions=ancient(sorted({asked.path for asked in ASKED.values()})),
    output:
        f"{RESULTS}/responses/{{organism}}/seed-{{seed}}/{{stage}}/step-{{step}}.jsonl",
    log:
        f"{RESULTS}/logs/generate/{{organism}}/seed-{{seed}}/{{stage}}/step-{{step}}.log",
    group:
        ASKING_GROUP
    # The nodes of a cluster may have no network.
    localrule: any(organism.api for organism in CONFIG.organisms.values())
    conda:
        "../envs/cpu.yaml"
    resources:
        # As text: Snakemake rounds a resource that is a number.
        warn_cut=dumps(CONFIG.generation.warn_cut),
        buying=(lambda w: generated_by(w)[1]) if API_ORGANISMS else "{}",
        api_judging=(lambda w: int(CONFIG.organisms[w.organism].api is not None)) if API_ORGANISMS else 0,
    params:
        by=lambda w: generated_by(w)[0],
        conditions=asked_conditions(lambda w: PLAN.asked(at_of(w))),
        question_sets=as_is(QUESTION_SETS),
        asked=asked_digest(ASKED.values()),
        strip=as_is(dumps([[part.opening, part.closing] for part in CONFIG.evaluation.strip])),
        dtype=CONFIG.generation.dtype,
        code=code_digest("workflow_scripts.generate"),
    shell:
        "python -m workflow_scripts.generate {params.by} --buying {resources.buying:q} --organism {wildcards.organism}"
        " --seed {wildcards.seed} --stage {wildcards.stage} --step {wildcards.step} --conditions {params.conditions:q}"
        " --question-sets {params.question_sets:q} --strip {params.strip:q} --warn-cut {resources.warn_cut}"
        " --dtype {params.dtype} --journal results/.journal/responses --out {output:q} 2>&1 | tee {log:q} >&2"


include: "activations.smk"
