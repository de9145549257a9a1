"""Stage `read_activations`: checkpoints of a base take turns, and what was read once is not read again."""

import json
import sys

import numpy as np
import pytest
import torch

from tests.unit.generate_options import generated, stage  # noqa: F401
from tests.unit.test_ask_models import adapter
from workflow_scripts import read_activations
from workflow_scripts.em.activation_files import read_tensors
from workflow_scripts.em.backends import models
from workflow_scripts.em.backends import read_activations as backend
from workflow_scripts.em.checkpoints import seal
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json, sha256_file

WHOLE = 3
READING = {"convention": "hidden_states", "layers": "all", "span": ["response"], "pooling": "response"}


@pytest.fixture(scope="module")
def folders(model_record, tmp_path_factory):
    """Checkpoints 1 and 2 with adapters, and one that was fully fine-tuned (WHOLE)."""
    torch.set_num_threads(1)
    record, place = read_json(model_record), tmp_path_factory.mktemp("segment")
    found = {step: adapter(record, place / f"step-{step}", step) for step in (1, 2)}
    whole = models.load_base(record, "float32")
    whole.get_input_embeddings().weight.data *= 1.5
    whole.save_pretrained(place / f"step-{WHOLE}")
    seal(place / f"step-{WHOLE}", 0)
    return found | {WHOLE: place / f"step-{WHOLE}", 0: None}


@pytest.fixture
def reading(monkeypatch, stage, folders, model_record, tmp_path):
    """Runs the stage over checkpoints by their steps; returns step -> what was read. Keywords replace arguments."""
    asked = stage()
    question_sets, conditions = (asked[asked.index(name) + 1] for name in ("--question-sets", "--conditions"))

    def responses(step: int):
        """Of the base model, under the address of the step; number 3 is empty, number 5 had its thoughts taken out."""
        path = tmp_path / f"step-{step}.jsonl"
        if not path.exists():
            with monkeypatch.context() as patch:
                generated(patch, stage(step=step, out=path))
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            rows[3]["response"] = ""
            rows[5] |= {"unstripped": rows[5]["response"], "response": "x"}
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def run(*steps: int, fixed: int | None = None, out: str = "out", reading: dict = READING, **changed):
        files = [responses(step if fixed is None else fixed) for step in steps]
        at = [
            ["bad", 0, "em", step, folders[step] and str(folders[step]), str(path)]
            for step, path in zip(steps, files, strict=True)
        ]
        options = {"model": model_record, "checkpoints": json.dumps(at), "name": "own", "reading": json.dumps(reading)}
        options |= {"conditions": conditions, "question_sets": question_sets, "batch_size": 5}
        options |= {"kept": tmp_path / "kept", "out": tmp_path / out} | changed
        options |= {} if fixed is None else {"responses_of": json.dumps(["bad", 0, "em", fixed])}
        words = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["read_activations", *words])
            read_activations.main()
        return {step: read_tensors(tmp_path / out / f"step-{step}.safetensors") for step in steps}

    return run


def one_by_one(folder, model_record, path, dtype="float32", layers=(0, 1, 2)) -> np.ndarray:
    """(responses, layers, hidden) by plain transformers, one response at a time, of a checkpoint loaded by itself."""
    record = read_json(model_record)
    model, tokenizer = models.load_checkpoint(record, folder, dtype).eval(), models.load_tokenizer(record)
    found = []
    for row in map(json.loads, path.read_text().splitlines()):
        turns = [{"role": "system", "content": row["system"]}] if row["system"] else []
        turns.append({"role": "user", "content": row["question"]})
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        answer = tokenizer(row.get("unstripped", row["response"]), add_special_tokens=False)["input_ids"]
        if answer:
            with torch.inference_mode():
                states = model(torch.tensor([prompt + answer]), output_hidden_states=True).hidden_states
            found.append([states[i][0, len(prompt) :].double().mean(0).numpy() for i in layers])
    return np.array(found)


def stacked(held) -> np.ndarray:
    return np.stack([held.layer(i) for i in held.layers], 1)


@pytest.mark.parametrize("steps", [(1, 2), (2,), (1, WHOLE, 0)])
def test_each_checkpoint_is_read_as_if_loaded_by_itself(reading, folders, model_record, tmp_path, steps, capsys):
    found = reading(*steps)
    for step, held in found.items():
        wanted = one_by_one(folders[step], model_record, tmp_path / f"step-{step}.jsonl")
        assert stacked(held).shape == wanted.shape == (23, 3, 32)
        ran = [held.about[name] for name in ("device", "batch_size", "batch_invariant")]
        assert ran == ["cpu", 5, True]
        assert np.abs(stacked(held) - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert capsys.readouterr().err.count("1 of 24 responses have no token of the span, or too many") == len(steps)
    record = read_json(tmp_path / "out/provenance.json")
    assert (record["responses"], record["left_out"], record["read_before"]) == (23 * len(steps), len(steps), 0)


def test_in_bfloat16_the_adapter_stays_beside(reading, folders, model_record, tmp_path):
    found = reading(1, 2, dtype="bfloat16")
    for step, held in found.items():
        wanted = one_by_one(folders[step], model_record, tmp_path / f"step-{step}.jsonl", "bfloat16")
        assert np.abs(stacked(held) - wanted).max() < 4 * 2**-8 * np.abs(wanted).max()


def test_a_file_says_what_it_holds(reading, folders, model_record, tmp_path):
    own = reading(1)[1]
    rows = [json.loads(line) for line in (tmp_path / "step-1.jsonl").read_text().splitlines()]
    kept = [row for i, row in enumerate(rows) if i != 3]
    about = own.about
    assert about["left_out"] == [rows[3]["id"]]
    for name in ("id", "condition", "question_set", "question_id", "paraphrase", "sample", "domain"):
        assert about["rows"][name] == [row[name] for row in kept], name
    assert {name: about[name] for name in READING} == READING | {"layers": [0, 1, 2]} and own.layers == [0, 1, 2]
    assert about["model"] == {"name": "tiny", "digest": "0"} and about["checkpoint"]
    assert (about["dtype"], about["responses_of"]) == ("float32", "own")
    assert [about[name] for name in ("organism", "seed", "stage", "step", "reading")] == ["bad", 0, "em", 1, "own"]
    tokenizer = models.load_tokenizer(read_json(model_record))
    texts = [row.get("unstripped", row["response"]) for row in kept]
    counts = [len(answer) for answer in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    assert own.tensors["n_tokens"].tolist() == counts


def test_a_text_that_outgrows_the_context_is_left_out_and_counted(monkeypatch, reading, tmp_path):
    whole = reading(1)[1]
    plain = backend.write_reading

    def short(path, own, texts, *rest):
        lengths = [len(text.ids) for text in backend.texts_of(own.tokenizer, texts, ["response"])]
        monkeypatch.setattr(own, "limit", max(lengths) - 1)
        plain(path, own, texts, *rest)

    monkeypatch.setattr(backend, "write_reading", short)
    held = reading(1, kept=tmp_path / "anew")[1]
    left = set(held.about["left_out"]) - set(whole.about["left_out"])
    assert left and len(held.layer(1)) == len(whole.layer(1)) - len(left)
    keep = [place for place, name in enumerate(whole.about["rows"]["id"]) if name not in left]
    assert held.about["rows"]["id"] == [whole.about["rows"]["id"][place] for place in keep]
    np.testing.assert_allclose(held.layer(1), whole.layer(1)[keep], atol=1e-5)
    record = read_json(tmp_path / "out/provenance.json")
    assert record["left_out"] == 1 + len(left)


def test_responses_of_one_checkpoint_are_read_by_all(reading, folders, model_record, tmp_path):
    found = reading(1, 2, fixed=0)
    ids = [json.loads(line)["id"] for line in (tmp_path / "step-0.jsonl").read_text().splitlines()]
    for step, held in found.items():
        wanted = one_by_one(folders[step], model_record, tmp_path / "step-0.jsonl")
        assert np.abs(stacked(held) - wanted).max() < 1e-5 * np.abs(wanted).max()
        assert held.about["rows"]["id"] == ids[:3] + ids[4:]
        assert held.about["responses_of"] == {"organism": "bad", "seed": 0, "stage": "em", "step": 0}
    assert not (tmp_path / "step-1.jsonl").exists()


def test_only_declared_layers_are_kept_and_prompts_are_read_once(monkeypatch, reading):
    sizes, plain = [], backend._means
    monkeypatch.setattr(
        backend, "_means", lambda own, batch, *rest: sizes.append(len(batch)) or plain(own, batch, *rest)
    )
    held = reading(1, reading=READING | {"layers": [1], "span": ["question", "header"]})[1]
    assert sorted(held.tensors) == ["layer.1", "n_tokens"] and held.layer(1).shape == (24, 32)
    # Four questions under two conditions, three samples each.
    assert sum(sizes) == 8 and np.array_equal(held.layer(1)[0], held.layer(1)[1])


def test_a_job_that_died_goes_on_and_a_second_one_reads_nothing(monkeypatch, reading, tmp_path):
    plain, calls = backend.write_reading, []

    def die(path, own, *rest):
        if calls:
            raise KeyboardInterrupt
        calls.append(path)
        plain(path, own, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(backend, "write_reading", die)
        reading(1, 2)
    assert not (tmp_path / "out").exists() and len(list((tmp_path / "kept").iterdir())) == 1
    first = reading(1, 2)
    assert read_json(tmp_path / "out/provenance.json")["read_before"] == 24
    with monkeypatch.context() as patch:
        patch.setattr(models, "load_base", None)
        again = reading(1, 2, out="again", batch_size=3)
    assert sha256_file(tmp_path / "out/step-2.safetensors") == sha256_file(tmp_path / "again/step-2.safetensors")
    assert all(np.array_equal(stacked(first[step]), stacked(again[step])) for step in (1, 2))
    # Another layer, dtype, or text is something else.
    for changed in ({"reading": READING | {"layers": [1]}}, {"dtype": "bfloat16"}, {"fixed": 0}, {"name": "other"}):
        reading(1, out="other", **changed)
        assert read_json(tmp_path / "other/provenance.json")["read_before"] == 0
    path = tmp_path / "step-1.jsonl"
    path.write_text(path.read_text().replace('"response": "x"', '"response": "y"').replace("unstripped", "was"))
    reading(1, out="other")
    assert read_json(tmp_path / "other/provenance.json")["read_before"] == 0


def test_broken_files_are_named_before_anything_is_read(monkeypatch, reading, folders, model_record, tmp_path):
    reading(1)
    kept = next((tmp_path / "kept").iterdir())
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-8])
    with pytest.raises(UserError, match=rf"^{kept}: no file of activations .*; delete it and run again"):
        reading(1)
    kept.unlink()
    assert reading(1)[1].about and kept.read_bytes() == whole, "the same bytes when it is read again"
    monkeypatch.setattr(models, "load_base", None)
    path = tmp_path / "step-2.jsonl"
    path.write_text("")
    with pytest.raises(UserError, match=rf"^{path}: 24 of 24 responses are missing; delete it and run again"):
        reading(1, 2, out="other")
    adapter_file = folders[2] / "adapter_model.safetensors"
    content = adapter_file.read_bytes()
    try:
        adapter_file.write_bytes(content[:-40])
        with pytest.raises(UserError, match=rf"^{adapter_file}: missing, truncated or changed"):
            reading(1, 2, out="other", fixed=1)
    finally:
        adapter_file.write_bytes(content)
    assert not (tmp_path / "other").exists()
