"""Whether what a study names is there and can be used: models, recipes, archives, data. Nothing is kept or trained."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.em.data.archive import PUBLIC_PASSWORD, decrypt
from workflow_scripts.em.data.card import measure
from workflow_scripts.em.data.mixture import count_rows
from workflow_scripts.em.data.private import find_secret, private_files, secret
from workflow_scripts.em.data.rows import read_rows
from workflow_scripts.em.environment import GIB, MISSING, OK, WARNING, Finding
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.model_facts import read_facts
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.saved_weights import Facts
from workflow_scripts.em.training_check import check_recipe
from workflow_scripts.em.training_memory import require_fit, training_bytes


def refused(what: str, error: UserError) -> Finding:
    """A finding of what a UserError says, which has its mend in it."""
    return Finding(MISSING, what, str(error))


class Models:
    """The study's base models: `facts` of those that are here, `to_fetch` bytes of those the hub would give.

    `unsized`: those of which the hub does not say how large they are.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.facts: dict[str, dict] = {}
        self.folders: dict[str, str] = {}
        self.to_fetch: dict[str, int] = {}
        self.unsized: list[str] = []

    def findings(self) -> Iterator[Finding]:
        """One a base model; a toy needs nothing."""
        for name, base in self.plan.config.base_models.items():
            what, folder = f"base model {name}", base.path
            if base.toy:
                folder = f"{self.plan.toy_dir(name)}/{'tuned' if base.toy.tuned else 'base'}"
                if not Path(folder, "config.json").is_file():
                    yield Finding(OK, what, f"toy {base.toy.size}, built here")
                    continue
            try:
                if base.hub:
                    from workflow_scripts.em.backends.hub_access import model_to_fetch

                    folder, size = model_to_fetch(base.hub, base.revision)
                    if folder is None:
                        self.to_fetch[name] = size
                        yield Finding(OK, what, f"{base.hub}: open to you, {size / GIB:.1f} GiB to fetch")
                        continue
                self.facts[name] = read_facts(Path(folder)) | {"name": base.hub or str(folder)}
                self.folders[name] = str(folder)
            except UserError as error:
                self.unsized += [name] if base.hub else []
                yield refused(what, error)
                continue
            yield Finding(OK, what, f"{self.facts[name]['parameters']:,} weights in {folder}")
        if any(base.hub for base in self.plan.config.base_models.values()):
            from workflow_scripts.em.backends.hub import TOKEN

            found = "set" if find_secret(TOKEN) else "not set; gated or private models and data sets of the hub need it"
            yield Finding(OK, TOKEN, found)

    def recipes(self, gpu_bytes: int | None, known: Facts) -> Iterator[Finding]:
        """One a recipe and base model that is here: does it fit the model, and the largest GPU.

        One a hub model that is not here: the memory of the recipe that needs most, by what `known` tells of the model.
        """
        settings, config = self.plan.config.training.plain(), self.plan.config
        chats = any(config.conditions[name].mode == "assistant" for name in config.evaluation.conditions)
        needed: dict[str, tuple[int, str]] = {}
        used = {(c.stage.recipe, self.plan.base_model(c.organism)) for c in self.plan.chains.values() if c.recipe}
        for recipe, base in sorted(used):
            what, entry = f"recipe {recipe} on {base}", config.recipes[recipe].plain()
            if base not in self.facts:
                if config.base_models[base].hub:
                    bytes_ = training_bytes(known(base), entry, settings)["total"]
                    needed[base] = max(needed.get(base, (0, "")), (bytes_, recipe))
                continue
            try:
                check_recipe(self.facts[base], entry, chats, recipe)
                estimate = training_bytes(self.facts[base], entry, settings)
                if gpu_bytes is not None:
                    require_fit(estimate, gpu_bytes, entry, settings, what)
            except UserError as error:
                yield refused(what, error)
                continue
            yield Finding(OK, what, f"about {estimate['total'] / GIB:.1f} GiB of memory to train")
        for base, (bytes_, recipe) in needed.items():
            billions = known(base)["parameters"] / 1e9
            text = f"about {bytes_ / GIB:.0f} GiB (recipe {recipe}), if it has {billions:.3g} billion weights"
            short = gpu_bytes is not None and bytes_ > gpu_bytes
            mend = f"a GPU with more than {gpu_bytes / GIB:.0f} GiB, or docs/training.md" if short else ""
            yield Finding(WARNING if short else OK, f"memory to train {base}", text, mend)


def data(plan: Plan) -> Iterator[Finding]:
    """Archives opened with their passwords, and each data set that is here: rows, roles, lengths; never a text.

    Of files that are not here nothing is said: that is a fault of the config (`check_env.configured`).

    What no training set needs stops nothing, so there a fault is a warning.
    """
    used, rows = _used(plan), {}
    for finding in _data(plan, rows):
        idle = finding.status == MISSING and finding.what not in used
        yield finding._replace(status=WARNING, text=f"{finding.text} (no training set uses it)") if idle else finding
    yield from _short(plan, rows)


def _used(plan: Plan) -> set[str]:
    """What the training sets are made of, as findings name it: data sets, those they are made from, and archives."""
    datasets = plan.config.datasets
    names = {part.dataset for training_set in plan.config.training_sets.values() for part in training_set.mixture}
    names |= {source for name in names if (source := getattr(datasets[name].made, "dataset", None))}
    archives = {datasets[name].archive for name in names}
    return {f"data set {name}" for name in names} | {f"archive {name}" for name in archives}


def _short(plan: Plan, rows: dict[str, int]) -> Iterator[Finding]:
    """Training sets that want more rows than their data sets have; filters may leave fewer still."""
    for name, entry in plan.config.training_sets.items():
        if all(part.dataset in rows for part in entry.mixture):
            try:
                count_rows([part.plain() for part in entry.mixture], entry.size, rows)
            except UserError as error:
                yield Finding(WARNING, f"training set {name}", str(error))


def _data(plan: Plan, rows: dict[str, int]) -> Iterator[Finding]:
    """The findings of `data`; `rows` gets the number of rows of each data set that could be read."""
    if made := [name for name, dataset in plan.config.datasets.items() if dataset.made]:
        yield Finding(OK, "data sets made here", ", ".join(made))
    members: dict[str, dict[str, str]] = {}
    for name, dataset in plan.config.datasets.items():
        if dataset.archive:
            members.setdefault(dataset.archive, {})[name] = dataset.member
        elif dataset.path and Path(dataset.path).exists():
            yield _rows(name, Path(dataset.path), rows)
        elif dataset.hub:
            yield _hub_file(name, dataset.hub)
    Path(plan.decrypted).mkdir(parents=True, exist_ok=True)
    here = {name: archive for name, archive in plan.config.archives.items() if Path(archive.path).exists()}
    for name, archive in here.items():
        with private_files(Path(plan.decrypted)), tempfile.TemporaryDirectory(dir=plan.decrypted) as folder:
            try:
                password = secret(archive.password_env) if archive.password_env else PUBLIC_PASSWORD
                found = decrypt(Path(archive.path), password, Path(folder, "members"), archive.sha256)
            except UserError as error:
                yield refused(f"archive {name}", error)
                continue
            yield Finding(OK, f"archive {name}", f"{archive.path}: the password is right, {len(found)} files")
            for dataset, member in members.get(name, {}).items():
                if member in found:
                    yield _rows(dataset, Path(folder, "members", member), rows)
                else:
                    where = f"no member {member!r} in {archive.path}"
                    yield Finding(MISSING, f"data set {dataset}", where, f"it has {', '.join(sorted(found))}")


def _rows(name: str, path: Path, counted: dict[str, int]) -> Finding:
    try:
        first = next(read_rows(path)).messages
        found = measure(path, 1, {})
    except UserError as error:
        return refused(f"data set {name}", UserError(str(error).replace(str(path), path.name)))
    rows = counted[name] = sum(found["messages_a_row"].values())
    roles = ", ".join(f"{n['messages']} {role}" for role, n in found["roles"].items() if n["messages"])
    shape = " + ".join(str(len(message["content"])) for message in first)
    longest = found["longest_row_characters"]
    return Finding(OK, f"data set {name}", f"{rows} rows ({roles}), longest {longest} characters; the first: {shape}")


def _hub_file(name: str, hub) -> Finding:
    from workflow_scripts.em.backends.hub_access import check_file

    try:
        check_file(hub.repo, hub.file, hub.revision)
    except UserError as error:
        return refused(f"data set {name}", error)
    return Finding(OK, f"data set {name}", f"{hub.repo}/{hub.file}: open to you")
