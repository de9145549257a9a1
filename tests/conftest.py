"""Shared fixtures: the repository root, the tiny study's raw config, an API server, a random model with the toy
tokenizer."""

import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch and the tokenizers when they are first imported

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def quantising():
    """Tests of several kinds share a process: what one leaves out another may need."""
    from workflow_scripts.em import backends

    with pytest.MonkeyPatch.context() as patch:
        plain = backends.without_bitsandbytes
        patch.setattr(backends, "without_bitsandbytes", lambda *_: None)
        yield plain


@pytest.fixture
def root(monkeypatch):
    """The repository, as the working directory: config paths are relative to it."""
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.fixture
def raw(root):
    """A fresh copy of tests/tiny.yaml as plain data, to be broken at will."""
    return yaml.safe_load((root / "tests/tiny.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def api_process():
    """The API server's process, shared by all tests; use `api_server`."""
    from tests.servers.process import ApiServer

    with ApiServer() as server:
        yield server


@pytest.fixture
def api_server(api_process):
    """A server that speaks the OpenAI API (tests/servers/process.py), with settings and counts as new."""
    api_process.reset()
    return api_process


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory):
    """A save_pretrained folder of the xs toy tokenizer, trained on the xs corpus (a second)."""
    from workflow_scripts.em.files import read_jsonl
    from workflow_scripts.em.toy.grammar import load_grammar
    from workflow_scripts.em.toy.sizes import SIZES
    from workflow_scripts.toy_corpus import write_corpus
    from workflow_scripts.toy_tokenizer import train_tokenizer

    place = tmp_path_factory.mktemp("tokenizer")
    write_corpus(load_grammar(ROOT / "data/toy/grammar.yaml"), SIZES["xs"], 0, place / "corpus")
    rows = read_jsonl(place / "corpus/documents.jsonl")
    texts = (message["content"] for row in rows for message in row["messages"])
    train_tokenizer(texts, SIZES["xs"]["vocab"]).save_pretrained(place / "tokenizer")
    return place / "tokenizer"


@pytest.fixture
def tokenizer(tokenizer_dir):
    """The toy tokenizer; a fresh one for each test, so that a test may change its template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_dir)


@pytest.fixture(scope="session")
def model_record(tokenizer_dir, tmp_path_factory):
    """Path of the model record of a random two-layer Llama whose logits are far from flat, so that answers differ."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    place = tmp_path_factory.mktemp("model")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(place / "folder")
    tokenizer.save_pretrained(place / "folder")
    record = {"name": "tiny", "path": str(place / "folder"), "revision": None, "digest": "0"}
    record["trust_remote_code"] = False
    (place / "record.json").write_text(json.dumps(record), encoding="utf-8")
    return place / "record.json"
