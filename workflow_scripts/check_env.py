"""Check that machine, keys, models and data that a study needs are there and work; say what to mend."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from workflow_scripts import api_preflight, judge_preflight
from workflow_scripts.em import environment, readiness
from workflow_scripts.em.authors import ApiAuthor
from workflow_scripts.em.data.private import find_secret
from workflow_scripts.em.environment import MISSING, OK, WARNING, Finding
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges import make_judge
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_facts import facts_from
from workflow_scripts.em.plan_tables import finding_lines
from workflow_scripts.em.provenance import run
from workflow_scripts.em.readiness_activations import activations
from workflow_scripts.em.remaining import disk_left
from workflow_scripts.em.study_files import load_plan

# An answer, or none, within half a minute.
BRIEF = {"attempts": 2, "timeout_s": 15}


def servers(plan: Plan) -> Iterator[Finding]:
    """Models behind servers that the study asks: the key is there, and one short question is answered."""
    config = plan.config
    sampling = [entry.plain() for entry in config.question_sets.values()][:1]
    for name in config.evaluation.judges:
        judge = config.judges[name]
        if judge.kind == "vllm":
            yield environment.vllm(f"judge {name}", judge.python)
        if judge.kind == "openai":
            entry = judge.plain() | BRIEF
            yield _asked(f"judge {name}", entry, lambda e, n=name: judge_preflight.checked(make_judge(e), n, False))
    for name, organism in config.organisms.items():
        if organism.api:
            ways = [[None, part] for part in sampling]
            entry = organism.api.plain() | BRIEF
            yield _asked(
                f"organism {name}", entry, lambda e, n=name, w=ways: api_preflight.checked(ApiAuthor(e), n, w, False)
            )
    if config.generation.backend == "vllm" and not config.generation.engine.url:
        yield environment.vllm("generation.engine", config.generation.engine.python)


def _asked(what: str, entry: dict, ask) -> Finding:
    key = entry["key_env"]
    if key and not find_secret(key):
        mend = f"export {key}=..., or put such a line into .env"
        return Finding(MISSING, what, f"no key: {key} is not set", mend)
    try:
        reply = ask(entry)
    except UserError as error:
        return readiness.refused(what, error)
    key_text = f"key {key} works, " if key else ""
    return Finding(OK, what, f"{key_text}{reply.get('model') or entry['model']} answers at {entry['base_url']}")


def study(models: readiness.Models, gpus: list[dict]) -> Iterator[Finding]:
    """What this study needs."""
    plan = models.plan
    yield from models.findings()
    yield from models.recipes(max((gpu["bytes"] for gpu in gpus), default=None), facts_from(models))
    yield from readiness.data(plan)
    yield from servers(plan)
    yield from activations(models)
    disk = disk_left(plan, None, facts_from(models), models)
    yield environment.disk(disk["kinds"], disk["free"], disk["uncounted"])


def configured(files: list[Path]) -> tuple[readiness.Models | None, list[Finding]]:
    """(models of the study, None where there is none or more than data are wrong of it; findings of the config)."""
    if not files:
        return None, []
    try:
        plan = load_plan(files)
    except UserError as error:
        first, *problems = str(error).splitlines()
        wrong = [Finding(MISSING, "config", text.strip()) for text in problems or [first]]
        with suppress(UserError):
            return readiness.Models(load_plan(files, data=False)), wrong
        return None, wrong
    return readiness.Models(plan), [Finding(OK, "config", f"{', '.join(map(str, files))}: study {plan.config.study}")]


def findings(files: list[Path], lock: Path, gpus: list[dict], known: tuple | None = None) -> Iterator[Finding]:
    """All lines of the check, as they are found; `known`: what `configured` gave of the files."""
    models, config = known or configured(files)
    yield environment.python()
    yield from environment.packages(lock)
    yield environment.key_file()
    real = models is not None and any(not base.toy for base in models.plan.config.base_models.values())
    yield environment.gpu(gpus, real)
    yield from config
    if models is not None:
        yield from study(models, gpus)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", nargs="+", default=[], type=Path, help="the study; none = this machine only")
    parser.add_argument("--lock", default=Path("envs/cpu.txt"), type=Path, help="pins that packages should have")
    args = parser.parse_args()
    from workflow_scripts.em.backends.devices import gpus

    statuses = []
    for finding in findings(args.configfile, args.lock, gpus()):
        statuses.append(finding.status)
        print(finding_lines(finding), flush=True)
    missing, warnings = statuses.count(MISSING), statuses.count(WARNING)
    print(f"{statuses.count(OK)} ok, {warnings} to look at, {missing} missing")
    sys.exit(bool(missing))


if __name__ == "__main__":
    run(main)
