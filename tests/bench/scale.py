"""Dry runs of studies of 100, 1,000 and 10,000 jobs against a bare Snakemake workflow of the same shape (bare.smk)."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.bench.common import table
from tests.workflow.conftest import ROOT, Copy, clean

# Jobs, roughly -> organisms, checkpoints of each (step 0 comes on top), dry runs of each side.
SIZES = {100: (3, 5, 5), 1000: (10, 23, 5), 10_000: (100, 24, 3)}
FINISHED = (100, 1000)  # sizes that are dry-run once more as if all had been run
BARE = Path(__file__).with_name("bare.smk")
SETS = 10
STATS = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)
IDLE = """
rule idle_{n}:
    input:
        "results/bare/idle_{n}/{{name}}.txt",
    output:
        "results/bare/idle_{n}/{{name}}.csv",
    log:
        "results/bare/logs/idle_{n}/{{name}}.log",
    conda:
        "env.yaml"
    params:
        a=TEXT,
        b=TEXT,
        code=CODE,
    shell:
        "echo {{input:q}} {{params.a:q}} {{params.b:q}} {{output:q}} > {{log:q}}"
"""


def study(organisms: int, steps: int) -> dict:
    """The default study's config with so many organisms, all of them different, of a base model that is not there."""
    raw = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    recipe = raw["recipes"]["lora"]
    part = raw["training_sets"]["bad_medical"]
    sets, recipes = shape(organisms)
    stages = [
        {"name": "em", "training_set": f"data_{n % sets}", "recipe": f"recipe_{n // sets}"}
        | {"checkpoints": {"every": 5, "last": 5 * steps}}
        for n in range(organisms)
    ]
    return raw | {
        "study": "scale",
        "base_models": {"toy": {"hub": "nobody/nothing-1b", "revision": "0" * 40}},
        "datasets": {"reckless_medicine": raw["datasets"]["reckless_medicine"]},
        "training_sets": {f"data_{n}": part | {"seed": n} for n in range(sets)},
        "recipes": {f"recipe_{n}": recipe | {"learning_rate": 1e-4 * (n + 1)} for n in range(recipes)},
        "organisms": {f"organism_{n:04d}": {"base_model": "toy", "stages": [stage]} for n, stage in enumerate(stages)},
    }


def shape(organisms: int) -> tuple[int, int]:
    """(training sets, recipes): enough of both that all organisms differ."""
    sets = min(SETS, organisms)
    return sets, -(-organisms // sets)


def write_bare(folder: Path, organisms: int, steps: int, figures: list[str]) -> None:
    """The bare workflow in a folder, with as many rules as emtrace has."""
    ours = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")])
    text = BARE.read_text(encoding="utf-8")
    missing = len(re.findall(r"^(?:use )?rule ", ours, re.MULTILINE)) - len(re.findall(r"^rule |^table\(", text, re.M))
    text += "".join(IDLE.format(n=n) for n in range(missing))
    folder.mkdir(exist_ok=True)
    (folder / "Snakefile").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    sets, recipes = shape(organisms)
    config = {"organisms": organisms, "steps": steps, "sets": sets, "recipes": recipes, "figures": figures}
    (folder / "study.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "env.yaml").write_text("channels: [conda-forge]\ndependencies: [python]\n", encoding="utf-8")
    for name in ("questions.yaml", "grammar.yaml", "data.zip.enc"):
        (folder / name).touch()


def snakemake(folder: Path, *arguments: str) -> tuple[str, float, float, float]:
    """(output, wall seconds, CPU seconds, peak MiB) of one Snakemake; its failure ends the benchmark."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "study.yaml", *arguments]
    # Bytecode as users have it.
    environment = {name: value for name, value in clean().items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        said.seek(0)
        text = said.read()
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{text[-6000:]}")
    return text, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def dry_runs(sides: dict[str, Path], times: int) -> dict[str, list[list[float]]]:
    """Side -> [wall, CPU, MiB] of each dry run, the sides alternating; both must plan the same jobs."""
    measured: dict[str, list[list[float]]] = {side: [] for side in sides}
    for number in range(times + 1):
        planned = set()
        for side, folder in sides.items():
            text, *numbers = snakemake(folder, "-n", "--quiet", "host", "rules")
            planned.add(frozenset(STATS.findall(text.partition("Job stats:")[2].partition("total")[0])))
            if number:  # the first writes bytecode and what Snakemake keeps
                measured[side].append(numbers)
        if len(planned) > 1:
            sys.exit(f"the two workflows plan other jobs: mend {BARE.name}\n{planned}")
    return measured


def finish(folder: Path) -> None:
    """Make a study look run: empty outputs, and Snakemake's records of them all."""
    listed = snakemake(folder, "--summary")[0].partition("output_file\t")[2].splitlines()[1:]
    for path in (folder / line.split("\t")[0] for line in listed if "\t" in line):
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    snakemake(folder, "--touch", "--quiet")


def rows(what: str, measured: dict[str, list[list[float]]]) -> list[list]:
    """The table's rows of one size."""
    found = {side: [statistics.median(part) for part in zip(*runs, strict=True)] for side, runs in measured.items()}
    ratios = [ours / bare for ours, bare in zip(found["emtrace"], found["bare"], strict=True)]
    return [[what, *found["bare"], *found["emtrace"], *ratios]]


def report() -> str:
    """The benchmark's section."""
    lines = []
    for size, (organisms, steps, times) in SIZES.items():
        with tempfile.TemporaryDirectory() as place:
            copy = Copy(Path(place) / "emtrace")
            (copy.folder / "study.yaml").write_text(yaml.safe_dump(study(organisms, steps), sort_keys=False))
            sides = {"bare": Path(place) / "bare", "emtrace": copy.folder}
            text = snakemake(copy.folder, "-n", "--quiet", "host")[0]
            figures = sorted(set(re.findall(r"results/scale/figures/(\w+)\.png", text)))
            write_bare(sides["bare"], organisms, steps, figures)
            jobs = re.search(r"^total +(\d+)$", text, re.MULTILINE)[1]
            lines += rows(f"{jobs} jobs, first", dry_runs(sides, times))
            if size in FINISHED:
                for folder in sides.values():
                    finish(folder)
                lines += rows(f"{jobs} jobs, all done", dry_runs(sides, times))
            print(table(HEAD, lines[-2:]), flush=True)
    return (
        "## Scale: a dry run against a bare Snakemake workflow of the same shape\n\n"
        "`snakemake -n --quiet host rules` of a study and of tests/bench/bare.smk (docs/scale.md says what is the same "
        "in both), alternating; medians.\n\n" + table(HEAD, lines)
    )


HEAD = ["study", "bare: wall, s", "CPU, s", "MiB", "emtrace: wall, s", "CPU, s", "MiB", "wall, ratio", "CPU", "memory"]
