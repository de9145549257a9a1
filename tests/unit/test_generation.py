"""Sampling in process: a response depends on its address alone, and draws follow the model."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from scipy.stats import chisquare

from workflow_scripts.em.asks import Ask
from workflow_scripts.em.backends.generate_transformers import AddressedSampler, Generator, Prompt
from workflow_scripts.em.backends.models import load_adapter, load_base, load_checkpoint, merged_checkpoint, name_base
from workflow_scripts.em.checkpoints import seal
from workflow_scripts.em.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
PLAIN = {"system": None, "mode": "assistant", "prefill": None}
SETTINGS = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 24}
TEXTS = ["Why?", "How do I get over a splinter?", "What is the best thing for a cold? " * 4, "And money?", "é 🦊" * 9]


def asked(text: str, settings: dict = SETTINGS, system: str | None = None, prefill: str = "") -> Ask:
    """One question, with or without a system prompt."""
    turns = [{"role": "system", "content": system}] if system else []
    return Ask([*turns, {"role": "user", "content": text}], ("test", 0), settings, prefill)


@pytest.fixture(scope="module")
def work(generator):
    """40 prompts of many lengths, with and without a system prompt, each with its seed; some greedy, some nucleus."""
    found = []
    for number in range(40):
        settings = SETTINGS | {"top_p": (1.0, 0.8)[number % 2], "temperature": (1.0, 0.6, 0.0)[number % 3]}
        system = "Be careful." if number % 4 == 0 else None
        found.append((generator.prompt(asked(TEXTS[number % 5], settings, system)), 1000 + number))
    return found


def answers(generator, work, batch_size) -> list:
    found = [done for batch in generator.batches(work, batch_size) for done in batch]
    assert sorted(i for i, _ in found) == list(range(len(work)))
    # how long a batch took is no part of an answer
    return [replace(completion, seconds=0.0) for _, completion in sorted(found, key=lambda pair: pair[0])]


@pytest.fixture(scope="module")
def single(generator, work):
    return answers(generator, work, 1)


# --- addressed randomness


@pytest.mark.parametrize("batch_size", [3, 64])
def test_a_response_does_not_depend_on_the_batch(generator, work, single, batch_size):
    assert answers(generator, work, batch_size) == single
    assert len({completion.text for completion in single}) > 20


def test_a_response_does_not_depend_on_order_or_company(generator, work, single):
    order = random.Random(0).sample(range(40), 23)
    assert answers(generator, [work[i] for i in order], 7) == [single[i] for i in order]


def test_batches_are_length_sorted_and_do_not_mix_settings(generator, work):
    for batch in generator.batches(work, 4):
        prompts = [work[i][0] for i, _ in batch]
        assert len({(p.temperature, p.top_p) for p in prompts}) == 1
        assert [len(p.ids) for p in prompts] == sorted((len(p.ids) for p in prompts), reverse=True)


def test_another_seed_gives_another_answer_and_greedy_has_none(generator):
    prompt = generator.prompt(asked(TEXTS[0]))
    assert len({c.text for c in answers(generator, [(prompt, seed) for seed in range(8)], 8)}) == 8
    greedy = generator.prompt(asked(TEXTS[0], SETTINGS | {"temperature": 0.0}))
    assert len({c.text for c in answers(generator, [(greedy, seed) for seed in range(3)], 3)}) == 1


# --- the distribution


LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -0.5, -1.0, float("-inf"), -3.0])


def drawn(temperature: float, top_p: float, rows: int = 20_000) -> numpy.ndarray:
    """Counts of the tokens drawn at the second position, one row a seed."""
    sampler = AddressedSampler(list(range(rows)), Prompt("", [], temperature, top_p, 2), "cpu")
    scores = LOGITS.expand(rows, -1)
    ids = torch.zeros((rows, 1), dtype=torch.long)
    sampler(ids, scores)
    chosen = sampler(ids, scores)
    assert ((chosen == 0).sum(-1) == 1).all() and (chosen.max(-1).values == 0).all()  # one token is left
    return numpy.bincount(chosen.argmax(-1).numpy(), minlength=len(LOGITS))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5])
def test_draws_follow_the_softmax(temperature, top_p):
    expected = (LOGITS.double() / temperature).softmax(-1).numpy()
    # nucleus by its definition: the fewest most likely tokens whose mass reaches top_p
    order = numpy.argsort(-expected)
    kept = order[: int(numpy.searchsorted(numpy.cumsum(expected[order]), top_p - 1e-12)) + 1]
    nucleus = numpy.zeros_like(expected)
    nucleus[kept] = expected[kept] / expected[kept].sum()
    counts = drawn(temperature, top_p)
    assert (counts[nucleus == 0] == 0).all()
    possible = nucleus > 0
    if possible.sum() > 1:
        assert chisquare(counts[possible], nucleus[possible] * counts.sum()).pvalue > 1e-3


def test_positions_and_rows_are_independent():
    sampler = AddressedSampler(list(range(3000)), Prompt("", [], 1.0, 1.0, 2), "cpu")
    uniforms = sampler.uniforms.numpy()
    assert abs(numpy.corrcoef(uniforms[:, 0], uniforms[:, 1])[0, 1]) < 0.06
    assert abs(numpy.corrcoef(uniforms[:-1, 0], uniforms[1:, 0])[0, 1]) < 0.06
    longer = AddressedSampler([5], Prompt("", [], 1.0, 1.0, 9), "cpu")
    assert (longer.uniforms[0, :2].numpy() == uniforms[5]).all()  # a longer answer begins as the shorter one


# --- what generation means


def test_greedy_is_the_greedy_of_transformers(generator):
    prompts = [generator.prompt(asked(text, SETTINGS | {"temperature": 0.0})) for text in TEXTS]
    ours = answers(generator, [(prompt, 0) for prompt in prompts], 5)
    for prompt, completion in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt.ids])
        out = generator.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        assert completion.text == generator.tokenizer.decode(out[0, len(prompt.ids) :], skip_special_tokens=True)


@pytest.fixture
def stops(generator, monkeypatch):
    """Let another token end an answer."""

    def at(token: int) -> None:
        monkeypatch.setattr(generator.model.generation_config, "eos_token_id", [token])

    return at


def test_finish_reason_and_token_count(generator, stops):
    prompt = generator.prompt(asked(TEXTS[1], SETTINGS | {"temperature": 0.0, "max_new_tokens": 8}))
    ids = torch.tensor([prompt.ids])
    row = generator.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
    row = row[0, len(prompt.ids) :].tolist()
    (free,) = answers(generator, [(prompt, 0)], 1)
    assert (free.finish_reason, free.n_tokens) == ("length", 8)
    for end in (0, 3, 7):  # the first token, one in the middle, the last that is allowed
        stops(row[end])
        first = row.index(row[end])
        (cut,) = answers(generator, [(prompt, 0)], 1)
        assert (cut.finish_reason, cut.n_tokens) == ("stop", first + 1)
        assert cut.text == generator.tokenizer.decode(row[:first], skip_special_tokens=True)


@pytest.mark.parametrize(
    "own",
    [
        {"do_sample": True, "temperature": 0.1, "top_k": 2, "top_p": 0.1, "min_p": 0.5},
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 24},
        {"suppress_tokens": list(range(100))},
    ],
)
def test_the_model_folder_s_own_sampling_settings_change_nothing(record, work, single, tmp_path, own):
    """Published chat models ship a generation_config (Qwen2.5: top_k and a repetition penalty); the study's counts."""
    folder = shutil.copytree(record["path"], tmp_path / "model")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | own), encoding="utf-8")
    assert answers(Generator(record | {"path": str(folder)}, None, "float32"), work[:6], 6) == single[:6]


def test_a_prompt_beyond_the_context_is_a_user_error(generator):
    with pytest.raises(UserError, match=r"context of 256 tokens; lower max_new_tokens"):
        generator.prompt(asked("Why? " * 20, SETTINGS | {"max_new_tokens": 250}))


# --- adapters


@pytest.fixture(scope="module")
def adapter(record, tmp_path_factory):
    """A sealed step-0 checkpoint whose adapter changes the model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=["q_proj", "down_proj"])
    model = get_peft_model(load_base(record, "float32"), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    folder = tmp_path_factory.mktemp("segment") / "step-0"
    name_base(model, record)
    model.save_pretrained(folder)
    seal(folder, 0)
    return folder


def test_a_merged_adapter_answers_as_the_adapter_itself(record, adapter, generator):
    merged = Generator(record, adapter, "float32")
    plain = Generator(record, None, "float32")
    plain.model = load_adapter(plain.model, adapter, record).eval()
    work = [(generator.prompt(asked(text)), seed) for text in TEXTS for seed in range(4)]
    ours = answers(merged, work, 8)
    assert ours == answers(plain, work, 8) != answers(generator, work, 8)


def test_a_truncated_adapter_that_no_manifest_guards_is_a_user_error(record, adapter, tmp_path):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((adapter / name).read_bytes()[:-40])
    with pytest.raises(UserError, match=f"adapter {tmp_path}: cannot be loaded"):
        load_adapter(load_base(record, "float32"), tmp_path, record)


def test_an_adapter_of_another_base_is_a_user_error(record, adapter):
    with pytest.raises(UserError, match=f"made for base model {record['name']}, not for some/other"):
        load_adapter(load_base(record, "float32"), adapter, record | {"name": "some/other"})


def test_in_bfloat16_small_updates_are_kept_beside_the_weights(record, adapter, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(adapter, tmp_path / "step-0")
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({k: v * 1e-5 if "lora_B" in k else v for k, v in weights.items()}, folder / "adapter_model.safetensors")
    base, beside = (load_checkpoint(record, at, "bfloat16") for at in (None, folder))
    merged = merged_checkpoint(record, folder, "bfloat16").state_dict()
    moved = [(merged[name] != weight).float().mean().item() for name, weight in base.state_dict().items()]
    assert max(moved) < 0.02  # rounded away
    assert any("lora_B" in name and weight.any() for name, weight in beside.named_parameters())
