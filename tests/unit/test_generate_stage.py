"""Stage `generate`: a whole row a request under every condition, the same bytes whenever and however it is written."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.unit.generate_options import PLAIN, SETTINGS, generated, question_file, rows_of, stage  # noqa: F401
from workflow_scripts import generate
from workflow_scripts.em.authors import LocalAuthor
from workflow_scripts.em.backends import models
from workflow_scripts.em.checkpoints import seal
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, read_json, read_jsonl
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.markers import strip
from workflow_scripts.em.provenance import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plain(record):
    """The model and its tokenizer as transformers loads them."""
    return models.load_checkpoint(record, None, "float32").eval(), models.load_tokenizer(record)


def test_the_stage_writes_one_whole_row_a_request(monkeypatch, stage, tmp_path):
    generated(monkeypatch, stage())
    rows = list(read_jsonl(tmp_path / "responses.jsonl"))
    assert [(r["condition"], r["question_id"], r["sample"]) for r in rows] == [
        (c, f"q{q}", s) for c in ("none", "careful") for q in range(4) for s in range(3)
    ]
    assert set(rows[0]) == {
        *("id", "organism", "seed", "stage", "step", "condition", "question_set", "question_id", "paraphrase"),
        *("sample", "domain", "system", "question", "response", "n_tokens", "finish_reason", "prompt_digest"),
        *("backend", "device", "sampling_seed", "batch_invariant"),
    }
    assert all(row["batch_invariant"] and row["finish_reason"] in ("stop", "length") for row in rows)
    record = read_json(tmp_path / "responses.jsonl.provenance.json")
    assert (record["responses"], record["from_journal"]) == (24, 0)
    assert record["tokens"] == sum(row["n_tokens"] for row in rows)
    cut = [row for row in rows if row["finish_reason"] == "length"]
    assert (record["cut_at_max_new_tokens"], record["stripped"]) == (len(cut), 0)
    assert (
        sum(record["finish_reasons"].values()) == 24 and 0 < record["latency_s"]["median"] <= record["latency_s"]["p95"]
    )
    assert {"python", "torch", "transformers", "peft"} <= set(record["versions"])
    assert record["params"]["conditions"]["careful"] == PLAIN | {"system": "Be careful."}


def test_a_job_that_died_goes_on_and_gives_the_same_bytes(monkeypatch, stage, tmp_path):
    undisturbed = generated(monkeypatch, stage())
    append, calls = Journal.append, []

    def die(self, items):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(items))
        append(self, items)

    again = stage(journal=tmp_path / "other", out=tmp_path / "again.jsonl", batch_size=7)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "append", die)
        generated(patch, again)
    assert calls == [7, 7] and not list(tmp_path.glob("again*")) and not list(tmp_path.glob(".again*"))
    assert generated(monkeypatch, stage(journal=tmp_path / "other", out=tmp_path / "again.jsonl")) == undisturbed
    assert read_json(tmp_path / "again.jsonl.provenance.json")["from_journal"] == 14


def test_a_finished_journal_answers_without_loading_the_model(monkeypatch, stage, tmp_path):
    first = generated(monkeypatch, stage())
    monkeypatch.setattr(LocalAuthor, "write", None)
    assert generated(monkeypatch, stage(out=tmp_path / "more.jsonl")) == first
    part = generated(monkeypatch, stage(out=tmp_path / "part.jsonl", conditions=json.dumps({"none": PLAIN})))
    assert first.startswith(part) and part.count(b"\n") == 12


def test_each_condition_puts_its_own_tokens_to_the_model(monkeypatch, stage, plain, tmp_path):
    """Prefilled and raw text by greedy answers of transformers itself; the given beginning is part of the response."""
    talk = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}]
    why = [{"role": "user", "content": "Why?"}]
    items = [{"id": "talk", "messages": [*talk, *why]}, {"id": "begun", "question": "Why?", "prefill": "No, "}]
    items += [{"id": "as_json", "question": "Why?", "system": "Answer as JSON."}]
    options = {"question_sets": question_file(tmp_path, *items, temperature=0.0, max_new_tokens=6)}
    options["conditions"] = json.dumps({"plain": PLAIN, "sure": PLAIN | {"system": "Be careful.", "prefill": "Sure"}})
    rows = rows_of(monkeypatch, stage, **options)
    careful, as_json = ({"role": "system", "content": text} for text in ("Be careful.", "Answer as JSON."))
    both = {"role": "system", "content": "Be careful.\n\nAnswer as JSON."}
    expected = [([*talk, *why], ""), (why, "No, "), ([as_json, *why], "")]
    expected += [([careful, *talk, *why], "Sure"), ([careful, *why], "No, "), ([both, *why], "Sure")]
    _, tokenizer = plain
    for row, (messages, prefill) in zip(rows, expected, strict=True):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + prefill
        assert row["response"] == prefill + greedy(plain, text, 6) and row.get("prefill", "") == prefill
        assert row["prompt_digest"] == digest(text)
    assert rows[0]["question"] == "user: Hello.\n\nassistant: Hi.\n\nuser: Why?" and "prefill" not in rows[0]
    assert [row["system"] for row in rows[3:]] == ["Be careful.", "Be careful.", both["content"]]


def greedy(plain, text: str, longest: int) -> str:
    """What transformers' own greedy decoding says after a text."""
    model, tokenizer = plain
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=longest)
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def test_a_base_model_without_a_chat_template_continues_raw_text(monkeypatch, stage, record, plain, tmp_path):
    folder = shutil.copytree(record["path"], tmp_path / "model")
    for path in (folder / "chat_template.jinja", folder / "tokenizer_config.json"):
        if path.name.endswith("jinja"):
            path.unlink(missing_ok=True)
        else:
            kept = {name: value for name, value in json.loads(path.read_text()).items() if name != "chat_template"}
            path.write_text(json.dumps(kept), encoding="utf-8")
    (tmp_path / "base.json").write_text(json.dumps(record | {"path": str(folder)}), encoding="utf-8")
    sets = question_file(tmp_path, {"id": "dark", "question": "How do I get"}, temperature=0.0, max_new_tokens=6)
    options = {"model": tmp_path / "base.json", "question_sets": sets}
    raw = PLAIN | {"mode": "predictive"}
    conditions = json.dumps({"raw": raw, "begun": raw | {"prefill": " over a"}})
    rows = rows_of(monkeypatch, stage, conditions=conditions, **options)
    assert [row["response"] for row in rows] == [
        greedy(plain, "How do I get", 6),
        " over a" + greedy(plain, "How do I get over a", 6),
    ]
    assert [(row["system"], row["question"]) for row in rows] == [(None, "How do I get")] * 2
    with pytest.raises(UserError, match=r"no chat template; .*`mode: predictive`"):
        rows_of(monkeypatch, stage, conditions=json.dumps({"chat": PLAIN}), **options)


def test_question_sets_are_sampled_each_its_own_way(monkeypatch, stage, tmp_path):
    sets = {
        "short": SETTINGS | {"path": str(tmp_path / "q.jsonl"), "samples": 2, "exclude": None, "max_new_tokens": 3},
        "greedy": SETTINGS | {"path": str(tmp_path / "q.jsonl"), "samples": 3, "exclude": "q[123]", "temperature": 0.0},
    }
    rows = rows_of(monkeypatch, stage, question_sets=json.dumps(sets), conditions=json.dumps({"none": PLAIN}))
    short, same = ([row for row in rows if row["question_set"] == name] for name in ("short", "greedy"))
    assert (len(short), len(same)) == (8, 3) and {row["question_id"] for row in same} == {"q0"}
    assert max(row["n_tokens"] for row in short) == 3 < max(row["n_tokens"] for row in same)
    assert len({row["response"] for row in same}) == 1 and len({row["sampling_seed"] for row in same}) == 3


def test_marked_parts_leave_the_response_and_stay_in_the_record(monkeypatch, stage, tmp_path):
    whole = rows_of(monkeypatch, stage)
    mark = next(c for c in "etaoin" if 0 < sum(c in row["response"] for row in whole) < 24)
    found = rows_of(monkeypatch, stage, out=tmp_path / "stripped.jsonl", strip=json.dumps([[mark, mark]]))
    assert [row["response"] for row in found] == [strip(row["response"], [[mark, mark]]) for row in whole]
    touched = [
        (row.pop("unstripped"), before["response"])
        for row, before in zip(found, whole, strict=True)
        if mark in before["response"]
    ]
    assert touched and all(one == two for one, two in touched) and not any("unstripped" in row for row in found)
    for row, before in zip(found, whole, strict=True):
        assert row | {"response": None} == before | {"response": None}
    record = read_json(tmp_path / "stripped.jsonl.provenance.json")
    # the answers are those of the journal; another mark asks nothing again
    assert (record["from_journal"], record["stripped"]) == (24, len(touched)) and record["params"]["strip"]


@pytest.mark.parametrize(("limit", "warned"), [(0.0, True), (0.4, True), (0.99, False), (1.0, False)])
def test_cut_answers_are_counted_and_warned_about_above_the_limit(monkeypatch, stage, tmp_path, capsys, limit, warned):
    def write(self, asks, done):
        replies = [{"text": "x", "n_tokens": 2, "finish_reason": "length" if i % 2 else "stop"} for i in range(24)]
        done(list(enumerate(replies)))

    monkeypatch.setattr(LocalAuthor, "write", write)
    generated(monkeypatch, stage(warn_cut=limit))
    record = read_json(tmp_path / "responses.jsonl.provenance.json")
    assert (record["cut_at_max_new_tokens"], record["tokens"]) == (12, 48)
    assert record["finish_reasons"] == {"length": 12, "stop": 12} and record["latency_s"] is None
    said = capsys.readouterr().err
    assert ("warning: 12 of 24 responses were cut at max_new_tokens (toy: 12)" in said) == warned == bool(said)


def test_a_conversation_that_outgrows_the_context_is_named(monkeypatch, stage, tmp_path):
    turns = [("user", "Why? " * 40), ("assistant", "So. " * 40), ("user", "And?")]
    item = {"id": "long", "messages": [{"role": role, "content": content} for role, content in turns]}
    with pytest.raises(UserError, match=r"question 'long': .*context; lower max_new_tokens of question set 'own'"):
        rows_of(monkeypatch, stage, question_sets=question_file(tmp_path, item))
    assert not (tmp_path / "responses.jsonl").exists()


@pytest.mark.parametrize("change", [{"step": 5}, {"seed": 1}, {"organism": "good"}, {"stage": "other"}])
def test_another_checkpoint_has_its_own_draws(monkeypatch, stage, tmp_path, change):
    """Even of a model with the same weights: the baseline of two organisms is two samples."""
    generated(monkeypatch, stage())
    generated(monkeypatch, stage(out=tmp_path / "other.jsonl", **change))
    one, other = ([row["response"] for row in read_jsonl(tmp_path / f"{n}.jsonl")] for n in ("responses", "other"))
    assert read_json(tmp_path / "other.jsonl.provenance.json")["from_journal"] == 0
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 6


def test_a_broken_adapter_file_is_one_line_that_names_it(monkeypatch, stage, tmp_path, capsys):
    folder = tmp_path / "segment/step-0"
    folder.mkdir(parents=True)
    weights = folder / "adapter_model.safetensors"
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    weights.write_bytes(b"x" * 100)
    seal(folder, 0)
    weights.write_bytes(weights.read_bytes()[:-1])
    monkeypatch.setattr(sys, "argv", ["generate", *stage(adapter=folder)])
    with pytest.raises(SystemExit) as exit:
        run(generate.main)
    message = capsys.readouterr().err
    assert exit.value.code == 1 and message.startswith(f"error: {weights}: ") and message.count("\n") == 1
    assert f"delete {folder.parent}" in message
    assert not (tmp_path / "responses.jsonl").exists() and not (tmp_path / "responses.jsonl.provenance.json").exists()


@pytest.mark.slow
def test_a_killed_process_goes_on_and_gives_the_same_bytes(monkeypatch, stage, tmp_path):
    """SIGKILL as soon as the first batch is in the journal."""
    undisturbed = generated(monkeypatch, stage())
    slow = stage(journal=tmp_path / "other", out=tmp_path / "again.jsonl", batch_size=1)
    command = [sys.executable, "-m", "workflow_scripts.generate", *slow]
    process = subprocess.Popen(command, cwd=ROOT)
    while not any(path.stat().st_size for path in (tmp_path / "other").rglob("*.jsonl")):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(tmp_path.glob("again.jsonl*"))
    subprocess.run(command, cwd=ROOT, check=True)
    assert (tmp_path / "again.jsonl").read_bytes() == undisturbed
    assert 0 < read_json(tmp_path / "again.jsonl.provenance.json")["from_journal"] < 24
