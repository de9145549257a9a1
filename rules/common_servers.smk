# What the rules of models behind servers ask of the plan.

from workflow_scripts.em.served import asked_by_api, made_apis, made_by_apis

# Models behind servers: organisms, and who writes data sets.
SERVED = {f"organisms.{name}": entry.api for name, entry in CONFIG.organisms.items() if entry.api}
SERVED |= {f"datasets.{name}.{role}": api for name in CONFIG.datasets for role, api in made_apis(PLAN, name).items()}


def preflight_of(served):
    return f"{RESULTS}/preflight/{served}.json"


def served_ways(w):
    """Every way in which a model behind a server is asked: [system prompt, sampling]."""
    section, _, name = w.served.partition(".")
    if section == "datasets":
        found, systems = [CONFIG.datasets[name.rpartition(".")[0]].made], [None]
    else:
        found, systems = ASKED.values(), [how["system"] for how in PLAN.conditions.values()]
    names = ("temperature", "top_p", "max_new_tokens")
    samplings = [{name: getattr(sampled, name) for name in names} for sampled in found]
    ways = [[system, sampling] for system in systems for sampling in samplings]
    return [way for i, way in enumerate(ways) if way not in ways[:i]]


def served_keys(api, bought):
    """The keys that say how answers are bought, or the others, which decide them."""
    return dumps({key: value for key, value in api.plain().items() if (key in BUYING) == bought})
