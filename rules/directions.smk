# Directions between means of activations, projections on them, and how these drift along training.

from workflow_scripts.em.config.onset import DRIFT_STEPS


include: "common_directions.smk"


rule direction:
    input:
        a=lambda w: side_file(w, "a")[0],
        b=lambda w: side_file(w, "b")[0],
        judgments_a=lambda w: side_judgments(w, "a"),
        judgments_b=lambda w: side_judgments(w, "b"),
    output:
        f"{RESULTS}/directions/{{direction}}/seed-{{seed}}.safetensors",
    log:
        f"{RESULTS}/logs/direction/{{direction}}/seed-{{seed}}.log",
    wildcard_constraints:
        direction=one_of(DIRECTIONS),
    conda:
        "../envs/cpu.yaml"
    params:
        a=lambda w: side_file(w, "a")[1],
        b=lambda w: side_file(w, "b")[1],
        base_model=lambda w: PLAN.base_model(DIRECTIONS[w.direction].a.organism),
        judgments=judgments_options,
        sides=direction_sides,
        code=code_digest("workflow_scripts.direction"),
    shell:
        "python -m workflow_scripts.direction --direction {wildcards.direction:q} --seed {wildcards.seed}"
        " --base-model {params.base_model:q} --a {params.a:q} --b {params.b:q} {params.judgments} --sides {params.sides:q}"
        " --out {output:q} > {log:q} 2>&1"


rule directions:
    input:
        MADE_DIRECTIONS,
    output:
        directions=report(
            f"{RESULTS}/statistics/directions.csv", category="Tables", caption="../docs/captions/directions.rst"
        ),
        cosines=report(
            f"{RESULTS}/statistics/direction_cosines.csv",
            category="Tables",
            caption="../docs/captions/direction_cosines.rst",
        ),
    log:
        f"{RESULTS}/logs/directions.log",
    conda:
        "../envs/cpu.yaml"
    params:
        out=subpath(output.directions, parent=True),
        code=code_digest("workflow_scripts.directions"),
    shell:
        "python -m workflow_scripts.directions --directions {input:q} --out {params.out:q} > {log:q} 2>&1"


rule project:
    input:
        directions=lambda w: [PLAN.direction_file(name) for name in projected_on(w.organism)],
        activations=projected_folders,
    output:
        f"{RESULTS}/projections/{{organism}}.csv",
    log:
        f"{RESULTS}/logs/project/{{organism}}.log",
    wildcard_constraints:
        organism=one_of(PROJECTED),
    conda:
        "../envs/cpu.yaml"
    params:
        directions=lambda w: in_order(
            {name: [PLAN.direction_file(name), readings] for name, readings in projected_on(w.organism).items()}
        ),
        activations=projected_words,
        domains=lambda w: dumps(PLAN.domains(w.organism)),
        code=code_digest("workflow_scripts.project"),
    shell:
        "python -m workflow_scripts.project --activations {params.activations} --directions {params.directions:q}"
        " --domains {params.domains:q} --out {output:q} > {log:q} 2>&1"


rule projections:
    input:
        projections=expand(rules.project.output, organism=PROJECTED),
        rates=rules.rates.output.rates if PLAN.has_alignment else [],
    output:
        projections=report(
            f"{RESULTS}/statistics/projections.csv", category="Tables", caption="../docs/captions/projections.rst"
        ),
        points=(
            report(
                f"{RESULTS}/statistics/projection_points.csv",
                category="Tables",
                caption="../docs/captions/projection_points.rst",
            )
            if PLAN.has_alignment
            else []
        ),
        em=(
            report(
                f"{RESULTS}/statistics/projection_em.csv",
                category="Tables",
                caption="../docs/captions/projection_em.rst",
            )
            if PLAN.has_alignment
            else []
        ),
    log:
        f"{RESULTS}/logs/projections.log",
    conda:
        "../envs/cpu.yaml"
    params:
        rates=lambda w, input: (
            f"--rates {input.rates} --definition {CONFIG.figures.definition}" if input.rates else ""
        ),
        out=subpath(output.projections, parent=True),
        code=code_digest("workflow_scripts.projections"),
    shell:
        "python -m workflow_scripts.projections --projections {input.projections:q} {params.rates} --out {params.out:q}"
        " > {log:q} 2>&1"


rule drift:
    input:
        rules.projections.input.projections,
    output:
        drift=report(f"{RESULTS}/statistics/drift.csv", category="Tables", caption="../docs/captions/drift.rst"),
        contrasts=report(
            f"{RESULTS}/statistics/drift_contrasts.csv",
            category="Tables",
            caption="../docs/captions/drift_contrasts.rst",
        ),
    log:
        f"{RESULTS}/logs/drift.log",
    conda:
        "../envs/cpu.yaml"
    params:
        out=subpath(output.drift, parent=True),
        code=code_digest("workflow_scripts.drift"),
    shell:
        "python -m workflow_scripts.drift --projections {input:q} --out {params.out:q} > {log:q} 2>&1"


DRIFTS = most_steps() >= DRIFT_STEPS
if DIRECTIONS:
    # None of these needs a score of alignment.
    told, drawn = [rules.directions.output.directions], {}
    told += [rules.projections.output.projections] if PROJECTED else []
    told += [rules.directions.output.cosines] if len(MADE_DIRECTIONS) > 1 else []
    told += [rules.drift.output.drift, rules.drift.output.contrasts] if DRIFTS else []
    if PROJECTED:
        drawn["projection_trajectories"] = rules.projections.output.projections
    # `all` has three letters, so it counts as several.
    if any(len(CONFIG.activations.readings[name].layers) > 1 for name in PROJECTED_READINGS):
        drawn["projection_layers"] = [rules.projections.output.projections, rules.directions.output.directions]
    if len(MADE_DIRECTIONS) > 1:
        drawn["direction_cosines"] = rules.directions.output.cosines
    if DRIFTS:
        drawn["drift"] = [rules.drift.output.drift, rules.drift.output.contrasts]
    WITHOUT_ALIGNMENT += [*told, *drawn]
    if PLAN.has_alignment and PROJECTED:
        told += [rules.projections.output.points, rules.projections.output.em]
        drawn["projection_em"] = [rules.projections.output.points, rules.projections.output.em]
    TABLES += told
    DRAWN_FROM |= drawn
    layers = {name: direction.layer for name, direction in DIRECTIONS.items() if direction.layer is not None}
    for kind in drawn:
        STYLE_OF[kind] = {"layers": layers}
