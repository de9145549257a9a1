"""What a study leaves on a disk: files, folders and bytes, kind by kind, before it is run."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import PurePath

from workflow_scripts.em.activation_plan import read_from
from workflow_scripts.em.amounts import answers, evaluations, read, seeds, set_sizes
from workflow_scripts.em.amounts import jobs as all_jobs
from workflow_scripts.em.conditions import Address
from workflow_scripts.em.layers import layers_of
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.saved_weights import FIRST, FULL, MERGED, Facts, saved, to_save

# Bytes measured on the toy studies (docs/scale.md): besides its text, a response and its line in the journal; a
# judgment of two scores, its lines, a table's row.
RESPONSE, ANSWERED, JUDGMENT, JUDGED, SCORE = 470, 260, 815, 570, 112
# A provenance record; a log; a small table; Snakemake's record of an output.
PROVENANCE, LOG, SMALL, RECORD = 1_500, 300, 3_000, 6_500
CHARS_A_TOKEN = 4.0
FLOAT32 = 4
TRAIN, ASK = ("train", "combine_adapters"), ("ask_models", "ask_engine", "ask_judge")
TABLES = ("scores", "training_curve", "training_details")


@dataclass(frozen=True)
class Kind:
    """Things of one kind in a study: how many, and files, folders and bytes of all of them together.

    `rules` make them; none: any job does.
    """

    name: str
    count: int
    files: int
    folders: int
    bytes: float
    rules: tuple[str, ...] = ()


def kinds(plan: Plan, facts: Facts) -> Iterator[Kind]:
    """What lies on disk after a whole run, kind by kind. `facts` gives a base model's record by its name.

    Answers are counted as long as they may be. Not counted: models, data, and the tables and figures of the whole
    study, some 150 files. Journals are shared with other studies: a line that is there is not written again.
    """
    counted, judges = all_jobs(plan), plan.config.evaluation.judges
    at = evaluations(plan)
    count, held = Counter(), Counter()
    for each in saved(plan, facts):
        count[each.kind], held[each.kind] = count[each.kind] + each.count, held[each.kind] + each.bytes
    yield Kind(FULL, count[FULL], 7 * count[FULL], count[FULL], held[FULL], TRAIN)
    yield Kind(FIRST, count[FIRST], 3 * count[FIRST], count[FIRST], held[FIRST], TRAIN)
    train = counted.get("train", 0) + counted.get("combine_adapters", 0)
    yield Kind("training jobs' records", train, 3 * train, train, train * (PROVENANCE + SMALL), TRAIN)
    if merged := count[MERGED]:
        yield Kind(MERGED, merged, 9 * merged, merged, held[MERGED], ("merge_adapter",))
    sizes = set_sizes(plan)
    parts = [part for each in at for part in answers(plan, sizes, each)]
    responses, text = sum(n for n, _ in parts), sum(n * new for n, new in parts) * CHARS_A_TOKEN
    size = responses * RESPONSE + text + len(at) * PROVENANCE
    yield Kind("responses", responses, 2 * len(at), 0, size, ("generate",))
    written = len(at) * len(judges)
    judged = responses * len(judges)
    yield Kind("judgments", judged, 2 * written, 0, written * PROVENANCE + judged * JUDGMENT, ("judge",))
    asked = counted.get("ask_models", 0) + counted.get("ask_engine", 0) + counted.get("ask_judge", 0)
    yield Kind("signs of what was asked", asked, 2 * asked, 0, asked * 2 * PROVENANCE, ASK)
    if files := read(plan):
        folders = counted["read_activations"]
        size = _activations(plan, facts, sizes) + folders * PROVENANCE
        yield Kind("activations", len(files), len(files) + 2 * folders, folders, size, ("read_activations",))
    tables = counted.get("scores", 0) + counted.get("training_curve", 0) + counted.get("training_details", 0)
    size = tables * (PROVENANCE + SMALL) + judged * SCORE
    yield Kind("tables of organisms", tables, 2 * tables, 0, size, TABLES)
    logs = sum(counted.values())
    yield Kind("logs", logs, logs, _folders(plan, at), logs * LOG)
    lines = responses * ANSWERED + judged * JUDGED + text
    yield Kind("journals", responses + judged, len(at) + written, len(at), lines, ("generate", "judge"))
    records = logs + counted.get("merge_adapter", 0) + counted.get("data_card", 0)
    yield Kind("Snakemake's records (.snakemake)", records, records, 0, records * RECORD)


def still(
    plan: Plan, facts: Facts, jobs: Mapping[str, int] | None = None, outputs: Set[str] | None = None
) -> Iterator[tuple[Kind, float]]:
    """(kind, bytes that jobs to run write of it): weights by the jobs' outputs, and of those that are not there.

    All else is the share of its jobs that are in `jobs`, rule -> number, whether it is there or not. Without jobs and
    outputs those of a whole run.
    """
    whole = all_jobs(plan)
    jobs = whole if jobs is None else jobs
    weights = to_save(plan, facts, {each.output for each in saved(plan, facts)} if outputs is None else outputs)
    for kind in kinds(plan, facts):
        if kind.name in (FULL, FIRST, MERGED):
            yield kind, weights[kind.name]
            continue
        rules = [rule for rule in kind.rules or whole if rule in whole]
        total = sum(whole[rule] for rule in rules)
        yield kind, kind.bytes * min(1.0, sum(jobs.get(rule, 0) for rule in rules) / total) if total else 0.0


def _activations(plan: Plan, facts: Facts, sizes: dict[str, int]) -> int:
    """Bytes of what readings read: a mean a response and layer, float32."""
    numbers = 0
    for name, reading in plan.config.activations.readings.items():
        for at in plan.readings(name):
            model = facts(plan.base_model(at[0]))
            layers = layers_of(reading.convention, model["layers"]) if reading.layers == "all" else reading.layers
            responses = sum(count for count, _ in answers(plan, sizes, read_from(plan, name, at)))
            numbers += responses * len(layers) * model["hidden"]
    return numbers * FLOAT32


def _folders(plan: Plan, at: list[Address]) -> int:
    """Folders that files of checkpoints stand in: <kind>/<organism>/seed-<n>/<stage>, each counted."""
    trained = [(c.organism, s, c.stage.name) for c in plan.chains.values() for s in seeds(plan, c)]
    evaluated = [each[:3] for each in at]
    # organisms and logs of training; responses, .asked and their logs; judgments and logs of each judge
    trees = {"trained": (trained, 2), "evaluated": (evaluated, 4 + 2 * len(plan.config.evaluation.judges))}
    total = 0
    for runs, times in trees.values():
        paths = {PurePath(str(organism), str(seed), stage) for organism, seed, stage in runs}
        total += times * len({folder for path in paths for folder in (path, *path.parents)})
    return total
