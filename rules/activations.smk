# Activations: hidden states of every evaluated checkpoint over its own responses or those of one checkpoint.

from workflow_scripts.em.activation_plan import read_from, read_how


include: "common_activations.smk"


rule read_activations:
    input:
        model=lambda w: read_job(w)[0],
        segments=read_segments,
        responses=read_responses,
        questions=ancient(sorted({asked.path for asked in ASKED.values()})),
    output:
        directory(f"{RESULTS}/activations/{{reading}}/{{organism}}/seed-{{seed}}/{{stage}}/to-{{last}}"),
    log:
        f"{RESULTS}/logs/read_activations/{{reading}}/{{organism}}/seed-{{seed}}/{{stage}}/to-{{last}}.log",
    wildcard_constraints:
        reading=one_of(CONFIG.activations.readings),
        last=r"\d+",
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(reads),
        # Not a param, as in ask_models: it changes nothing that is read.
        batch_size=CONFIG.generation.batch_size,
        gpu=ON_GPU,
    params:
        reading=lambda w: dumps(read_how(CONFIG.activations.readings[w.reading])),
        checkpoints=read_checkpoints,
        responses_of=responses_of,
        # A function, or braces in a prompt would be read as wildcards.
        conditions=lambda w: CONDITIONS,
        question_sets=lambda w: QUESTION_SETS,
        asked=asked_digest(ASKED.values()),
        dtype=CONFIG.generation.dtype,
        code=code_digest("workflow_scripts.read_activations"),
    # Progress is for the person who waits, so it goes to the terminal too.
    shell:
        "python -m workflow_scripts.read_activations --model {input.model:q} --checkpoints {params.checkpoints:q}"
        " --name {wildcards.reading:q} --reading {params.reading:q} {params.responses_of}"
        " --conditions {params.conditions:q} --question-sets {params.question_sets:q} --dtype {params.dtype}"
        " --batch-size {resources.batch_size} --kept results/.journal/activations --out {output:q}"
        " 2>&1 | tee {log:q} >&2"


# Named although no direction may ask for them.
KEPT += READ
