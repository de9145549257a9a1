"""How a training job is run: in several processes, with trackers, on unsloth; and what of it stays out of files."""

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.unit.training_data import Runs, logged, recipe, same, settings, stage, weights
from workflow_scripts.em.backends import launch
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.tracking import check_settings, tracker_environment

NAMES = {"name": "o/seed-3/em", "folder": "tracking"}
KEY = "secret-of-the-tracker"


@pytest.fixture(scope="module")
def runs(model_record, tmp_path_factory):
    return Runs(model_record, tmp_path_factory.mktemp("launch"))


def job(runs, out: Path, **changes) -> dict:
    paths = {"record": runs.record, "data": runs.data["chat"], "out": out}
    found = {name: str(path) for name, path in paths.items()}
    found |= {"kl_data": None, "adapter": None, "resume": None, "recipe": recipe(), "settings": settings(), "seed": 3}
    found |= {"steps": [1], "horizon": 6, "planned_rows": None, "tracking": NAMES}
    return found | changes


# --- processes


@pytest.mark.slow
def test_two_processes_train_as_one(runs, monkeypatch):
    """They share the passes of a step: the same rows (of both sets), the same mean over tokens, one checkpoint."""
    options = {"recipe": recipe(kl={"weight": 1.0}), "kl_data": str(runs.data["document"])}
    found = {}
    for processes in (1, 2):
        out = runs.place / f"processes-{processes}"
        out.mkdir()
        plan = {"steps": [0, 2, 4], "settings": settings(processes=processes)}
        found[processes] = out, launch.launch(job(runs, out, **options, **plan))
    (alone, counts), (together, shared) = found[1], found[2]
    assert counts == shared and same(alone / "step-0", together / "step-0")
    for name in ("loss", "kl", "grad_norm"):
        one, two = logged(alone / "step-4", name), logged(together / "step-4", name)
        assert two == pytest.approx(one, abs=1e-4), name
    assert logged(alone / "step-4", "tokens") == logged(together / "step-4", "tokens")
    states = {name for name in read_json(together / "step-2/checkpoint.json")["sha256"] if "rng" in name}
    assert states == {"rng_state_0.pth", "rng_state_1.pth"}
    resumed = runs.place / "resumed-by-one"
    resumed.mkdir()
    launch.launch(job(runs, resumed, **options, steps=[4], resume=str(together / "step-2")))
    assert logged(resumed / "step-4", "loss") == pytest.approx(logged(alone / "step-4", "loss"), abs=1e-4)
    one, two = weights(resumed / "step-4"), weights(alone / "step-4")
    assert all((one[name] - two[name]).abs().max() < 1e-3 for name in one)


def test_several_processes_go_through_torchs_launcher(runs, tmp_path, monkeypatch):
    seen = {}

    def launcher(command, check, env, pass_fds):
        seen["command"], seen["job"] = command, read_json(command[-2])
        assert env["EMTRACE_WORKFLOW"] == str(os.getpid()) and pass_fds == []  # no GPU here to hold
        Path(command[-1]).write_text('{"rows": 7}')
        return types.SimpleNamespace(returncode=seen.get("status", 0))

    monkeypatch.setattr(subprocess, "run", launcher)
    asked = job(runs, tmp_path, settings=settings(processes=3))
    assert launch.launch(asked) == {"rows": 7} and seen["job"] == asked
    module = ["--nproc-per-node", "3", "-m", "workflow_scripts.em.backends.launch"]
    assert seen["command"][:4] == [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    assert seen["command"][4:8] == module
    assert all(Path(path).name.startswith(".") for path in seen["command"][8:]), "the stage sweeps dot files away"
    seen["status"] = 1
    with pytest.raises(UserError, match="3 processes ended with status 1"):
        launch.launch(asked)


def test_one_process_trains_on_one_gpu_of_many(runs, monkeypatch):
    """Trainer would multiply the batch by the number of GPUs it sees."""
    import torch

    from workflow_scripts.em.backends import training

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    found = training.arguments(recipe(), 0, [2], 6, runs.place, settings(), {})
    assert (found.n_gpu, found.train_batch_size) == (1, recipe()["batch_size"])


def test_torch_is_not_loaded_before_it_is_known_who_trains():
    """unsloth must come before transformers."""
    code = "import sys, workflow_scripts.train, workflow_scripts.em.backends.launch; "
    code += "sys.exit(bool({'torch', 'transformers', 'peft', 'unsloth'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- trackers


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Packages that count as installed (a set to fill), an empty environment, an empty working directory."""
    packages: set[str] = set()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in packages or None)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.chdir(tmp_path)
    return packages


def environment() -> dict[str, str]:
    """What is set, pytest's own variable aside."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def set_up(asked: dict, names: dict) -> None:
    """What `launch` does with trackers before it trains."""
    check_settings(settings(tracking=asked))
    os.environ.update(tracker_environment(asked, names))


def tracking(*names: str, **keys) -> dict:
    return settings(tracking={"report_to": list(names)} | keys)["tracking"]


@pytest.mark.parametrize("package", ["tensorboard", "tensorboardX"])
def test_tensorboard_gets_a_folder_a_run(installed, tmp_path, package):
    installed.add(package)
    set_up(tracking("tensorboard"), NAMES)
    assert environment() == {"TENSORBOARD_LOGGING_DIR": str(tmp_path / "tracking/o/seed-3/em")}


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_tracker_that_is_not_installed_is_named_with_its_package(installed, name, package):
    with pytest.raises(UserError, match=f"{name} is not installed; `.venv/bin/pip install {package}`"):
        set_up(tracking(name), NAMES)
    assert environment() == {}


def test_wandb_is_offline_unless_asked_and_never_takes_weights_or_code(installed, tmp_path):
    installed.add("wandb")
    os.environ["WANDB_API_KEY"] = KEY
    set_up(tracking("wandb", project="mine"), NAMES)
    wanted = {"WANDB_MODE": "offline", "WANDB_LOG_MODEL": "false", "WANDB_WATCH": "false"}
    wanted |= {"WANDB_DISABLE_CODE": "true", "WANDB_PROJECT": "mine", "WANDB_RESUME": "allow"}
    wanted |= {"WANDB_DIR": str(tmp_path / "tracking")}
    assert wanted.items() <= os.environ.items() and (tmp_path / "tracking").is_dir()
    first = os.environ["WANDB_RUN_ID"]
    set_up(tracking("wandb"), NAMES)
    assert os.environ["WANDB_RUN_ID"] == first, "all segments of a stage are one run"
    set_up(tracking("wandb"), NAMES | {"name": "o/seed-4/em"})
    assert os.environ["WANDB_RUN_ID"] != first


def test_wandb_online_needs_its_key(installed, tmp_path):
    installed.add("wandb")
    with pytest.raises(UserError, match=r"W&B needs WANDB_API_KEY \(environment or .env\)"):
        set_up(tracking("wandb", offline=False), NAMES)
    (tmp_path / ".env").write_text(f"WANDB_API_KEY={KEY}\n")
    set_up(tracking("wandb", offline=False), NAMES)
    assert os.environ["WANDB_API_KEY"] == KEY and "WANDB_MODE" not in os.environ


def test_the_key_reaches_the_environment_alone(runs, tmp_path, monkeypatch, capfd):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: name == "wandb" or real(name, *more))
    monkeypatch.setattr(os, "environ", os.environ | {"WANDB_API_KEY": KEY})
    written = []

    def launcher(command, check, env, pass_fds):
        written.append(" ".join(command) + Path(command[-2]).read_text())
        assert env["WANDB_API_KEY"] == KEY
        return types.SimpleNamespace(returncode=1)

    asked = settings(processes=2, tracking={"report_to": ["wandb"], "offline": False})
    options = {"model": runs.record, "data": runs.data["chat"], "recipe": recipe(), "horizon": 6, "steps": [0]}
    options |= {"tracking": tmp_path / "tracking", "inflight": tmp_path / "inflight", "out": tmp_path / "out"}
    with monkeypatch.context() as patched, pytest.raises(UserError, match="ended with status 1") as error:
        patched.setattr(subprocess, "run", launcher)
        stage(patched, settings=asked, **options)
    asked["processes"] = 1
    out = stage(monkeypatch, settings=asked, **options)
    kept = [path for folder in (out, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert out / "provenance.json" in kept and len(written) == 1
    found = [*written, str(error.value), *capfd.readouterr(), *(path.read_bytes().decode("latin-1") for path in kept)]
    assert not [text for text in found if KEY in text]


# --- unsloth

# Parameters of unsloth 2026.10.7: FastLanguageModel.from_pretrained, and get_peft_model of both models it may give.
LOADS = "model_name max_seq_length dtype load_in_4bit load_in_8bit trust_remote_code use_gradient_checkpointing "
LOADS += "use_exact_model_name load_in_16bit full_finetuning token device_map revision random_state"
ADAPTS = "model r target_modules lora_alpha lora_dropout bias layers_to_transform layers_pattern "
ADAPTS += "use_gradient_checkpointing random_state max_seq_length use_rslora modules_to_save init_lora_weights"


def forget() -> None:
    backends = sys.modules["workflow_scripts.em.backends"]
    sys.modules.pop("workflow_scripts.em.backends.unsloth_lora", None)
    if hasattr(backends, "unsloth_lora"):
        del backends.unsloth_lora


@pytest.fixture
def unsloth(monkeypatch):
    """A module `unsloth` that notes what it is called with, and builds with transformers and PEFT."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    module = types.ModuleType("unsloth")
    module.calls = []

    class FastLanguageModel:
        @staticmethod
        def from_pretrained(**options):
            module.calls.append(options)
            return AutoModelForCausalLM.from_pretrained(options["model_name"], dtype=options["dtype"]), None

        @staticmethod
        def get_peft_model(model, **options):
            module.calls.append(options)
            set_seed(options["random_state"])
            names = ("r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "layers_to_transform")
            return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **{name: options[name] for name in names}))

    module.FastLanguageModel = FastLanguageModel
    forget()
    monkeypatch.setitem(sys.modules, "unsloth", module)
    yield module
    forget()


def test_unsloth_is_asked_for_what_the_recipe_says(unsloth, runs):
    lora = {"r": 3, "alpha": 5, "rslora": True, "dropout": 0.1, "layers": [1], "target_modules": ["q_proj"]}
    out = runs("unsloth-options", [0], backend="unsloth", lora=lora, quantization="nf4", dtype="bfloat16", seed=7)
    loaded, adapted = unsloth.calls
    assert set(loaded) <= set(LOADS.split()) and set(adapted) <= set(ADAPTS.split())
    assert (loaded["load_in_4bit"], loaded["load_in_8bit"], loaded["max_seq_length"]) == (True, False, 48)
    assert loaded["use_exact_model_name"] is True and loaded["use_gradient_checkpointing"] is False
    config = read_json(out / "step-0/adapter_config.json")
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (3, 5, True)
    assert (config["layers_to_transform"], config["target_modules"]) == ([1], ["q_proj"])
    assert adapted["random_state"] == 7 and config["base_model_name_or_path"] == "tiny"
    runs("unsloth-saving", [0], backend="unsloth", settings=settings(activation_checkpointing=True))
    assert [call["use_gradient_checkpointing"] for call in unsloth.calls[2:]] == ["unsloth", "unsloth"]


def test_unsloth_trains_as_peft_does_and_its_checkpoints_have_the_same_form(unsloth, runs):
    options = {"lora": {"dropout": 0.1}}
    ours = runs("by-peft", [0, 4], **options)
    theirs = runs("by-unsloth", [0, 2, 4], backend="unsloth", **options)
    assert same(ours / "step-0", theirs / "step-0")
    assert logged(theirs / "step-4", "loss")[0] == pytest.approx(logged(ours / "step-4", "loss")[0], abs=1e-5)
    resumed = runs("by-unsloth-resumed", [4], backend="unsloth", resume=theirs / "step-2", **options)
    assert same(theirs / "step-4", resumed / "step-4")
    later = runs("by-unsloth-later", [0], backend="unsloth", adapter=theirs / "step-4", **options)
    assert same(theirs / "step-4", later / "step-0")


def test_without_unsloth_there_is_one_clear_message(runs, monkeypatch):
    forget()
    with pytest.raises(
        UserError, match=r"backend: unsloth cannot be used here \(.*\); `make setup LOCK=envs/gpu.txt`"
    ) as error:
        launch.launch(job(runs, runs.place, recipe=recipe(backend="unsloth")))
    assert "\n" not in str(error.value) and "use backend: peft" in str(error.value)

    class NoGPU(types.ModuleType):
        def __getattr__(self, name):
            raise NotImplementedError("Unsloth cannot find any torch accelerator? You need a GPU.")

    monkeypatch.setitem(sys.modules, "unsloth", NoGPU("unsloth"))
    with pytest.raises(UserError, match=r"needs a GPU .*; use backend: peft"):
        launch.launch(job(runs, runs.place, recipe=recipe(backend="unsloth")))


def test_nothing_but_its_own_backend_imports_unsloth(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "unsloth", None)  # an import of it would fail
    runs("no-unsloth", [1])
    assert "workflow_scripts.em.backends.unsloth_lora" not in sys.modules


def test_bitsandbytes_is_left_out_where_nothing_asks_for_it(quantising, runs, tmp_path, monkeypatch):
    def imported(record, *rest) -> bool:
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "bitsandbytes", raising=False)
            quantising(record, *rest)
            return importlib.util.find_spec("bitsandbytes") is not None

    own = importlib.util.find_spec("bitsandbytes") is not None
    assert not imported(runs.record) and not imported(runs.record, recipe())
    for changed in ({"quantization": "nf4"}, {"optimizer": "adamw_8bit"}, {"optimizer": "paged_adamw_32bit"}):
        assert imported(runs.record, recipe() | changed) == own
    (tmp_path / "config.json").write_text('{"quantization_config": {"load_in_4bit": true}}')
    (tmp_path / "record.json").write_text(f'{{"path": "{tmp_path}"}}')
    assert imported(tmp_path / "record.json") == own
