# What the rules ask of the plan: functions of wildcards, and what is the same for all jobs.

import re
import shlex
from functools import cache
from pathlib import Path

from snakemake.io import contains_wildcard

from workflow_scripts.em import amounts
from workflow_scripts.em.config.judging import BUYING, asks_at_once
from workflow_scripts.em.judges.prompted import prompt_file
from workflow_scripts.em.plan import TOYS as TOY_FOLDER
from workflow_scripts.em.questions import asked_digest, judge_prompts_digest
from workflow_scripts.em.requests import directions, is_asked
from workflow_scripts.em.running import WORKFLOW
from workflow_scripts.em.steered import STEERED, is_steered, plain_stage

# Part of no rule's code: stages run with this Python (or conda's), import from here, and fail on the first error.
CONDA = any("CONDA" in str(method).upper() for method in workflow.deployment_settings.deployment_method)
OWN_PYTHON = "" if CONDA else f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH "
shell.prefix(
    f"set -euo pipefail; export {OWN_PYTHON}PYTHONPATH={shlex.quote(EMTRACE)} PYTHONUNBUFFERED=1 {WORKFLOW}=$PPID; "
)

# Of a module's paths Snakemake changes those of inputs and outputs; the stages get some as params.
if workflow.modifier.path_modifier.replace_prefix(f"{RESULTS}/") != f"{RESULTS}/":
    raise WorkflowError(
        "emtrace as a module takes no `prefix` and no `replace_prefix`: another `study`, or another working directory"
        " (--directory), keeps its results apart (docs/module.md)."
    )


onstart:
    begin_study()
    begin_ready()
    begin_keeping()
    begin_progress()
    begin_jobs()


NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"


include: "common_crashes.smk"
include: "common_progress.smk"
include: "common_resources.smk"
include: "common_start.smk"
include: "common_training.smk"


wildcard_constraints:
    organism=NAME,
    stage=f"{NAME}(?:{STEERED})?",
    judge=NAME,
    base_model=NAME,
    table=NAME,
    seed=r"\d+",
    step=r"\d+",


def as_is(text):
    """A param whose braces are no wildcards. Where it has any, a function says so; each costs a call for every job."""
    return (lambda w: text) if contains_wildcard(text) else text


def password_option(w):
    name = CONFIG.archives[w.archive].password_env
    return shlex.join(["--password-env", name]) if name else ""


def mixture_of(w):
    return [part.dataset for part in CONFIG.training_sets[w.training_set].mixture]


def plain_sources(w):
    """Data files and blocklist that the user gave as they are; they are followed by content, like archives."""
    block_file = CONFIG.training_sets[w.training_set].filters.block_file
    files = [path for name in mixture_of(w) if (path := CONFIG.datasets[name].path)]
    return [*files, block_file] if block_file else files


def mixed_sources(w):
    plain = plain_sources(w)
    made = sorted({PLAN.dataset_source(name) for name in mixture_of(w)} - set(plain))
    return [*made, *map(ancient, plain)]


def trained_models(w):
    """Base models that are trained on a training set: their tokenizers count its tokens."""
    chains = PLAN.chains.values()
    return sorted(
        {
            PLAN.base_model(c.organism)
            for c in chains
            if w.training_set in (c.stage.training_set, c.stage.kl_training_set)
        }
    )


def objectives_of(w):
    """Objectives of the stages that train on a training set; what KL regularisation is on are chats or texts."""
    stages = [chain for chain in PLAN.chains.values() if chain.recipe]
    found = {chain.recipe.objective for chain in stages if chain.stage.training_set == w.training_set}
    return found | {"sft" for chain in stages if chain.stage.kl_training_set == w.training_set}


TOYS = {PLAN.toy_dir(name): base.toy for name, base in CONFIG.base_models.items() if base.toy}


def toy_of(w):
    return TOYS[f"{TOY_FOLDER}/{w.toy}"]


def model_folder(w):
    """The local folder of a base model that has one before it is resolved."""
    base = CONFIG.base_models[w.base_model]
    if base.toy:
        return f"{PLAN.toy_dir(w.base_model)}/{'tuned' if base.toy.tuned else 'base'}"
    return base.path or []


def model_input(w):
    base = CONFIG.base_models[w.base_model]
    return ancient(base.path) if base.path else model_folder(w)


def local_model_content(w):
    """A user's model folder is followed by content: small files by digest, weights by size and time of change."""
    folder = CONFIG.base_models[w.base_model].path
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file()) if folder else []
    states = [(path, path.stat()) for path in files]
    return [
        [str(path), sha256_file(path) if state.st_size < 2**24 else [state.st_size, state.st_mtime_ns]]
        for path, state in states
    ]


def model_source(w):
    base = CONFIG.base_models[w.base_model]
    words = ["--hub", base.hub, "--revision", base.revision] if base.hub else ["--path", model_folder(w)]
    return shlex.join(words) + (" --trust-remote-code" if base.trust_remote_code else "")


# --- judging

ASKED = {name: CONFIG.question_sets[name] for name in CONFIG.evaluation.question_sets}
QUESTION_SETS = in_order({name: asked.plain() for name, asked in ASKED.items()})
CONDITIONS = in_order(PLAN.conditions)


def kept(organism):
    """What a study keeps of an organism besides tables and figures: checkpoints, responses, judgments."""
    responses = map(PLAN.responses, PLAN.evaluations(organism))
    return [*PLAN.segments(organism), *responses, *PLAN.judged(organism)]


KEPT = [path for organism in CONFIG.organisms for path in kept(organism)]
KEPT += [path for table in CONFIG.tables for path in (PLAN.table_responses(table), *PLAN.judged(table))]


JUDGES = list(CONFIG.evaluation.judges)
QUESTIONS = {name: asked.path for name, asked in ASKED.items()}
JUDGED_TABLES = [name for name, table in CONFIG.tables.items() if table.rejudge]
TABLE_RESPONSES = list(map(PLAN.table_responses, JUDGED_TABLES))
UNSTEERED = [PLAN.responses(at) for organism in CONFIG.organisms for at in PLAN.unsteered(organism)] + TABLE_RESPONSES
STEERED_AT = [at for organism in CONFIG.organisms for at in PLAN.evaluations(organism) if is_steered(at[2])]
STEERED_RESPONSES = list(map(PLAN.responses, STEERED_AT))
# What a judge that is dear to start is asked about at once, by the sign that it was: steered answers wait for a
# direction, and that may wait for what a judge says of the others.
ASKED_ABOUT = {
    "asked": (UNSTEERED, " ".join([PLAN.globs("responses", lambda at: not is_steered(at[2])), *TABLE_RESPONSES])),
    f"asked{STEERED}": (STEERED_RESPONSES, PLAN.globs("responses", lambda at: is_steered(at[2]))),
}


def givers(metric):
    """How many judges and tables that are judged again give a metric."""
    return sum(metric in PLAN.metrics[name] for name in (*JUDGES, *JUDGED_TABLES))


@cache
def set_sizes():
    """Question set -> responses of one checkpoint under one condition."""
    return amounts.set_sizes(PLAN)


def responses_of_file(at):
    """Responses of an evaluation."""
    sizes = set_sizes()
    return sum(size for how in PLAN.asked(at).values() for name, size in sizes.items() if is_asked(how, name))


def counted_responses():
    """Options that name the files of responses by how many each holds; those of tables are there."""
    each = {at: responses_of_file(at) for name in CONFIG.organisms for at in PLAN.evaluations(name)}
    words = {n: PLAN.globs("responses", lambda at: each[at] == n) for n in sorted(set(each.values()))}
    return " ".join(
        f"--responses {n} {files}" for n, files in [*words.items(), (0, " ".join(TABLE_RESPONSES))] if files
    )


API_JUDGES = [name for name in CONFIG.judges if CONFIG.judges[name].kind == "openai"]
DEAR_JUDGES = [name for name in CONFIG.judges if asks_at_once(CONFIG.judges[name])]


def one_of(names):
    """A wildcard's constraint: one of these names (or none: the rule is not for this study)."""
    return "|".join(map(re.escape, names)) or "(?!)"


def judge_entry(name):
    """What of a judge's config entry decides its answers."""
    return dumps({key: value for key, value in CONFIG.judges[name].plain().items() if key not in BUYING})


def buying(name):
    """The rest: how its answers are bought."""
    return dumps({key: value for key, value in CONFIG.judges[name].plain().items() if key in BUYING})


def of_judges(give):
    """A param that depends on the judge only: as it is where it is the same for all."""
    told = {name: give(name) for name in CONFIG.judges}
    return as_is(told[JUDGES[0]]) if len(set(told.values())) == 1 and JUDGES else lambda w: told[w.judge]


def judge_model(name):
    """The option with the record of a judge's model, which is an input of its jobs."""
    base_model = getattr(CONFIG.judges[name], "base_model", None)
    return f"--model {RESULTS}/models/{base_model}.json" if base_model else ""


def judge_questions(name):
    """Question files whose own judge prompts the judge goes by."""
    return QUESTIONS if getattr(CONFIG.judges[name], "question_prompts", False) else {}


def judge_sources(name):
    """Files of a judge that a user may edit: grammar, keyword rules, labels, templates."""
    entry = CONFIG.judges[name].plain()
    own = [entry[key] for key in ("grammar", "rules", "path") if key in entry]
    return sorted([*own, *(str(prompt_file(metric, spec)) for metric, spec in entry.get("metrics", {}).items())])


@cache  # asked for every checkpoint's job
def judge_content(name):
    """Of those files the content, of question files the judge prompts alone: an edit makes just what it decides stale."""
    prompts = [judge_prompts_digest(ASKED.values())] if judge_questions(name) else []
    return [sha256_file(path) for path in judge_sources(name)] + prompts


def kind_digest(name):
    return code_digest(f"workflow_scripts.em.judges.{CONFIG.judges[name].kind}")


@cache
def judge_files(name):
    return ancient(sorted({*judge_sources(name), *judge_questions(name).values()}))


def judge_inputs(w):
    entry = CONFIG.judges[w.judge]
    found = {"sources": judge_files(w.judge)}
    if entry.kind == "openai":
        # Not ancient, here and below: Snakemake does not look at params of a job whose ancient input is made again, so a
        # judge with another model would keep its old judgments. What is judged again comes from the journal.
        found["preflight"] = f"{RESULTS}/judgments/{w.judge}/preflight.json"
    if hasattr(entry, "base_model"):
        found["model"] = f"{RESULTS}/models/{entry.base_model}.json"
    return found


def asked_before(w):
    """The sign that a judge that is dear to start has been asked."""
    asked = f"{RESULTS}/judgments/{w.judge}/asked{STEERED if is_steered(w.get('stage', '')) else ''}.json"
    return {"asked": asked} if asks_at_once(CONFIG.judges[w.judge]) else {}


# --- what a study shows: each topic's rules add their own, and figures.smk draws and gathers them

DRAWN_FROM = {}  # figure -> the tables it is drawn from
STYLE_OF = {}  # figure -> what it is told besides the style of all
TABLES = []  # tables for people
# Of these, what needs no score of alignment, figures by name: all that a study shows whose judges give labels only.
WITHOUT_ALIGNMENT = ["training_curve"]
