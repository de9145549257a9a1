# On request: how often a judge obeys an answer that tries to steer it. `snakemake results/<study>/injections/<judge>.csv`

from workflow_scripts.em.config.shipped import shipped

INJECTIONS = shipped("data/judges/injections.yaml")


rule injection_test:
    input:
        unpack(judge_inputs),
        injections=ancient(INJECTIONS),
    output:
        f"{RESULTS}/injections/{{judge}}.csv",
    log:
        f"{RESULTS}/logs/injection_test/{{judge}}.log",
    wildcard_constraints:
        judge=one_of(CONFIG.judges),
    localrule: all(name in API_JUDGES for name in CONFIG.judges)
    conda:
        "../envs/cpu.yaml"
    resources:
        **asked_by(judges),
        buying=lambda w: buying(w.judge),
        api_judging=lambda w: int(CONFIG.judges[w.judge].kind == "openai"),
        gpu=judge_gpus,
    params:
        judge=lambda w: judge_entry(w.judge),
        model=lambda w, input: f"--model {input.model}" if "model" in input.keys() else "",
        sources=lambda w: [sha256_file(INJECTIONS), *map(sha256_file, judge_sources(w.judge))],
        code=lambda w: [code_digest("workflow_scripts.injection_test"), kind_digest(w.judge)],
    # The summary is for the person who asked, so it goes to the terminal too.
    shell:
        "python -m workflow_scripts.injection_test --name {wildcards.judge} --judge {params.judge:q}"
        " --buying {resources.buying:q} {params.model} --injections {input.injections:q}"
        " --journal results/.journal/judgments --out {output:q} 2>&1 | tee {log:q}"
