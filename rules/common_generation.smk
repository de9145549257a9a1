# What the rules of generation ask of the plan: which model a checkpoint is, and which are asked in one job.

from types import SimpleNamespace


def evaluated(w):
    """(model record, segment folder or [], checkpoint folder or None) of an evaluated checkpoint."""
    found = PLAN.chains.get((w.organism, plain_stage(w.stage)))
    if found is not None:
        return PLAN.model_record(w.organism, found, w.seed), *PLAN.checkpoint(found, w.seed, int(w.step))
    ended = PLAN.last_chain(w.organism)
    record = PLAN.model_record(w.organism, ended, w.seed)
    return (record, *PLAN.checkpoint(ended, w.seed, ended.last)) if ended else (record, [], None)


def generate_inputs(w):
    if CONFIG.organisms[w.organism].api:
        return {"preflight": preflight_of(f"organisms.{w.organism}")}
    record, segment, _ = evaluated(w)
    return {
        "model": record,
        "segment": segment,
        "asked": ASKED_BY[at_of(w)],
        "directions": directions(PLAN.asked(at_of(w))),
    }


def at_of(w):
    return w.organism, int(w.seed), w.stage, int(w.step)


def generated_by(w):
    """Options that say which model answers, and what of them decides no answer."""
    api = CONFIG.organisms[w.organism].api
    if api:
        parts = [
            {key: value for key, value in api.plain().items() if (key in BUYING) == buys} for buys in (False, True)
        ]
        return shlex.join(["--api", dumps(parts[0])]), dumps(parts[1])
    record, _, checkpoint = evaluated(w)
    words = ["--model", record, *(["--adapter", checkpoint] if checkpoint else []), "--asked", ASKED_BY[at_of(w)]]
    return shlex.join(words), "{}"


def engine_name(at, record, checkpoint):
    """Adapters of one base share its engine; a fully fine-tuned checkpoint is a model of its own."""
    chain = PLAN.chains.get((at[0], at[2])) or PLAN.last_chain(at[0])
    whole = chain is not None and chain.recipe is not None and chain.recipe.lora is None
    name = Path(record).stem if Path(record).parent.name == "models" else digest(record)[:12]
    return name + (f"-{digest(checkpoint)[:12]}" if whole else "")


def segment_name(at):
    """Checkpoints of one training job are asked together; a model that is not trained further is asked by itself."""
    organism, seed, stage, step = at
    chain = PLAN.chains.get((organism, plain_stage(stage)))
    return f"{organism}/seed-{seed}/{stage}/to-{chain.segment(step)[-1] if chain else step}"


def asking_jobs():
    """Name -> (model record, [(checkpoint's address, segment folder, checkpoint folder)]): who is asked in one job."""
    found = {}
    for organism, entry in CONFIG.organisms.items():
        for at in [] if entry.api else PLAN.evaluations(organism):
            record, segment, checkpoint = evaluated(SimpleNamespace(**dict(zip(AT, at))))
            name = engine_name(at, record, checkpoint) if by_engine(at) else segment_name(at)
            found.setdefault(name, (record, []))[1].append((at, segment, checkpoint))
    return found


def by_engine(at):
    """No engine steers."""
    return CONFIG.generation.backend == "vllm" and not is_steered(at[2])


def job_conditions(job):
    """Conditions that a job's checkpoints are asked under; of those that steer, each says for which."""
    return {name: how for at, _, _ in job[1] for name, how in PLAN.asked(at).items()}


def asked_conditions(of):
    """A param: conditions as `of(wildcards)` says; the same for all jobs where nothing steers."""
    return (lambda w: in_order(of(w))) if PLAN.steering else as_is(CONDITIONS)


def asked_inputs(w):
    job = segment_job(w)
    return {"model": job[0], "segments": asked_segments(job), "directions": directions(job_conditions(job))}


def asked_segments(job):
    return sorted({segment for _, segment, _ in job[1] if segment})


def asked_checkpoints(job):
    return dumps([[*at[:2], plain_stage(at[2]), at[3], folder] for at, _, folder in job[1]])


def engine_base():
    """The record of the model that a server of the user's is to serve; one of ours gets it when it is started."""
    return sorted({record for record, _ in ENGINES.values()}) if CONFIG.generation.engine.url else []


def segment_job(w):
    return ASKING[f"{w.organism}/seed-{w.seed}/{w.stage}/to-{w.last}"]


API_ORGANISMS = [name for name, entry in CONFIG.organisms.items() if entry.api]
AT = ("organism", "seed", "stage", "step")
ASKING = asking_jobs()
ENGINES = {name: job for name, job in ASKING.items() if by_engine(job[1][0][0])}
ASKED_BY = {
    at: f"{RESULTS}/responses/{'.engines' if name in ENGINES else '.asked'}/{name}.json"
    for name, (_, parts) in ASKING.items()
    for at, _, _ in parts
}
