# Published numbers beside ours.


rule literature:
    input:
        rates=rules.rates.output.rates,
        published=ancient(CONFIG.literature.path),
    output:
        report(f"{RESULTS}/statistics/literature.csv", category="Tables", caption="../docs/captions/literature.rst"),
    log:
        f"{RESULTS}/logs/literature.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        compare=dumps(CONFIG.literature.compare),
        definitions=rules.rates.params.definitions,
        content=sha256_file(CONFIG.literature.path) if CONFIG.literature.compare else "",
        code=code_digest("workflow_scripts.literature"),
    shell:
        "python -m workflow_scripts.literature --rates {input.rates:q} --published {input.published:q}"
        " --compare {params.compare:q} --definitions {params.definitions:q} --out {output:q} > {log:q} 2>&1"


if CONFIG.literature.compare:
    DRAWN_FROM["literature"] = rules.literature.output
