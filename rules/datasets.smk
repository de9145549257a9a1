# Encrypted archives, plain files and hub files -> training sets. Everything readable stays in data/decrypted/.


rule decrypt:
    input:
        ancient(lambda w: CONFIG.archives[w.archive].path),
    output:
        directory(f"{DECRYPTED}/archives/{{archive}}"),
    log:
        f"{RESULTS}/logs/decrypt/{{archive}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        password=password_option,
        pins=lambda w: dumps(CONFIG.archives[w.archive].sha256),
        # Snakemake compares the contents of small files only; a touched archive must not make a study stale.
        content=lambda w: sha256_file(CONFIG.archives[w.archive].path),
        code=code_digest("workflow_scripts.decrypt"),
    shell:
        "python -m workflow_scripts.decrypt --archive {input:q} {params.password} --pins {params.pins:q}"
        " --out {output:q} > {log:q} 2>&1"


rule fetch_dataset:
    output:
        f"{DECRYPTED}/hub/{{dataset}}/rows.jsonl",
    log:
        f"{RESULTS}/logs/fetch_dataset/{{dataset}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        hub=lambda w: CONFIG.datasets[w.dataset].hub,
        code=code_digest("workflow_scripts.fetch_dataset"),
    shell:
        "python -m workflow_scripts.fetch_dataset --repo {params.hub.repo:q} --file {params.hub.file:q}"
        " --revision {params.hub.revision:q} --out {output:q} > {log:q} 2>&1"


rule training_set:
    input:
        mixed_sources,
    output:
        directory(f"{DECRYPTED}/training_sets/{{training_set}}"),
    log:
        f"{RESULTS}/logs/training_set/{{training_set}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        # Not a param: it decides no row, and is only checked.
        objectives=lambda w: " ".join(sorted(objectives_of(w))),
    params:
        sources=lambda w: dumps({name: PLAN.dataset(name) for name in mixture_of(w)}),
        content=lambda w: [sha256_file(path) for path in plain_sources(w)],
        spec=lambda w: dumps(CONFIG.training_sets[w.training_set].plain()),
        code=code_digest("workflow_scripts.training_set"),
    shell:
        "python -m workflow_scripts.training_set --sources {params.sources:q} --spec {params.spec:q}"
        " --objectives {resources.objectives} --out {output:q} > {log:q} 2>&1"


rule data_card:
    input:
        data=f"{DECRYPTED}/training_sets/{{training_set}}",
        models=lambda w: [f"{RESULTS}/models/{name}.json" for name in trained_models(w)],
    output:
        card=report(f"{RESULTS}/data/{{training_set}}.md", category="Data", caption="../docs/captions/data_card.rst"),
        numbers=f"{RESULTS}/data/{{training_set}}.json",
    log:
        f"{RESULTS}/logs/data_card/{{training_set}}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        code=code_digest("workflow_scripts.data_card"),
    shell:
        "python -m workflow_scripts.data_card --training-set {input.data:q} --models {input.models:q}"
        " --out {output.card:q} > {log:q} 2>&1"
