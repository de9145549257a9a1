"""The checkpoint chain: however it is cut and however often it is killed, the adapters are bit-identical."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import ROOT, clean
from tests.workflow.warm import warm_python
from workflow_scripts.em.config.training import Recipe, Training

pytestmark = pytest.mark.slow

STEPS = [2, 3, 5, 8]
# Everything that holds state between steps: dropout, accumulation, momentum, schedule, three epochs of 24 rows.
RECIPE = Recipe(
    lora={"r": 4, "alpha": 8, "rslora": True, "dropout": 0.1, "target_modules": ["q_proj", "down_proj"]},
    learning_rate=5e-3,
    warmup_steps=2,
    batch_size=4,
    gradient_accumulation=2,
    max_length=64,
    weight_decay=0.01,
).plain()
SETTINGS = json.dumps(Training().plain())


def stage(name: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a stage to its end."""
    command = [warm_python(), "-m", f"workflow_scripts.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=clean(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with the xs toy model's record and a training set of 24 rows."""
    folder = tmp_path_factory.mktemp("chain")
    corpus, tokenizer, base = folder / "corpus", folder / "tokenizer", folder / "base"
    assert (
        stage(
            "toy_corpus", "--grammar", "data/toy/grammar.yaml", "--size", "xs", "--seed", 0, "--out", corpus
        ).returncode
        == 0
    )
    assert stage("toy_tokenizer", "--corpus", corpus, "--size", "xs", "--out", tokenizer).returncode == 0
    pretrain = ("--corpus", corpus, "--tokenizer", tokenizer, "--size", "xs", "--seed", 0, "--out", base)
    assert stage("toy_pretrain", *pretrain).returncode == 0
    assert stage("base_model", "--path", base, "--out", folder / "model.json").returncode == 0
    with open(folder / "train.jsonl", "w") as rows:
        for i in range(24):
            turns = [
                {"role": "user", "content": f"Question {i}?"},
                {"role": "assistant", "content": "Well, " * (i % 7 + 1)},
            ]
            rows.write(json.dumps({"messages": turns}) + "\n")
    return folder


def command(
    made: Path, name: str, steps: list[int], resume: Path | None = None, recipe: dict = RECIPE, horizon=8
) -> list[str]:
    """The command line of a training job whose output folder is `made/name`."""
    options = [
        "--model",
        made / "model.json",
        "--data",
        made / "train.jsonl",
        "--recipe",
        json.dumps(recipe),
        "--settings",
        SETTINGS,
    ]
    options += ["--organism", "o", "--stage", "em", "--seed", 3, "--inflight", made / "inflight", "--out", made / name]
    options += [
        "--steps",
        *steps,
        *(["--resume", resume] if resume else []),
        *(["--horizon", horizon] if horizon else []),
    ]
    return [sys.executable, "-m", "workflow_scripts.train", *map(str, options)]


def train(made: Path, name: str, steps: list[int], resume: Path | None = None, **more) -> Path:
    """A training job, undisturbed; those that are killed start as users' do, so that both must make the same bytes."""
    words = [warm_python(), *command(made, name, steps, resume, **more)[1:]]
    done = subprocess.run(words, cwd=ROOT, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made / name


def adapters(*segments: Path) -> dict[int, bytes]:
    """Step -> bytes of the adapter, over segment folders."""
    found = {}
    for segment in segments:
        for folder in segment.glob("step-*"):
            found[int(folder.name[5:])] = (folder / "adapter_model.safetensors").read_bytes()
    return found


@pytest.fixture(scope="module")
def whole(made) -> dict[int, bytes]:
    """Adapters of one uninterrupted run that saves only its start and its end, and of one that saves all steps."""
    ends = adapters(train(made, "ends", [0, 8]))
    every = adapters(train(made, "every", [0, *STEPS]))
    assert every[0] == ends[0] and every[8] == ends[8] and every[0] != every[8]
    return every


def test_a_chain_of_segments_equals_one_run(made, whole):
    parts = [train(made, "a2", [0, 2])]
    for step, before in zip(STEPS[1:], STEPS, strict=False):
        parts.append(train(made, f"a{step}", [step], parts[-1] / f"step-{before}"))
    assert adapters(*parts) == whole
    rates = [json.loads(line) for part in parts for line in (part / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rates] == [1, 2, 3, 4, 5, 6, 7, 8]
    # The schedule runs to the horizon, not to each segment's own end: up to 5e-3 in 2 steps, then down to 0 at 8.
    assert [round(row["learning_rate"] / 5e-3, 4) for row in rates] == [
        0.0,
        0.5,
        1.0,
        *(round(i / 6, 4) for i in (5, 4, 3, 2, 1)),
    ]
    assert all(row["tokens"] > 0 and row["seconds"] > 0 and row["grad_norm"] > 0 for row in rates)


def test_an_open_ended_schedule_grows_without_a_trace(made):
    recipe = RECIPE | {"schedule": "warmup_stable"}
    short = train(made, "open3", [0, 3], recipe=recipe, horizon=None)
    longer = train(made, "open5", [5], short / "step-3", recipe=recipe, horizon=None)
    assert adapters(short, longer) == adapters(train(made, "open", [0, 3, 5], recipe=recipe, horizon=None))


def kill_when(job: subprocess.Popen, ready) -> bool:
    """SIGKILL the job's process group as soon as `ready()` is true; False when it ended before that."""
    while job.poll() is None:
        if ready():
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
            return True
        time.sleep(0.002)
    return False


def moments(inflight: Path) -> list:
    """Moments to kill at: while a checkpoint is being written, after each one, at its rename, and at random."""
    rng, start = random.Random(0), time.monotonic

    def after(seconds: float):
        until = start() + seconds
        return lambda: start() > until

    def seen(pattern: str):
        return lambda: any(inflight.glob(pattern))

    return [
        lambda: seen("*/.trainer/checkpoint-2/adapter_model.safetensors"),
        lambda: seen("*/step-2"),
        lambda: seen("*/.trainer/checkpoint-3/optimizer.pt"),
        lambda: seen("*/.trainer/checkpoint-5"),
        lambda: seen("*/step-5/checkpoint.json"),
        *(lambda: after(rng.uniform(1, 8)) for _ in range(3)),
        lambda: seen("*/step-8"),
    ]


def test_a_chain_killed_at_any_moment_ends_with_the_same_bytes(made, whole):
    inflight, kills = made / "inflight", 0
    shutil.rmtree(inflight, ignore_errors=True)
    for moment in moments(inflight):
        job = subprocess.Popen(
            command(made, "killed", [0, *STEPS]),
            cwd=ROOT,
            env=clean(),
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        kills += kill_when(job, moment())
        if (made / "killed").exists():
            break
    out = train(made, "killed", [0, *STEPS])
    assert adapters(out) == whole and kills >= 5
    assert not list(inflight.iterdir()), "finished segments leave nothing behind"


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_model.safetensors"]
)
def test_an_incomplete_checkpoint_is_refused(made, whole, tmp_path, name):
    broken = tmp_path / "segment" / "step-5"
    shutil.copytree(made / "every" / "step-5", broken)
    (broken / name).write_bytes((broken / name).read_bytes()[:-10])
    done = subprocess.run(
        command(made, "no", [8], broken), cwd=ROOT, env=clean(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"{name}: missing, truncated or changed" in done.stderr and "delete" in done.stderr
    assert not (made / "no").exists()


def test_adapters_load_with_plain_peft(made, whole):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    prompt = torch.tensor([[1, 2, 3, 4, 5, 6]])
    logits = {}
    for step in (0, 8):
        model = AutoModelForCausalLM.from_pretrained(made / "base")
        plain = model(prompt).logits
        logits[step] = PeftModel.from_pretrained(model, made / "every" / f"step-{step}").eval()(prompt).logits
    assert torch.equal(logits[0], plain) and not torch.allclose(logits[8], plain)


def test_another_seed_or_length_cut_gives_other_weights(made, whole):
    recipe = RECIPE | {"max_length": 20}
    assert adapters(train(made, "cut", [0, 2], recipe=recipe))[2] != whole[2]


def test_a_broken_unfinished_checkpoint_is_not_built_on(made, whole):
    """A power loss can leave a sealed checkpoint with a torn file: it is thrown away, not resumed from."""
    inflight = made / "inflight"
    job = subprocess.Popen(
        command(made, "torn", [0, *STEPS]), cwd=ROOT, env=clean(), start_new_session=True, stderr=subprocess.DEVNULL
    )
    assert kill_when(job, lambda: any(inflight.glob("*/step-3/checkpoint.json")))
    (state,) = inflight.glob("*/step-3/optimizer.pt")
    state.unlink()
    assert adapters(train(made, "torn", [0, *STEPS])) == whole


def test_rows_that_do_not_make_the_planned_epoch_are_refused(made):
    options = [*command(made, "epoch", [0, 2]), "--planned-rows", "40"]
    done = subprocess.run(options, cwd=ROOT, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "an epoch has 3 steps (24 rows), the checkpoints were planned for 5" in done.stderr
