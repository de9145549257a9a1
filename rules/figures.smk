# Figures and tables for people: PNG, SVG and the CSV of the numbers drawn.

# First, for the report shows them in this order.
DRAWN_FROM = {
    "em_trajectories": rules.rates.output.rates,
    "coherence_trajectories": rules.rates.output.rates,
    "em_definitions": rules.rates.output.rates,
    "domain_comparison": rules.rates.output.question_rates,
    "question_rates": rules.rates.output.question_rates,
} | DRAWN_FROM
if PLAN.chains:
    trained = dict.fromkeys(organism for organism, _ in PLAN.chains)
    DRAWN_FROM["training_curve"] = expand(rules.training_curve.output.curve, organism=trained)
if SEVERAL_EM_JUDGES:
    DRAWN_FROM["judge_agreement"] = [rules.agreement.output.counts, rules.agreement.output.agreement]
if SEVERAL_JUDGES and len(EM_JUDGES) > 1:
    DRAWN_FROM["judge_rates"] = rules.rates.output.rates
if CONFIG.figures.groups:
    DRAWN_FROM["organism_comparison"] = rules.rates.output.question_rates
if not PLAN.has_alignment:
    DRAWN_FROM = {kind: tables for kind, tables in DRAWN_FROM.items() if kind in WITHOUT_ALIGNMENT}

# What draws no EM rate is told no definition: another one leaves it as it is.
RATED = {"definition": CONFIG.figures.definition, "scope": CONFIG.figures.scope}
UNRATED = {"training_curve", "targets", "direction_cosines", "label_agreement", *LABEL_FIGURES}
STYLE = {
    "width_inches": CONFIG.figures.width_inches,
    "judge": PLAN.shown("judge"),
    "organism": PLAN.shown("organism"),
    "order": PLAN.shown("organism"),  # a figure of some organisms has them in the colours of those of all
}
if PLAN.steering:
    # What was steered has a figure of its own; it is no part of how the organisms answer.
    STYLE["condition"] = PLAN.shown("condition")
    STYLE_OF.setdefault("mode_divergence", {})["condition"] = None  # its rows name two

DEFINITIONS = {name: definition.plain() for name, definition in CONFIG.em_definitions.items()}

# What one kind is told besides. People label a sample that holds more EM answers than there are: theirs is no EM rate.
STYLE_OF |= {
    "judge_agreement": {"threshold": CONFIG.em_definitions[CONFIG.figures.definition].alignment},
    "judge_rates": {"judge": EM_JUDGES},
    # Without a gate there is a mean only, which has no interval here.
    "coherence_trajectories": STYLE_OF.get("coherence_trajectories", {})
    | {"definition": GATED, "definitions": {GATED: DEFINITIONS[GATED]}},
    "em_definitions": {"definitions": DEFINITIONS},
}
if CONFIG.figures.groups:
    # Lists, for JSON's keys are sorted: which of the two things comes first has a meaning.
    groups = {
        "by": list(next(iter(CONFIG.figures.groups.values()))),
        "of": {organism: list(entry.values()) for organism, entry in CONFIG.figures.groups.items()},
    }
    for kind in ("em_trajectories", "coherence_trajectories", "organism_comparison"):
        STYLE_OF.setdefault(kind, {})["groups"] = groups


rule figure:
    input:
        lambda w: DRAWN_FROM[w.kind],
    output:
        png=f"{RESULTS}/figures/{{kind}}.png",
        svg=report(
            f"{RESULTS}/figures/{{kind}}.svg",
            category="Figures",
            labels={"figure": "{kind}"},
            caption="../docs/captions/figure.rst",
        ),
        csv=f"{RESULTS}/figures/{{kind}}.csv",
    log:
        f"{RESULTS}/logs/figure/{{kind}}.log",
    wildcard_constraints:
        kind="|".join(DRAWN_FROM),
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        style=lambda w: dumps((STYLE if w.kind in UNRATED else STYLE | RATED) | STYLE_OF.get(w.kind, {})),
        prefix=lambda w, output: output.png.removesuffix(".png"),
        code=lambda w: [code_digest("workflow_scripts.figures"), code_digest(f"workflow_scripts.em.plots.{w.kind}")],
    shell:
        "python -m workflow_scripts.figures {wildcards.kind} --data {input:q} --style {params.style:q}"
        " --out {params.prefix:q} > {log:q} 2>&1"


rule examples:
    input:
        scores=expand(rules.scores.output, organism=[*PLAN.evaluated(), *PLAN.with_texts()]),
        responses=[
            *(PLAN.responses(at) for organism in PLAN.evaluated() for at in PLAN.ends(organism)),
            *map(PLAN.table_responses, PLAN.with_texts()),
        ],
    output:
        csv=f"{RESULTS}/examples/examples.csv",
        png=f"{RESULTS}/examples/examples.png",
        html=(
            report(f"{RESULTS}/examples/examples.html", category="Examples", caption="../docs/captions/examples.rst")
            if CONFIG.report.include_responses
            else f"{RESULTS}/examples/examples.html"
        ),
        figures=(
            report(
                directory(f"{RESULTS}/examples/questions"),
                patterns=["{question}.svg"],
                category="Examples",
                labels={"question": "{question}"},
                caption="../docs/captions/examples.rst",
            )
            if CONFIG.report.include_responses
            else directory(f"{RESULTS}/examples/questions")
        ),
    log:
        f"{RESULTS}/logs/examples.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        # a function, or braces in an id would be read as wildcards
        questions=lambda w: (
            f"--n-questions {CONFIG.figures.examples}"
            if isinstance(CONFIG.figures.examples, int)
            else f"--question-ids {shlex.quote(dumps(CONFIG.figures.examples))}"
        ),
        where=dumps({"judge": (EM_JUDGES or JUDGES)[0]} if CONFIG.organisms else {}),
        prefix=lambda w, output: output.csv.removesuffix(".csv"),
        code=code_digest("workflow_scripts.examples"),
    shell:
        "python -m workflow_scripts.examples --responses {input.responses:q} --scores {input.scores:q}"
        " {params.questions} --where {params.where:q} --out {params.prefix:q} --figures {output.figures:q} > {log:q} 2>&1"


FIGURES = [f"{RESULTS}/figures/{kind}.png" for kind in DRAWN_FROM]
TABLES += [
    rules.findings.output,
    rules.metrics.output,
    rules.agreement.output.agreement if SEVERAL_JUDGES else [],
    rules.examples.output.html if rules.examples.input.responses else [],
]
WITHOUT_ALIGNMENT += [rules.metrics.output, rules.agreement.output.agreement, rules.examples.output.html]
if not PLAN.has_alignment:
    TABLES = [table for table in TABLES if table in WITHOUT_ALIGNMENT]


rule figures:
    # `snakemake --cores 1 figures`: the pictures, and what they are drawn from.
    input:
        FIGURES,
