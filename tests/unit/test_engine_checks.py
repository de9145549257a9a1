"""What an engine cannot do, known before anything is trained: from the config, and from the server itself."""

import json
import sys

import pytest

from tests.unit.engine_server import OPTIONS
from tests.unit.test_config import complaints
from tests.unit.test_stages import combine, said, stage, stages  # noqa: F401
from workflow_scripts import engine_preflight
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json

URL = "http://127.0.0.1:8000/v1"
ADAPTERS = ("bad", "good", "character", "character_bad", "bare")


def served(raw, **engine) -> None:
    raw["generation"] = {"backend": "vllm", "engine": engine}


@pytest.fixture
def adapters(raw):
    """The tiny study without its organism on a merged base, on a server of the user's."""
    del raw["organisms"]["character_merged_bad"]
    served(raw, url=URL)
    return raw


def test_an_engine_serves_no_dora(raw, stages):
    raw["recipes"]["dora"] = {"learning_rate": 1e-3, "schedule": "constant", "lora": {"dora": True}}
    raw["generation"] = {"backend": "vllm"}
    stages += [stage("a", "dora")]
    assert "serves no DoRA adapter" in said(raw)["[0].recipe"]
    stages[0]["evaluate"] = False
    stages += [stage("b", start="merge")]
    load_config(raw, [])


def test_an_engine_serves_adapters_of_some_ranks(raw, stages):
    raw["recipes"]["wide"] = {"learning_rate": 1e-3, "schedule": "constant", "lora": {"r": 513}}
    served(raw)
    stages += [stage("a", "wide")]
    assert "adapters of rank 512 at most (lora.r is 513)" in said(raw)["[0].recipe"]
    raw["recipes"]["wide"]["lora"]["r"] = 512
    load_config(raw, [])
    raw["recipes"]["wide"]["lora"]["r"] = 513
    raw["organisms"]["child"] = {"from_organism": "o"}
    stages[0]["evaluate"] = False
    assert list(complaints(raw)) == ["organisms.child.from_organism"]
    raw["generation"]["backend"] = "transformers"
    load_config(raw, [])


def test_one_server_serves_one_base(adapters):
    load_config(adapters, [])
    adapters["base_models"]["other"] = {"toy": {"size": "xs", "seed": 1}}
    adapters["organisms"]["else"] = {"base_model": "other"}
    assert "several (other, toy)" in complaints(adapters)["generation.engine.url"]
    served(adapters)
    load_config(adapters, [])


def test_a_server_of_the_users_serves_no_other_weights(adapters):
    adapters["recipes"]["full"] = {"learning_rate": 1e-3, "schedule": "constant", "lora": None}
    stages = [stage("whole", "full"), stage("em", "constant", start="merge")]
    adapters["organisms"]["o"] = {"base_model": "toy", "stages": stages}
    found = said(adapters)
    assert "trains all weights" in found["[0].recipe"] and "merged in" in found["[1].start"]
    stages[0]["evaluate"] = False
    assert list(said(adapters)) == ["[1].start"]
    stages[1]["evaluate"] = False
    load_config(adapters, [])


def test_a_sum_lies_on_the_base_of_its_earliest_part(adapters):
    stages = [stage("a"), stage("b", start="merge", evaluate=False), combine({"b": 0.5, "a": 1.0})]
    adapters["organisms"]["o"] = {"base_model": "toy", "stages": stages}
    load_config(adapters, [])
    stages[2] = stage("c", start="merge", evaluate=False)
    stages.append(combine({"c": 1.0, "b": 0.5}))
    assert "[3].start" in said(adapters)


def test_the_length_holds_more_than_the_answer(raw):
    served(raw, max_model_len=12)
    assert "has to hold the prompt and 12 tokens" in complaints(raw)["question_sets.toy.max_new_tokens"]
    served(raw, max_model_len=13)
    load_config(raw, [])


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000", "http://localhost", "localhost:8000/v1", "http://a b/v1", "http://[/v1", "http:///v1",
     "http://:8000/v1", "http://here:port/v1", "http://here:99999/v1", "http://me:secret@here/v1"],
)  # fmt: skip
def test_a_url_is_that_of_a_server(adapters, url):
    served(adapters, url=url)
    assert any(key.startswith("generation.engine") for key in complaints(adapters))


@pytest.mark.parametrize("url", ["http://localhost:8000/v1/", "https://here/proxy/v1", "http://[::1]:8000/v1"])
def test_addresses_of_servers(adapters, url):
    served(adapters, url=url)
    load_config(adapters, [])


# --- the stage


@pytest.fixture
def preflight(monkeypatch, tmp_path, model_record):
    """Runs the stage; returns what it found."""

    def call(**engine) -> dict:
        words = ["--engine", json.dumps(OPTIONS | engine), "--out", str(tmp_path / "found.json")]
        words += ["--model", str(model_record)] if engine.get("url") else []
        monkeypatch.setattr(sys, "argv", ["engine_preflight", *words])
        engine_preflight.main()
        return read_json(tmp_path / "found.json")

    return call


def test_the_preflight_finds_what_will_answer(preflight, server, monkeypatch):
    assert preflight(url=server.url) == {"vllm": "9.9", "model": "tiny"}
    server.fault = lambda path, _: (200, {"data": [{"id": "large"}]}) if path == "models" else None
    with pytest.raises(UserError, match="serves large, not tiny"):
        preflight(url=server.url)
    monkeypatch.setattr(engine_preflight, "engine_version", lambda engine: "1.2")
    assert preflight() == {"vllm": "1.2", "model": None}


@pytest.mark.parametrize("body", [{"data": None}, {"data": ["tiny"]}, {"data": [{}]}, [], {"nothing": 1}, 5])
def test_a_server_that_is_no_vllm_is_told(preflight, server, body):
    server.fault = lambda path, _: (200, body) if path == "models" else None
    with pytest.raises(UserError, match=r"generation\.engine\.url: "):
        preflight(url=server.url)


def test_a_missing_vllm_is_told(preflight):
    with pytest.raises(UserError, match="has no vLLM"):
        preflight(python="/no/such/python")
    for url in ("http://here:port/v1", "http://a b/v1"):
        with pytest.raises(UserError, match="no vLLM server at"):
            preflight(url=url)
