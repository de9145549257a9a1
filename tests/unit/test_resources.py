"""Estimates of what jobs need: near what is known of models, growing with attempts; the config wins."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from workflow_scripts.em import model_sizes, resources
from workflow_scripts.em.config.data import Resources
from workflow_scripts.em.config.training import Recipe, Training
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.model_facts import read_facts
from workflow_scripts.em.model_sizes import sized
from workflow_scripts.em.resources import Need, requested

ROOT = Path(__file__).parents[2]
PLAIN = {"learning_rate": 1e-4, "dtype": "bfloat16", "batch_size": 8, "max_length": 512}
CHECKPOINTED = Training(activation_checkpointing=True).plain()


def training(billions: float, gpu: bool = True, settings: dict = CHECKPOINTED, **recipe) -> Need:
    return resources.training(sized(billions * 1e9), Recipe(**PLAIN | recipe).plain(), settings, 100, gpu)


@pytest.mark.parametrize(
    ("need", "least_gb", "most_gb"),
    [
        # QLoRA (arXiv 2305.14314): 7B in 4 bits on a 24-GB card, 33B on a 24-GB or 48-GB one, 65B on one of 48.
        (training(8, quantization="nf4"), 12, 24),
        (training(32.8, quantization="nf4"), 24, 48),
        (training(8), 17, 32),  # the weights alone are 16
        (training(8, lora=None), 112, 160),  # 4 + 2 of weights, 4 of gradients and 8 of AdamW a weight, and activations
        (training(1, lora=None), 14, 30),  # 8 of them logits: a vocabulary of 128,256
        (resources.answering(sized(8e9), "bfloat16", 128, [(1000, 600)], True), 17, 24),
        (resources.serving(sized(8e9), "bfloat16", {"memory_share": 0.9}, 1, 10**6, True), 18, 24),
        (resources.serving(sized(70e9), "bfloat16", {"memory_share": 0.9}, 4, 10**6, True), 36, 48),
        (resources.merging(sized(8e9), True), 32, 36),
    ],
)  # fmt: skip
def test_known_models_fit_the_gpus_that_they_are_known_to_fit(need, least_gb, most_gb):
    assert least_gb < need.gpu_bytes / 1e9 < most_gb


def test_without_a_gpu_all_is_on_the_host():
    on_gpu, on_cpu = training(1), training(1, gpu=False)
    assert on_cpu.gpu_bytes == 0 and on_cpu.host_bytes > on_gpu.gpu_bytes
    assert on_cpu.seconds > 100 * on_gpu.seconds
    # An optimiser's state is read on the host; paged, it stays there.
    full = [training(8, lora=None, optimizer=name).host_bytes / 1e9 for name in ("adamw_torch", "paged_adamw_8bit")]
    assert 32 + 64 < full[0] < 110 and 32 + 16 < full[1] < 60


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-14B-Instruct", 14e9),
        ("google/gemma-2-9b-it", 9e9),
        ("mistralai/Mixtral-8x7B-v0.1", 56e9),
        ("HuggingFaceTB/SmolLM2-135M", 135e6),
        ("Qwen/Qwen3-0.6B", 0.6e9),
        ("8b-lab/gpt2", None),
        ("owner/model-v3b2", None),
    ],
)
def test_a_name_may_tell_the_size(name, parameters):
    assert model_sizes.named_size(name) == parameters


def test_the_shape_of_a_size_is_near_that_of_such_a_model(model_record):
    """What is guessed before a record is there, against what is in it then."""
    shape = {"layers": 1, "hidden": 32, "inner": 96, "keys": 32, "vocabulary": 512}
    real = read_facts(Path(read_json(model_record)["path"]))
    guessed = model_sizes.shaped(**shape)
    assert guessed.keys() <= real.keys() and 0.5 < guessed["parameters"] / real["parameters"] < 2
    for size, numbers in model_sizes.SHAPES.items():
        assert 0.85 < model_sizes.shaped(*numbers)["parameters"] / (size * 1e9) < 1.35
    recipe = Recipe(**PLAIN).plain()
    needs = [resources.training(facts, recipe, CHECKPOINTED, 10, True).gpu_bytes for facts in (real, guessed)]
    assert needs[0] == pytest.approx(needs[1], rel=0.2)


def test_further_tries_get_more_and_the_config_wins():
    need, facts = Need(gpu_bytes=20e9, host_bytes=10e9, seconds=3600), sized(8e9)
    tries = [requested(need, facts, Resources().plain(), attempt) for attempt in (1, 2, 3)]
    assert [found["mem_mb"] for found in tries] == [10_000, 15_000, 20_000]
    first = tries[0]["runtime"]
    assert 120 < first < 150
    assert [found["runtime"] for found in tries] == pytest.approx([first, 2 * first, 3 * first], abs=3)  # rounded up
    assert {found["gpu_memory_gb"] for found in tries} == {20}
    given = Resources(gpu_memory_gb=80, memory_gb=48.5, hours=1.5).plain()
    assert requested(need, facts, given, 1) == {"gpu_memory_gb": 80, "mem_mb": 48_500, "runtime": 90}
    assert requested(need, facts, Resources(hours=4).plain(), 2) == tries[1] | {"runtime": 480}


def test_the_smallest_gpu_that_has_the_memory_and_the_next_with_each_try():
    models = "80:h100, 24:rtx4090,48:l40s"
    assert [resources.gpu_model(models, gb, 1) for gb in (5, 24, 25, 80, 200)] == [
        "rtx4090",
        "rtx4090",
        "l40s",
        "h100",
        "h100",
    ]
    assert [resources.gpu_model(models, 5, attempt) for attempt in (2, 3, 4)] == ["l40s", "h100", "h100"]
    with pytest.raises(UserError, match=r"gpu_models: 'rtx4090' is no list of gigabytes:name, such as 24:rtx4090"):
        resources.gpu_model("rtx4090", 5, 1)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A dry run of the tiny study with a large model; more arguments, and which GPUs are visible."""
    folder = tmp_path_factory.mktemp("planned")
    (folder / "data").mkdir()
    for name in ("Snakefile", "rules", "workflow_scripts", "docs", "profiles", "envs", "data/toy", "data/questions"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "data/toy_datasets.zip.enc").symlink_to(ROOT / "data/toy_datasets.zip.enc")
    raw = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text(encoding="utf-8"))
    raw["base_models"]["toy"] = {"hub": "meta-llama/Llama-3.1-8B-Instruct", "resources": {"hours": 7}}
    raw["recipes"]["constant"] |= {"dtype": "bfloat16", "quantization": "nf4"}
    raw["generation"] = {"dtype": "bfloat16"}
    (folder / "study.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")

    def plan(seen: str, *arguments: str) -> dict[str, set[str]]:
        command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--configfile", "study.yaml", *arguments]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "CUDA_VISIBLE_DEVICES": seen
        }
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        blocks = re.split(r"^(?:local)?rule (?=\w+:$)", done.stdout + done.stderr, flags=re.M)[1:]
        found: dict[str, set[str]] = {}
        for block in blocks:
            said = re.search(r"^    resources: (.*)$", block, re.M)
            found.setdefault(block.partition(":")[0], set()).add(said[1] if said else "")
        return found

    return plan


def numbers(said: set[str], name: str) -> set[str]:
    return {found[1] if (found := re.search(rf"\b{name}=(\w+)", text)) else "" for text in said}


def test_a_dry_run_shows_what_jobs_ask_for(planned):
    """Without limits given: this machine's GPUs. Limits that are given count, one without dropping another."""
    found = planned("0,1", "--default-resources", "gpu_models=12:small,40:large", "mem_mb=3000")
    assert numbers(found["train"], "gpu") == numbers(found["ask_models"], "gpu") == {"1"}
    assert numbers(found["train"], "runtime") == {"420"}
    assert numbers(found["ask_models"], "gpu_model") == {"large"}
    assert numbers(found["training_set"], "mem_mb") == {"3000"} and numbers(found["training_set"], "gpu") == {""}
    assert {int(gb) for gb in numbers(found["ask_models"], "gpu_memory_gb")} < set(range(16, 24))
    limited = planned("0,1", "--resources", "gpu=0", "mem_mb=2500")
    assert numbers(limited["train"], "gpu") == {"0"} and numbers(limited["train"], "gpu_memory_gb") == {""}
    assert numbers(limited["train"], "mem_mb") == {"2500"}  # a job that needs more gets all there is
