# What jobs ask of a machine or a cluster. Nothing here decides a result, so a new value makes nothing stale.

from workflow_scripts.em import resources as needs
from workflow_scripts.em.base_facts import base_facts
from workflow_scripts.em.constitution import load_constitution
from workflow_scripts.em.engine_options import engine_gpus, gpus_of
from workflow_scripts.em.gpus import visible_gpus
from workflow_scripts.em.scratch import SCRATCH


def limited(name, found):
    """A counted resource's limit: what the command line or the profile says, else what was found here."""
    given = workflow.global_resources.get(name).value
    if given is None:
        workflow.register_resource(name, found)
    return found if given is None else given


# Jobs that ask a judge over the network take turns: each keeps to the judge's rate limits and concurrency by itself.
limited("api_judging", 1)
# So do jobs that hold a GPU: training, generation and local judges never share one. Where a cluster runs the jobs, its
# profile says how many there are; inside such a job those it was given count.
ON_GPU = int(limited("gpu", len(visible_gpus())) > 0)
# The nodes of a cluster fetch nothing: what comes from a hub is fetched where Snakemake was started.
if workflow.remote_exec:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
# With scratch on the node's own disk (em/scratch.py) what is compiled there stays there.
if os.environ.get(SCRATCH):
    for cache_of in ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "VLLM_CACHE_ROOT"):
        os.environ.setdefault(cache_of, f"{os.environ[SCRATCH]}/emtrace-caches/{cache_of}")
# A cluster's kinds of GPUs by their memory, where its profile has them.
GPU_MODELS = workflow.resource_settings._parsed_default_resources.get("gpu_models").raw


def begin_jobs():
    """At the start of a run: Snakemake makes the executor, which names the jobs, after it has read all this."""
    executor = workflow.scheduler._executor
    if hasattr(executor, "run_uuid"):
        end_submitted()
        # Without a prefix of the user's, which would hide what is left behind.
        executor.run_uuid = JOB_NAME + executor.run_uuid[-36:]
        if found := unwatched():
            print(
                f"{len(found)} jobs ended while no Snakemake looked, so it cannot see of what they made whether config or"
                f" code has changed since: {', '.join(found[:3])}{' ...' if len(found) > 3 else ''}; if you edited"
                " something in between, delete these outputs.",
                file=sys.stderr,
            )


def unwatched():
    """What jobs made that outlived their Snakemake: only it writes down what an output was made of."""
    done = (job for job in workflow.dag.jobs if job.output and not workflow.dag.needrun(job))
    return sorted(str(job.output[0]) for job in done if not workflow.persistence.has_metadata(job))


# Servers, and batches of a day, take their time; what the machine does is little.
ASKING_SERVERS = {"mem_mb": 2000, "runtime": 24 * 60}


def asked_by(need):
    """Resources of jobs that need what `need(wildcards)` says: (base model, Need)."""

    known = {}  # a job's resources are asked one by one

    def asked(w, attempt):
        at = (*w, attempt)
        if at not in known:
            base, needed = need(w) or (None, None)
            given = base and CONFIG.base_models[base].resources.plain()
            known[at] = base and needs.requested(needed, facts_of(base), given, attempt)
        return known[at]

    def ask(name):
        def value(w, attempt):
            found = asked(w, attempt)
            if found is None:
                return ASKING_SERVERS.get(name)
            if name == "gpu_model":
                memory = found["gpu_memory_gb"]
                return needs.gpu_model(GPU_MODELS, memory, attempt) if memory else None
            # No memory of a GPU where none is held: an engine of the user's.
            return found[name] or None

        return value

    # Each costs a call for every job.
    on_gpu = ["gpu_memory_gb", *(["gpu_model"] if GPU_MODELS else [])] if ON_GPU else []
    return {name: ask(name) for name in (*on_gpu, "mem_mb", "runtime")}


def facts_of(base):
    return known_facts(base, is_resolved(base))


def is_resolved(base):
    return os.path.exists(f"{RESULTS}/models/{base}.json")


@cache  # until the record is there: `resolved` is a key only
def known_facts(base, resolved):
    """What is known of a base model: its record, or what can be said before that is made."""
    return base_facts(CONFIG.base_models[base], Path(f"{RESULTS}/models/{base}.json"))


def asked_tokens(at):
    """(responses, most new tokens of one) of each question set that a checkpoint is asked."""
    return amounts.answers(PLAN, set_sizes(), at)


def trains(w):
    base, steps = PLAN.base_model(w.organism), int(w.last) - (previous_step(w) or 0)
    return base, training_need(base, is_resolved(base), chain_of(w).stage.recipe, steps)


@cache  # many jobs are alike
def training_need(base, resolved, recipe, steps):
    how = CONFIG.recipes[recipe].plain(), CONFIG.training.plain()
    return needs.training(known_facts(base, resolved), *how, steps, bool(ON_GPU))


def merges(w):
    base = PLAN.base_model(w.organism)
    return base, needs.merging(facts_of(base), bool(ON_GPU))


def exports_model(w):
    base = PLAN.base_model(exports.place(PLAN, w.export)[0].organism)
    return base, needs.merging(facts_of(base), bool(ON_GPU))


def asks(w):
    base, asked = base_of(segment_job(w)), [part for at, *_ in segment_job(w)[1] for part in asked_tokens(at)]
    how = CONFIG.generation
    return base, needs.answering(facts_of(base), how.dtype, how.batch_size, asked, bool(ON_GPU))


def base_of(job):
    """The base model of the checkpoints that are asked or read in one job."""
    return PLAN.base_model(job[1][0][0][0])


def serves(w):
    job, how = ENGINES[w.engine], CONFIG.generation
    base, tokens = base_of(job), sum(n * new for at, *_ in job[1] for n, new in asked_tokens(at))
    engine, gpu = how.engine.plain(), bool(ON_GPU and not how.engine.url)
    return base, needs.serving(facts_of(base), how.dtype, engine, engine_gpus(engine), tokens, gpu)


def reads(w):
    job, how = read_job(w), CONFIG.generation
    tokens = sum(n * (needs.PROMPT + new) for at, *_ in job[1] for n, new in asked_tokens(at))
    base = base_of(job)
    return base, needs.reading(facts_of(base), how.dtype, how.batch_size, tokens, bool(ON_GPU))


def judges(w):
    """A judge that is asked about the whole study at once, or about the injections."""
    judge = CONFIG.judges[w.judge]
    if judge.kind not in ("transformers", "vllm"):
        return None
    asked = sum(responses_of_file(at) for name in CONFIG.organisms for at in PLAN.evaluations(name))
    tokens = 2 * needs.PROMPT * asked * len(judge.metrics)
    facts, dtype = facts_of(judge.base_model), "bfloat16" if judge.dtype == "auto" else judge.dtype
    if judge.kind == "transformers":
        return judge.base_model, needs.reading(facts, dtype, judge.batch_size, tokens, bool(ON_GPU))
    engine = {"memory_share": 0.9}  # vLLM's own
    return judge.base_model, needs.serving(facts, dtype, engine, gpus_of(judge.arguments), tokens, bool(ON_GPU))


def judge_gpus(w):
    judge = CONFIG.judges[w.judge]
    return ON_GPU * (gpus_of(judge.arguments) if judge.kind == "vllm" else judge.kind == "transformers")


def writes(w):
    """The largest of the models here that write a data set."""
    how, authors = CONFIG.generation, made(w).authors().values()
    bases = [a.base_model or PLAN.base_model(a.organism) for a in authors if a.api is None]
    if not bases:
        return None
    base = max(bases, key=lambda name: facts_of(name)["parameters"])
    asked = [(written_rows(w), made(w).max_new_tokens)] * len(bases)
    return base, needs.answering(facts_of(base), how.dtype, how.batch_size, asked, bool(ON_GPU))


def written_rows(w):
    """Answers that one author of a data set writes."""
    spec, texts = made(w), load_constitution(made(w).constitution)
    prompts = texts.introspection if CONFIG.datasets[w.dataset].introspection else texts.prompts
    return len(prompts) * spec.samples * getattr(spec, "turns", 1)


def asks_only_apis(source):
    """Whether a rule that makes data sets asks nothing but servers; it then needs a network and no node."""
    given = [entry.made.authors().values() for entry in CONFIG.datasets.values() if getattr(entry, source)]
    return all(author.api for authors in given for author in authors)
