"""The whole default study against a script that takes one thing after the other, with a judge that answers in 0.5 s."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.bench import sequential
from tests.bench.common import table
from tests.bench.judging import KEY_ENV
from tests.servers.process import ApiServer
from tests.workflow.conftest import Cold, Copy, clean
from workflow_scripts.em.files import read_json, read_jsonl

LATENCY_S, CORES = 0.5, 2
MODEL = "results/default/models/toy.json"
DATA = "data/decrypted/default/training_sets/bad_medical/train.jsonl"


def study(copy: Copy, *targets: str) -> float:
    """Seconds of one `snakemake --cores 2`."""
    start = time.perf_counter()
    done = copy.snakemake(*targets, config=None)
    if done.returncode:
        sys.exit(f"the study failed:\n{done.stderr[-6000:]}")
    return time.perf_counter() - start


def counts(copy: Copy) -> dict[str, float]:
    """What the finished study holds."""
    results = copy.folder / "results/default"
    responses = list(results.glob("responses/**/step-*.jsonl"))
    rows = [row for path in responses for row in read_jsonl(path)]
    judged = [read_json(path) for path in results.glob("judgments/**/step-*.jsonl.provenance.json")]
    return {
        "trainings": len({path.parent for path in responses}),
        "checkpoints": len(responses),
        "responses": len(rows),
        "judgments": sum(sum(record["statuses"].values()) for record in judged),
        "bought": sum(record["calls_answered"] for record in judged),
        "tokens": sum(row["n_tokens"] for row in rows) / len(rows),
    }


def in_sequence(copy: Copy, url: str, place: str) -> dict[str, float]:
    """Seconds of the script's parts."""
    base = read_json(copy.folder / MODEL)["path"]
    base = str((copy.folder / base).resolve())
    command = [sys.executable, "-m", "tests.bench.sequential", base, str(copy.folder / DATA), url, place]
    environment = clean() | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report() -> str:
    """The benchmark's section."""
    os.environ[KEY_ENV] = ApiServer.key
    with tempfile.TemporaryDirectory() as place, ApiServer() as server:
        server.configure(latency_ms=1000 * LATENCY_S)
        copy = Cold(Path(place) / "study")
        file = copy.folder / "config.yaml"
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        judge = {"kind": "openai", "model": "judge", "base_url": server.url, "key_env": KEY_ENV}
        config["judges"], config["evaluation"]["judges"] = {"judge": judge}, ["judge"]
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        base = study(copy, MODEL)
        rest = study(copy)
        found = counts(copy)
        server.reset()
        server.configure(latency_ms=1000 * LATENCY_S)
        parts = in_sequence(copy, server.url, place)
    rows = [
        ["making the toy base model", "as emtrace does it", base, 1],
        ["imports", "1", parts["imports"], 1],
        ["training run of 45 steps, 6 checkpoints saved", "1", parts["training"], found["trainings"]],
        ["loading base and adapter", str(sequential.LOADS), parts["load"], found["checkpoints"]],
        ["response, one prompt at a time", str(sequential.RESPONSES), parts["response"], found["responses"]],
        ["judge request, one at a time", str(sequential.REQUESTS), parts["request"], found["judgments"]],
        ["figure", "1", parts["figure"], 1],
    ]
    rows = [[*row, row[2] * row[3]] for row in rows]
    whole, ours = sum(row[-1] for row in rows), base + rest
    waiting = parts["request"] * found["judgments"]
    rows.append(["**the script, sum**", "", "", "", whole])
    rows.append([f"**emtrace, `snakemake --cores {CORES}`**", "the whole study", "", 1, ours])
    return (
        "## The whole default study against a script that takes one thing after the other\n\n"
        f"Same toy model, data, checkpoints, questions and counts; the judge of both is the test server, which answers "
        f"after {LATENCY_S:g} s, asked for alignment and coherence. emtrace ran whole, once, from nothing "
        f"({base:.0f} s for the base model, {rest:.0f} s for the rest, judge's default of 32 requests in flight). The "
        "script would take hours: its parts were measured on the sample named and multiplied by the study's counts.\n\n"
        + table(["part of the script", "measured", "seconds each", "count", "seconds"], rows)
        + f"\n\n**emtrace takes 1/{whole / ours:.1f} of the time.** Without the {waiting:.0f} s in which the script "
        f"waits for the judge (emtrace's wait stays in its time) it would be 1/{(whole - waiting) / ours:.1f}. Mean "
        f"tokens a response: {found['tokens']:.1f} in emtrace's, {parts['tokens']:.1f} in the script's sample. emtrace "
        f"bought {found['bought']} of {found['judgments']} judgments: an answer given twice is judged once.\n"
    )
