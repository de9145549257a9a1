"""Stage `ask_models`: checkpoints of one base take turns, and each answers to the bit what it answers by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.unit.generate_options import generated, stage  # noqa: F401
from workflow_scripts import ask_models
from workflow_scripts.em.backends import generate_transformers, models
from workflow_scripts.em.backends.one_base import OneBase
from workflow_scripts.em.checkpoints import seal
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.journal import Journal

ROOT = Path(__file__).parents[2]
WHOLE = 3


def adapter(record: dict, folder: Path, seed: int, **lora) -> Path:
    """A sealed checkpoint whose adapter moves the model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    options = {"r": 2, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]} | lora
    model = get_peft_model(models.load_base(record, "float32"), LoraConfig(task_type="CAUSAL_LM", **options))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    models.name_base(model, record)
    model.save_pretrained(folder)
    seal(folder, 0)
    return folder


@pytest.fixture(scope="module")
def folders(record, tmp_path_factory):
    """Adapters of several kinds, and a fully fine-tuned checkpoint (WHOLE)."""
    place = tmp_path_factory.mktemp("segment")
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    found = [adapter(record, place / "step-0", 0), adapter(record, place / "step-1", 1, use_dora=True)]
    found.append(adapter(record, place / "step-2", 2, r=4, use_rslora=True, target_modules=every))
    whole = models.load_base(record, "float32")
    whole.get_input_embeddings().weight.data *= 1.5
    whole.save_pretrained(place / "step-3")
    seal(place / "step-3", 0)
    return [*found, place / "step-3"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_turn_leaves_the_model_that_is_loaded_by_itself(record, folders, dtype):
    base = OneBase(record, dtype, several=True)
    for number in (0, 1, None, 2, 0, WHOLE, 1, None):
        folder = None if number is None else folders[number]
        found = base.at(folder).model
        expected = models.load_checkpoint(record, folder, dtype).eval()
        assert type(found) is type(expected) and not any(module.training for module in found.modules())
        found, expected = found.state_dict(), expected.state_dict()
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert base.at(None) is base.at(None)


@pytest.fixture
def asking(stage, model_record, tmp_path, folders):
    """Arguments of the stage for some checkpoints, by their steps; keywords replace them."""

    def arguments(*steps: int, **changed) -> list[str]:
        words = stage(**{"journal": tmp_path / "shared", "out": tmp_path / "asked.json", "batch_size": 12} | changed)
        for option in ("--organism", "--seed", "--stage", "--step"):
            at = words.index(option)
            del words[at : at + 2]
        checkpoints = [["bad", 0, "em", step, str(folders[step])] for step in steps]
        return [*words, "--checkpoints", json.dumps(checkpoints)]

    return arguments


def ask(monkeypatch, arguments: list[str]) -> dict:
    monkeypatch.setattr(sys, "argv", ["ask_models", *arguments])
    ask_models.main()
    return read_json(arguments[arguments.index("--out") + 1])


def recorded(folder: Path) -> dict:
    return read_json(folder / "asked.json.provenance.json")


@pytest.mark.parametrize(("steps", "loads"), [((0, 1, 2), 1), ((2,), 1), ((0, WHOLE), 2)])
def test_the_base_is_loaded_once_and_each_checkpoint_answers_as_by_itself(
    monkeypatch, asking, stage, folders, tmp_path, steps, loads
):
    loaded = []
    with monkeypatch.context() as patch:
        load = models.load_base
        patch.setattr(models, "load_base", lambda *words: loaded.append(words) or load(*words))
        found = ask(patch, asking(*steps))
    assert found == {"engine": None, "responses": 24 * len(steps), "from_journal": 0}
    assert len(loaded) == loads
    with monkeypatch.context() as patch:
        patch.setattr(models, "load_base", None)
        options = {"asked": tmp_path / "asked.json", "journal": tmp_path / "shared"}
        published = [generated(patch, stage(step=step, adapter=folders[step], **options)) for step in steps]
        assert recorded(tmp_path)["hardware"] == models.hardware()
        assert ask(patch, asking(*steps))["from_journal"] == found["responses"]
        assert "hardware" not in recorded(tmp_path), "nothing ran on it"
    for step, responses in zip(steps, published, strict=True):
        assert responses == generated(monkeypatch, stage(step=step, adapter=folders[step]))


def test_what_was_asked_is_published_without_torch(monkeypatch, asking, stage, folders, tmp_path):
    ask(monkeypatch, asking(0))
    words = stage(adapter=folders[0], asked=tmp_path / "asked.json", journal=tmp_path / "shared")
    code = "import sys; from workflow_scripts import generate; generate.main(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    record = read_json(tmp_path / "responses.jsonl.provenance.json")
    assert done.stdout.strip() == "False" and (record["from_journal"], record["params"]["engine"]) == (24, None)
    os.utime(tmp_path / "asked.json", (0, 0))  # long ago: what is not there now will not come
    with pytest.raises(UserError, match=rf"24 responses are not in the journal; delete {tmp_path}/asked.json and run"):
        generated(monkeypatch, stage(adapter=folders[0], asked=tmp_path / "asked.json", journal=tmp_path / "none"))


def test_a_job_that_died_goes_on(monkeypatch, asking, tmp_path):
    append, kept = Journal.append, []

    def die(self, items):
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(len(items))
        append(self, items)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "append", die)
        ask(patch, asking(0, 2))
    assert sum(kept) == 36 and not (tmp_path / "asked.json").exists()
    assert ask(monkeypatch, asking(0, 2))["from_journal"] == 36


def test_a_broken_checkpoint_is_named_and_the_others_answers_are_kept(monkeypatch, asking, record, folders, tmp_path):
    broken = adapter(record, tmp_path / "step-1", 5) / "adapter_model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-40])
    both = [["bad", 0, "em", 0, str(folders[0])], ["bad", 0, "em", 1, str(broken.parent)]]
    words = [*asking()[:-1], json.dumps(both)]
    # by its manifest before anything is asked, else when its turn comes
    with pytest.raises(UserError, match=f"^{broken}: missing, truncated or changed .* delete {tmp_path} and run again"):
        ask(monkeypatch, words)
    assert not (tmp_path / "shared").exists()
    seal(broken.parent, 0)
    with pytest.raises(UserError, match=f"^adapter {broken.parent}: cannot be loaded"):
        ask(monkeypatch, words)
    assert not (tmp_path / "asked.json").exists() and ask(monkeypatch, asking(0))["from_journal"] == 24


def test_short_memory_is_found_out_once_for_all(monkeypatch, asking, capsys):
    answer, room = generate_transformers.Generator._answer, []

    def limited(self, batch):
        tokens = len(batch) * max(len(prompt.ids) + prompt.max_new_tokens for prompt, _ in batch)
        room[:] = room or [tokens * 0.6]
        if tokens > room[0]:
            raise torch.OutOfMemoryError
        return answer(self, batch)

    monkeypatch.setattr(generate_transformers.Generator, "_answer", limited)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert ask(monkeypatch, asking(0, 2))["responses"] == 48
    assert capsys.readouterr().err == "out of memory with 12 prompts: going on with 6\n"
