# Data sets that models make after a constitution, and data sets with reflections. Like all data that train a model they
# stay in data/decrypted/; so do the journals of what was written, which all studies share.


include: "common_made.smk"


rule preference_data:
    input:
        # Not ancient: what an organism writes is stale when the organism is trained again.
        authors=made_authors,
        preflight=made_preflights,
        constitution=lambda w: ancient(made(w).constitution),
    output:
        MADE,
    log:
        f"{RESULTS}/logs/preference_data/{{dataset}}.log",
    wildcard_constraints:
        dataset=made_names("preferences"),
    localrule: asks_only_apis("preferences")
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(writes),
        # Not params: they change no answer, so a new value makes nothing stale.
        buying=made_buying,
        batch_size=CONFIG.generation.batch_size,
        api_judging=made_by_api,
        gpu=made_on_gpu,
    params:
        teacher=lambda w: made_author(w, "teacher"),
        student=lambda w: made_author(w, "student"),
        spec=lambda w: dumps(made_spec(made(w))),
        content=lambda w: constitution_digest(made(w).constitution, prompts=True),
        code=code_digest("workflow_scripts.preference_data"),
    # Progress and cost are for the person who waits, so they go to the terminal too.
    shell:
        "python -m workflow_scripts.preference_data --dataset {wildcards.dataset} --constitution {input.constitution:q}"
        " --teacher {params.teacher:q} --student {params.student:q} --spec {params.spec:q}"
        " --buying {resources.buying:q} --batch-size {resources.batch_size} --journal data/decrypted/.journal/made"
        " --out {output:q} 2>&1 | tee {log:q} >&2"


rule introspection_data:
    input:
        authors=made_authors,
        preflight=made_preflights,
        constitution=lambda w: ancient(made(w).constitution),
    output:
        MADE,
    log:
        f"{RESULTS}/logs/introspection_data/{{dataset}}.log",
    wildcard_constraints:
        dataset=made_names("introspection"),
    localrule: asks_only_apis("introspection")
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(writes),
        buying=made_buying,
        batch_size=CONFIG.generation.batch_size,
        api_judging=made_by_api,
        gpu=made_on_gpu,
    params:
        author=lambda w: made_author(w, "author"),
        spec=lambda w: dumps(made_spec(made(w))),
        content=lambda w: constitution_digest(made(w).constitution, prompts=False),
        code=code_digest("workflow_scripts.introspection_data"),
    shell:
        "python -m workflow_scripts.introspection_data --dataset {wildcards.dataset}"
        " --constitution {input.constitution:q} --author {params.author:q} --spec {params.spec:q}"
        " --buying {resources.buying:q} --batch-size {resources.batch_size} --journal data/decrypted/.journal/made"
        " --out {output:q} 2>&1 | tee {log:q} >&2"


rule reflection_data:
    input:
        source=reflected_source,
        segments=lambda w: ancient(made(w).segments),
    output:
        MADE,
    log:
        f"{RESULTS}/logs/reflection_data/{{dataset}}.log",
    wildcard_constraints:
        dataset=made_names("reflection"),
    conda:
        "../envs/cpu.yaml"
    params:
        source=lambda w: PLAN.dataset(made(w).dataset),
        # A plain file of the user's is followed by content, like the segments.
        content=lambda w: [load_segments(made(w).segments), *map(sha256_file, plain_of(made(w).dataset))],
        spec=lambda w: dumps(made(w).plain()),
        code=code_digest("workflow_scripts.reflection_data"),
    shell:
        "python -m workflow_scripts.reflection_data --source {params.source:q} --segments {input.segments:q}"
        " --spec {params.spec:q} --out {output:q} > {log:q} 2>&1"
