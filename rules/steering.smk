# Steering: what adding a direction, or taking it out, did to the EM rate.


rule steering:
    input:
        rates=rules.rates.output.rates,
        directions=directions(PLAN.steering),
    output:
        report(f"{RESULTS}/statistics/steering.csv", category="Tables", caption="../docs/captions/steering.rst"),
    log:
        f"{RESULTS}/logs/steering.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        # a function, or braces in a prompt would be read as wildcards
        conditions=lambda w: in_order(PLAN.conditions | PLAN.steering),
        code=code_digest("workflow_scripts.steering"),
    shell:
        "python -m workflow_scripts.steering --rates {input.rates:q} --conditions {params.conditions:q} --out {output:q}"
        " > {log:q} 2>&1"


if STEERED_AT:
    TABLES += rules.steering.output
    DRAWN_FROM["steering"] = rules.steering.output
    # The one figure that shows what the others leave out.
    STYLE_OF["steering"] = {"condition": None}
