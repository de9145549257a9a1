# A plain Snakemake workflow with the shape of a study of emtrace: the same rules, jobs, wildcards, edges, directives and
# numbers of inputs, params and resources; all values plain, no library but Snakemake (tests/bench/scale.py, docs/scale.md).

R = "results/bare"
D = "data/decrypted/bare"
ORGANISMS = [f"organism_{i:04d}" for i in range(config["organisms"])]
STEPS = [5 * (i + 1) for i in range(config["steps"])]
SETS = [f"data_{i}" for i in range(config["sets"])]
RECIPES = [f"recipe_{i}" for i in range(config["recipes"])]
FIGURES = config["figures"]
TEXT = "x" * 300
CODE = "0123456789abcdef"
QUESTIONS = ["questions.yaml"]
EVALUATED = [0, *STEPS]
NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
ORGANISM = f"{R}/organisms/{{organism}}/seed-{{seed}}/{{stage}}"
AT = "{organism}/seed-{seed}/{stage}"


wildcard_constraints:
    organism=NAME,
    stage=NAME,
    judge=NAME,
    base_model=NAME,
    seed=r"\d+",
    step=r"\d+",


def segments(organism):
    return [f"{R}/organisms/{organism}/seed-0/em/to-{step}" for step in STEPS]


def to(step):
    return max(int(step), STEPS[0])


def train_inputs(w):
    number, at = int(w.organism[-4:]), STEPS.index(int(w.last))
    found = {"model": f"{R}/models/toy.json", "data": f"{D}/training_sets/data_{number % len(SETS)}"}
    if at:
        found["resume"] = f"{R}/organisms/{w.organism}/seed-{w.seed}/{w.stage}/to-{STEPS[at - 1]}"
    else:
        found["check"] = f"{R}/training/checks/toy/recipe_{number // len(SETS)}.json"
    return found


def generate_inputs(w):
    folder = f"{w.organism}/seed-{w.seed}/{w.stage}/to-{to(w.step)}"
    return {
        "model": f"{R}/models/toy.json",
        "segment": f"{R}/organisms/{folder}",
        "asked": f"{R}/responses/.asked/{folder}.json",
    }


SCORES = [f"{R}/scores/{organism}.csv" for organism in ORGANISMS]
KEPT = [
    path
    for organism in ORGANISMS
    for path in [
        *segments(organism),
        *(f"{R}/responses/{organism}/seed-0/em/step-{step}.jsonl" for step in EVALUATED),
        *(f"{R}/judgments/toy/{organism}/seed-0/em/step-{step}.jsonl" for step in EVALUATED),
    ]
]


rule all:
    default_target: True
    input:
        KEPT,
        expand(f"{R}/figures/{{kind}}.png", kind=FIGURES),
        [f"{R}/{name}.csv" for name in ("onset", "threshold_surface", "findings", "metrics", "summary")],
        f"{R}/latex/findings.tex",
        f"{R}/examples/examples.html",
        expand(f"{R}/training/{{organism}}.md", organism=ORGANISMS),
        expand(f"{R}/data/{{training_set}}.md", training_set=SETS),


rule decrypt:
    input:
        "data.zip.enc",
    output:
        directory(f"{D}/archives/{{archive}}"),
    log:
        f"{R}/logs/decrypt/{{archive}}.log",
    conda:
        "env.yaml"
    params:
        password="",
        pins="{{}}",
        content=CODE,
        code=CODE,
    shell:
        "echo {input:q} {params.password} {params.pins:q} {output:q} > {log:q}"


rule training_set:
    input:
        f"{D}/archives/toy",
    output:
        directory(f"{D}/training_sets/{{training_set}}"),
    log:
        f"{R}/logs/training_set/{{training_set}}.log",
    conda:
        "env.yaml"
    resources:
        objectives="sft",
    params:
        sources=TEXT,
        content=CODE,
        spec=TEXT,
        code=CODE,
    shell:
        "echo {params.sources:q} {params.spec:q} {resources.objectives} {output:q} > {log:q}"


rule data_card:
    input:
        data=f"{D}/training_sets/{{training_set}}",
        models=f"{R}/models/toy.json",
    output:
        card=report(f"{R}/data/{{training_set}}.md", category="Data"),
        numbers=f"{R}/data/{{training_set}}.json",
    log:
        f"{R}/logs/data_card/{{training_set}}.log",
    conda:
        "env.yaml"
    params:
        code=CODE,
    shell:
        "echo {input.data:q} {input.models:q} {output.card:q} > {log:q}"


rule base_model:
    output:
        f"{R}/models/{{base_model}}.json",
    log:
        f"{R}/logs/base_model/{{base_model}}.log",
    conda:
        "env.yaml"
    params:
        source="--hub x",
        content=CODE,
        code=CODE,
    shell:
        "echo {params.source} {output:q} > {log:q}"


rule training_check:
    input:
        f"{R}/models/{{base_model}}.json",
    output:
        f"{R}/training/checks/{{base_model}}/{{recipe}}.json",
    log:
        f"{R}/logs/training_check/{{base_model}}/{{recipe}}.log",
    wildcard_constraints:
        recipe=NAME,
    priority: 50
    conda:
        "env.yaml"
    resources:
        settings=TEXT,
        chats="--chats",
    params:
        recipe=TEXT,
    shell:
        "echo {input:q} {wildcards.recipe} {params.recipe:q} {resources.chats} {resources.settings:q} {output:q} > {log:q}"


rule train:
    input:
        unpack(train_inputs),
    output:
        directory(f"{ORGANISM}/to-{{last}}"),
    log:
        f"{R}/logs/train/{AT}/to-{{last}}.log",
    wildcard_constraints:
        last=r"[1-9]\d*",
    conda:
        "env.yaml"
    resources:
        settings=TEXT,
        tracking=f"{R}/tracking",
        gpu=0,
    params:
        start="--horizon 100",
        recipe=TEXT,
        steps=[0, 5],
        inflight=f"{R}/.inflight",
        code=CODE,
    shell:
        "echo {input.model:q} {input.data:q}/train.jsonl {params.start} {params.recipe:q} {wildcards.organism}"
        " {wildcards.stage} {wildcards.seed} {params.steps} {resources.settings:q} {resources.tracking:q}"
        " {params.inflight:q} {output:q} > {log:q}"


rule training_curve:
    input:
        lambda w: segments(w.organism),
    output:
        curve=f"{R}/training/{{organism}}.csv",
    log:
        f"{R}/logs/training_curve/{{organism}}.log",
    conda:
        "env.yaml"
    params:
        logs=lambda w, input: [f"{folder}/log.jsonl" for folder in input],
        code=CODE,
    shell:
        "echo {params.logs:q} {output.curve:q} > {log:q}"


rule training_details:
    input:
        segments=lambda w: segments(w.organism),
        base=f"{R}/models/toy.json",
        cards=lambda w: f"{R}/data/data_{int(w.organism[-4:]) % len(SETS)}.json",
    output:
        report(f"{R}/training/{{organism}}.md", category="Training"),
    log:
        f"{R}/logs/training_details/{{organism}}.log",
    conda:
        "env.yaml"
    params:
        plan=TEXT,
        data=f"{R}/data",
        organisms=f"{R}/organisms",
        code=CODE,
    shell:
        "echo {params.plan:q} {input.base:q} {params.data:q} {params.organisms:q} {output:q} > {log:q}"


rule ask_models:
    input:
        model=f"{R}/models/toy.json",
        segments=f"{ORGANISM}/to-{{last}}",
        questions=ancient(QUESTIONS),
    output:
        f"{R}/responses/.asked/{AT}/to-{{last}}.json",
    log:
        f"{R}/logs/ask_models/{AT}/to-{{last}}.log",
    wildcard_constraints:
        last=r"\d+",
    conda:
        "env.yaml"
    resources:
        batch_size=128,
        gpu=0,
    params:
        checkpoints=TEXT,
        conditions=TEXT,
        question_sets=TEXT,
        asked=CODE,
        dtype="float32",
        code=CODE,
    shell:
        "echo {input.model:q} {params.checkpoints:q} {params.conditions:q} {params.question_sets:q} {params.dtype}"
        " {resources.batch_size} {output:q} > {log:q}"


rule generate:
    input:
        unpack(generate_inputs),
        questions=ancient(QUESTIONS),
    output:
        f"{R}/responses/{AT}/step-{{step}}.jsonl",
    log:
        f"{R}/logs/generate/{AT}/step-{{step}}.log",
    conda:
        "env.yaml"
    resources:
        warn_cut="0.1",
        buying="{{}}",
        api_judging=0,
    params:
        by=TEXT,
        conditions=TEXT,
        question_sets=TEXT,
        asked=CODE,
        strip="[]",
        dtype="float32",
        code=CODE,
    shell:
        "echo {params.by} {resources.buying:q} {wildcards.organism} {wildcards.seed} {wildcards.stage} {wildcards.step}"
        " {params.conditions:q} {params.question_sets:q} {params.strip:q} {resources.warn_cut} {params.dtype}"
        " {output:q} > {log:q}"


rule judge:
    input:
        sources=ancient(["grammar.yaml"]),
        responses=rules.generate.output,
    output:
        f"{R}/judgments/{{judge}}/{AT}/step-{{step}}.jsonl",
    log:
        f"{R}/logs/judge/{{judge}}/{AT}/step-{{step}}.log",
    conda:
        "env.yaml"
    resources:
        buying="{{}}",
        api_judging=0,
    params:
        judge=TEXT,
        model="",
        questions="{{}}",
        sources=[CODE],
        code=[CODE, CODE],
    shell:
        "echo {input.responses:q} {wildcards.judge} {params.judge:q} {resources.buying:q} {params.model}"
        " {params.questions:q} {output:q} > {log:q}"


rule scores:
    input:
        lambda w: [f"{R}/judgments/toy/{w.organism}/seed-0/em/step-{step}.jsonl" for step in EVALUATED],
    output:
        f"{R}/scores/{{organism}}.csv",
    log:
        f"{R}/logs/scores/{{organism}}.log",
    conda:
        "env.yaml"
    params:
        domains="[]",
        code=CODE,
    shell:
        "echo {input:q} {params.domains:q} {output:q} > {log:q}"


def table(name, inputs, outputs):
    """A rule of one job over the whole study."""

    rule:
        name:
            name
        input:
            inputs,
        output:
            outputs,
        log:
            f"{R}/logs/{name}.log",
        conda:
            "env.yaml"
        params:
            definition="betley",
            scope="all",
            code=CODE,
        shell:
            "echo {input:q} {params.definition} {params.scope} {output:q} > {log:q}"


RATES = f"{R}/rates.csv"
table("rates", SCORES, [RATES, f"{R}/question_rates.csv", f"{R}/recipes.csv"])
table("metrics", SCORES, [f"{R}/metrics.csv"])
table("threshold_surface", SCORES, [f"{R}/threshold_surface.csv"])
table("findings", [RATES], [f"{R}/findings.csv"])
table("checkpoint_table", [RATES], [f"{R}/summary.csv"])
table("onset", [RATES], [f"{R}/onset.csv"])
table("latex", [RATES, f"{R}/findings.csv"], [f"{R}/latex/findings.tex"])
ENDS = [f"{R}/responses/{name}/seed-0/em/step-{step}.jsonl" for name in ORGANISMS for step in (0, STEPS[-1])]
table("examples", [*SCORES, *ENDS], [f"{R}/examples/examples.html"])


rule figure:
    input:
        lambda w: expand(f"{R}/training/{{o}}.csv", o=ORGANISMS) if w.kind == "training_curve" else RATES,
    output:
        png=f"{R}/figures/{{kind}}.png",
        svg=report(f"{R}/figures/{{kind}}.svg", category="Figures", labels={"figure": "{kind}"}),
        csv=f"{R}/figures/{{kind}}.csv",
    log:
        f"{R}/logs/figure/{{kind}}.log",
    wildcard_constraints:
        kind="|".join(FIGURES),
    conda:
        "env.yaml"
    params:
        style=TEXT,
        prefix=lambda w, output: output.png.removesuffix(".png"),
        code=[CODE, CODE],
    shell:
        "echo {wildcards.kind} {input:q} {params.style:q} {params.prefix:q} > {log:q}"
