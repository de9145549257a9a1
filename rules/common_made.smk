# What the rules of made data ask of the plan: who writes, what of it decides the rows, where the rows lie.

from workflow_scripts.em.constitution import constitution_digest, load_segments
from workflow_scripts.em.served import made_spec

MADE = f"{DECRYPTED}/made/{{dataset}}/rows.jsonl"


def made(w):
    return CONFIG.datasets[w.dataset].made


def made_names(source):
    return one_of([name for name, entry in CONFIG.datasets.items() if getattr(entry, source)])


def made_authors(w):
    """Records and checkpoints of the models that write a data set."""
    found = filter(None, map(PLAN.author, made(w).authors().values()))
    return sorted({path for record, segment, _ in found for path in (record, segment) if path})


def made_author(w, role):
    """What of an author decides its answers."""
    author = made(w).authors()[role]
    if author.api:
        return dumps({"api": {key: value for key, value in author.api.plain().items() if key not in BUYING}})
    record, _, checkpoint = PLAN.author(author)
    return dumps({"record": record, "checkpoint": checkpoint, "dtype": CONFIG.generation.dtype})


def made_buying(w):
    """The rest of authors behind a server: how their answers are bought."""
    apis = {role: author.api.plain() for role, author in made(w).authors().items() if author.api}
    return dumps({role: {key: value for key, value in api.items() if key in BUYING} for role, api in apis.items()})


def made_by_api(w):
    """Whether a server is asked: such jobs take turns with those of judges."""
    return int(any(author.api for author in made(w).authors().values()))


def plain_of(name):
    """The file of a data set that the user gave as it is."""
    return [path] if (path := CONFIG.datasets[name].path) else []


def reflected_source(w):
    name = made(w).dataset
    return ancient(PLAN.dataset(name)) if plain_of(name) else PLAN.dataset_source(name)


def made_preflights(w):
    return [preflight_of(f"datasets.{w.dataset}.{role}") for role in made_apis(PLAN, w.dataset)]


def made_on_gpu(w):
    return ON_GPU * any(author.api is None for author in made(w).authors().values())
