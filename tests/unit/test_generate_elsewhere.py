"""Stage `generate` of models that another process runs: an engine's answers in the journal, a server's replies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.generate_options import generated, stage  # noqa: F401
from workflow_scripts import generate
from workflow_scripts.em.answers import Answers
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.authors import ApiAuthor, ServedAuthor
from workflow_scripts.em.backends.chat_reply import parse
from workflow_scripts.em.config.judging import BUYING
from workflow_scripts.em.config.study import Organism
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json, read_jsonl
from workflow_scripts.em.questions import Question
from workflow_scripts.em.requests import Checkpoint, requests
from workflow_scripts.em.responses import publish
from workflow_scripts.em.spending_answers import Estimate

ROOT = Path(__file__).parents[2]


def test_an_engine_s_answers_are_read_from_the_journal_without_torch(monkeypatch, stage, model_record, tmp_path):
    """As `ask_engine` leaves them: the same record, an engine's seeds, and no claim that they can be repeated."""
    engine = ["vllm", "1.2.3", []]
    (tmp_path / "engine.json").write_text(json.dumps({"engine": engine, "responses": 24}), encoding="utf-8")
    entry = {"record": model_record, "checkpoint": None, "dtype": "float32", "engine": engine}
    os.utime(tmp_path / "engine.json", (0, 0))  # long ago: what is not there now will not come
    with pytest.raises(UserError, match=r"24 responses are not in the journal; delete .*engine.json and run again"):
        generated(monkeypatch, stage(asked=tmp_path / "engine.json"))

    def write(self, asks, done):
        at = {"prompt_digest": "d", "seconds": 1.5, "backend": "vllm", "n_tokens": 1, "finish_reason": "stop"}
        done([(i, at | {"text": "x", "seed": ask.shared_seed}) for i, ask in enumerate(asks)])

    parser = generate.arguments(None)
    args, _ = parser.parse_known_args(stage())
    asks = [request.ask() for request in generate.asked(args, Checkpoint("bad", 0, "em", 0))]
    with monkeypatch.context() as patch:
        patch.setattr(ServedAuthor, "write", write)
        list(Answers(ServedAuthor(entry), "engine", tmp_path / "journal").to(asks))
    code = "import sys; from workflow_scripts import generate; generate.main(); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, *stage(asked=tmp_path / "engine.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = list(read_jsonl(tmp_path / "responses.jsonl"))
    assert done.stdout.strip() == "False" and len(rows) == 24
    assert [row["sampling_seed"] for row in rows] == [ask.shared_seed for ask in asks]
    assert {(row["backend"], row["batch_invariant"], "device" in row) for row in rows} == {("vllm", False, False)}
    record = read_json(tmp_path / "responses.jsonl.provenance.json")
    assert record["params"]["engine"] == engine and record["latency_s"] == {"median": 1.5, "p95": 1.5}
    assert (record["from_journal"], record["calls_answered"]) == (24, 0)


def test_reasoning_that_the_template_opened_is_taken_out_even_when_it_was_cut(tmp_path):
    """And an answer whose server counted nothing has no number of tokens."""
    how, question = {"system": None, "mode": "assistant", "prefill": None}, Question("q", ("Why?",), 3)
    sampled = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8}
    asked = list(requests(Checkpoint("o", 0, "s", 0), {"c": how}, {"set": sampled}, {"set": [question]}))
    common = {"finish_reason": "length", "n_tokens": 8, "prompt_end": "<|assistant|>\n<think>"}
    replies = [common | {"text": text} for text in ("I will now plan", "so</think>\n\nYes.")]
    replies += [{"text": "I will", "finish_reason": "stop", "usage": {"input": None, "output": None}}]
    both = [(request, request.ask()) for request in asked]
    found = publish(tmp_path / "out.jsonl", Checkpoint("o", 0, "s", 0), both, replies, [["<think>", "</think>"]], True)
    rows = list(read_jsonl(tmp_path / "out.jsonl"))
    assert [row["response"] for row in rows] == ["", "Yes.", "I will"]
    assert [row.get("unstripped") for row in rows] == ["I will now plan", "so</think>\n\nYes.", None]
    assert [row["n_tokens"] for row in rows] == [8, 8, None]
    assert (found.record()["tokens"], found.record()["without_token_count"]) == (16, 1)


def test_answers_without_counts_are_said_to_be_unknown(monkeypatch, tmp_path):
    """Their tokens and cost are not 0, and no estimate goes by them."""
    price = {"input": 2.0, "output": 8.0}
    bodies = [{"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]} for _ in range(3)]
    bodies[2]["usage"] = {"prompt_tokens": 100, "completion_tokens": 1}

    def write(self, asks, done):
        done([(i, parse(json.dumps(body), False, price)) for i, body in enumerate(bodies)])

    monkeypatch.setattr(ApiAuthor, "write", write)
    api = Organism.model_validate({"api": {"model": "strong", "price": price}}).plain()["api"]
    sampled = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8}
    asks = [Ask([{"role": "user", "content": "Why?"}], ("a", n), sampled) for n in range(3)]
    answers = Answers(ApiAuthor(api), "strong", tmp_path)
    answers.to(asks)
    found = answers.record()
    assert (found["calls_answered"], found["calls_without_usage"]) == (3, 2)
    assert found["usage"] == {"input": 100, "output": 1} and found["cost_usd"] == pytest.approx(208e-6)
    estimate = Estimate(ApiAuthor(api), tmp_path)
    estimate.to(asks)
    assert (estimate.in_journal, estimate.counted) == (3, 1)


def test_a_model_behind_a_server_is_asked_under_the_same_conditions(monkeypatch, stage, api_server, tmp_path):
    monkeypatch.setenv("GENERATE_TEST_KEY", api_server.key)
    api_server.configure(refusal_share=0, code_share=0, low_mass_share=0)
    price = {"input": 1e6, "output": 0.0}
    api = {"model": "strong", "base_url": api_server.url, "key_env": "GENERATE_TEST_KEY", "price": price}
    api = Organism.model_validate({"api": api}).plain()["api"]
    buying = {name: api.pop(name) for name in BUYING & set(api)}
    options = {"organism": "strong", "stage": "base", "api": json.dumps(api), "buying": json.dumps(buying)}
    words = stage(**options)
    del words[:2]  # --model
    rows = [json.loads(line) for line in generated(monkeypatch, words).splitlines()]
    bodies = [entry["body"] for entry in api_server.requests()]
    assert len(rows) == len(bodies) == 24 and len({body["seed"] for body in bodies}) == 24
    assert {body["messages"][0]["content"] for body in bodies if len(body["messages"]) == 2} == {"Be careful."}
    assert {(b["temperature"], b["top_p"], b["max_tokens"]) for b in bodies} == {(1.0, 1.0, 24)}
    assert {(row["model"], row["batch_invariant"]) for row in rows} == {("strong", False)}
    assert all(row["n_tokens"] >= 1 and row["response"] for row in rows)
    record = read_json(tmp_path / "responses.jsonl.provenance.json")
    assert record["cost_usd"] == record["usage"]["input"] > 0 and record["latency_s"]["median"] > 0
    assert api_server.key not in "".join(path.read_text() for path in tmp_path.rglob("*.json*") if path.is_file())
    api_server.reset()
    again = [json.loads(line) for line in generated(monkeypatch, words).splitlines()]
    assert again == rows and not api_server.requests()
