# The checkpoint chain: one job a segment, each from the full training state of the one before it.

SEGMENTS = f"{RESULTS}/organisms/{{organism}}/seed-{{seed}}/{{stage}}"


rule train:
    input:
        unpack(train_inputs),
    output:
        directory(f"{SEGMENTS}/to-{{last}}"),
    log:
        f"{RESULTS}/logs/train/{{organism}}/seed-{{seed}}/{{stage}}/to-{{last}}.log",
    wildcard_constraints:
        last=r"[1-9]\d*",
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(trains),
        # Not params: they do not decide what is trained.
        settings=dumps(CONFIG.training.plain()),
        tracking=f"{RESULTS}/tracking",
        gpu=ON_GPU * CONFIG.training.processes,
    params:
        start=train_start,
        recipe=lambda w: dumps(chain_of(w).recipe.plain()),
        steps=segment_of,
        inflight=f"{RESULTS}/.inflight",
        code=code_digest("workflow_scripts.train"),
    shell:
        "python -m workflow_scripts.train --model {input.model:q} --data {input.data:q}/train.jsonl {params.start}"
        " --recipe {params.recipe:q} --organism {wildcards.organism} --stage {wildcards.stage} --seed {wildcards.seed}"
        " --steps {params.steps} --settings {resources.settings:q} --tracking {resources.tracking:q}"
        " --inflight {params.inflight:q} --out {output:q} > {log:q} 2>&1"


rule merge_adapter:
    input:
        model=lambda w: PLAN.model_record(merge_source(w)[0].organism, merge_source(w)[0], w.seed),
        segment=lambda w: merge_source(w)[1][0],
    output:
        record=f"{SEGMENTS}/merged_base.json",
        model=directory(f"{SEGMENTS}/merged_base"),
    log:
        f"{RESULTS}/logs/merge_adapter/{{organism}}/seed-{{seed}}/{{stage}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(merges),
        gpu=ON_GPU,
    params:
        adapter=lambda w: merge_source(w)[1][1],
        # All weights are trained from float32, so nothing is rounded away for them.
        dtype=lambda w: chain_of(w).recipe.dtype if chain_of(w).recipe.lora else "float32",
        code=code_digest("workflow_scripts.merge_adapter"),
    shell:
        "python -m workflow_scripts.merge_adapter --model {input.model:q} --adapter {params.adapter:q}"
        " --dtype {params.dtype} --out-model {output.model:q} --out {output.record:q} > {log:q} 2>&1"


rule training_curve:
    input:
        lambda w: PLAN.segments(w.organism),
    output:
        curve=f"{RESULTS}/training/{{organism}}.csv",
    log:
        f"{RESULTS}/logs/training_curve/{{organism}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        logs=lambda w, input: [f"{folder}/log.jsonl" for folder in input],
        code=code_digest("workflow_scripts.training_curve"),
    shell:
        "python -m workflow_scripts.training_curve --logs {params.logs:q} --out {output.curve:q} > {log:q} 2>&1"
