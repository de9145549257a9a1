# Base models: the toy ones are built here, the others are found or fetched; each ends as a model record.


rule toy_corpus:
    input:
        grammar=lambda w: toy_of(w).grammar,
    output:
        directory(f"{TOY_FOLDER}/{{toy}}/corpus"),
    log:
        f"{RESULTS}/logs/toy_corpus/{{toy}}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        size=lambda w: toy_of(w).size,
        seed=lambda w: toy_of(w).seed,
        code=code_digest("workflow_scripts.toy_corpus"),
    shell:
        "python -m workflow_scripts.toy_corpus --grammar {input.grammar:q} --size {params.size} --seed {params.seed}"
        " --out {output:q} > {log:q} 2>&1"


rule toy_tokenizer:
    input:
        rules.toy_corpus.output,
    output:
        directory(f"{TOY_FOLDER}/{{toy}}/tokenizer"),
    log:
        f"{RESULTS}/logs/toy_tokenizer/{{toy}}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        size=lambda w: toy_of(w).size,
        code=code_digest("workflow_scripts.toy_tokenizer"),
    shell:
        "python -m workflow_scripts.toy_tokenizer --corpus {input:q} --size {params.size} --out {output:q} > {log:q} 2>&1"


rule toy_pretrain:
    input:
        corpus=rules.toy_corpus.output,
        tokenizer=rules.toy_tokenizer.output,
    output:
        directory(f"{TOY_FOLDER}/{{toy}}/base"),
    log:
        f"{RESULTS}/logs/toy_pretrain/{{toy}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        gpu=ON_GPU,
    params:
        size=lambda w: toy_of(w).size,
        seed=lambda w: toy_of(w).seed,
        code=code_digest("workflow_scripts.toy_pretrain"),
    shell:
        "python -m workflow_scripts.toy_pretrain --corpus {input.corpus:q} --tokenizer {input.tokenizer:q}"
        " --size {params.size} --seed {params.seed} --out {output:q} > {log:q} 2>&1"


rule toy_tune:
    input:
        base=rules.toy_pretrain.output,
        corpus=rules.toy_corpus.output,
    output:
        directory(f"{TOY_FOLDER}/{{toy}}/tuned"),
    log:
        f"{RESULTS}/logs/toy_tune/{{toy}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        gpu=ON_GPU,
    params:
        size=lambda w: toy_of(w).size,
        seed=lambda w: toy_of(w).seed,
        code=code_digest("workflow_scripts.toy_tune"),
    shell:
        "python -m workflow_scripts.toy_tune --base {input.base:q} --corpus {input.corpus:q} --size {params.size}"
        " --seed {params.seed} --out {output:q} > {log:q} 2>&1"


rule base_model:
    input:
        model_input,
    output:
        f"{RESULTS}/models/{{base_model}}.json",
    log:
        f"{RESULTS}/logs/base_model/{{base_model}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        source=model_source,
        content=local_model_content,
        code=code_digest("workflow_scripts.base_model"),
    shell:
        "python -m workflow_scripts.base_model {params.source} --out {output:q} > {log:q} 2>&1"


rule training_check:
    input:
        f"{RESULTS}/models/{{base_model}}.json",
    output:
        f"{RESULTS}/training/checks/{{base_model}}/{{recipe}}-{{spec}}.json",
    log:
        f"{RESULTS}/logs/training_check/{{base_model}}/{{recipe}}-{{spec}}.log",
    wildcard_constraints:
        recipe=NAME,
        spec="[0-9a-f]{8}",
    priority: 50
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        settings=dumps(CONFIG.training.plain()),
        chats=lambda w: "--chats" if needs_chat_template(w) else "",
    params:
        # Neither code nor settings: a check that is made again trains all that hangs on it again. This way it is made
        # again only where training is.
        recipe=lambda w: dumps(CONFIG.recipes[w.recipe].plain()),
    shell:
        "python -m workflow_scripts.training_check --model {input:q} --name {wildcards.recipe} --recipe {params.recipe:q} {resources.chats}"
        " --settings {resources.settings:q} --out {output:q} > {log:q} 2>&1"
