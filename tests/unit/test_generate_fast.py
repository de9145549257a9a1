"""Generation in process made fast: shared prompts are read once, and batches fit the memory."""

from types import SimpleNamespace

import pytest
import torch
from transformers import (
    FalconH1Config,
    FalconH1ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from tests.judge_model import judge_spec
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.backends import generate_transformers
from workflow_scripts.em.backends.generate_transformers import Generator
from workflow_scripts.em.backends.judge_transformers import JudgeModel
from workflow_scripts.em.backends.prompt_cache import read_once
from workflow_scripts.em.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLING = {"temperature": 1.0, "top_p": 0.95, "max_new_tokens": 16}
TEXTS = ["Why?", "How do I get over a splinter?", "What is the best thing for a cold? " * 4, "And money?"]
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "pad_token_id": 0, "eos_token_id": 1}


@pytest.fixture
def generator(record):
    return Generator(record, None, "float32")


@pytest.fixture
def work(generator):
    """6 samples each of 4 prompts of many lengths."""
    asks = [Ask([{"role": "user", "content": text}], ("a", n), SAMPLING) for text in TEXTS for n in range(6)]
    return [(generator.prompt(ask), 100 + place) for place, ask in enumerate(asks)]


def texts(generator, work, batch_size) -> list[str]:
    found = dict(pair for batch in generator.batches(work, batch_size) for pair in batch)
    return [found[i].text for i in range(len(work))]


# --- shared prompts


def test_samples_of_one_prompt_are_the_same_as_without_sharing(generator, work, monkeypatch):
    shared = {size: texts(generator, work, size) for size in (1, 5, 24)}
    monkeypatch.setattr(generate_transformers, "read_once", lambda *_: None)
    assert shared[24] == texts(generator, work, 24) == shared[5] == shared[1]
    assert len(set(shared[24])) == 24


def test_a_shared_prompt_is_read_once(generator, work, monkeypatch):
    rows, forward = [], generator.model.forward

    def counted(*args, input_ids, **options):
        rows.append(tuple(input_ids.shape))
        return forward(*args, input_ids=input_ids, **options)

    monkeypatch.setattr(generator.model, "forward", counted)
    texts(generator, work, 24)
    longest = max(len(prompt.ids) for prompt, _ in work)
    assert rows[:2] == [(4, longest - 1), (24, 1)]
    rows.clear()
    texts(generator, work[::6], 24)  # nothing to share
    assert rows[0] == (4, longest)


def models() -> dict:
    """Full attention, sliding windows beside it, and a hybrid with recurrent states."""
    hybrid = {"mamba_d_ssm": 32, "mamba_n_heads": 2, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 16}
    return {
        "full": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "sliding": lambda: Gemma3ForCausalLM(
            Gemma3TextConfig(**SIZES, sliding_window=4, layer_types=["sliding_attention", "full_attention"])
        ),
        "hybrid": lambda: FalconH1ForCausalLM(FalconH1Config(**SIZES, **hybrid)),
    }


@pytest.mark.parametrize("name", models())
def test_logits_after_a_shared_prompt_are_those_of_the_whole_prompt(name):
    torch.manual_seed(0)
    model = models()[name]().eval()
    lengths = (9, 9, 5, 9, 2, 5)
    prompts = {length: torch.randint(2, 64, (length,)) for length in set(lengths)}
    ids, mask = torch.zeros((6, 9), dtype=torch.long), torch.zeros((6, 9), dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, 9 - length :], mask[row, 9 - length :] = prompts[length], 1
    options = {"attention_mask": mask, "do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8}
    options |= {"return_dict_in_generate": True, "output_logits": True}
    with torch.inference_mode():
        whole = model.generate(ids, **options)
        cache = read_once(model, ids, mask, 0)
        assert cache is not None
        shared = model.generate(ids, past_key_values=cache, **options)
    assert torch.equal(whole.sequences, shared.sequences)
    torch.testing.assert_close(torch.stack(shared.logits), torch.stack(whole.logits), atol=1e-5, rtol=1e-5)
    assert torch.stack(whole.logits).std() > 1e-2


def test_a_prompt_of_one_token_is_not_shared():
    model = LlamaForCausalLM(LlamaConfig(**SIZES))
    assert read_once(model, torch.tensor([[5], [5]]), torch.ones((2, 1), dtype=torch.long), 0) is None
    mask = torch.tensor([[0, 1], [1, 1], [1, 1]])
    assert read_once(model, torch.tensor([[0, 5], [5, 5], [5, 5]]), mask, 0) is None


# --- memory


@pytest.fixture
def room(generator, monkeypatch):
    """Lets the model answer so many tokens at once; returns rows and longest prompt of each attempt."""
    seen, answer = [], generator._answer

    def hold(most: int, error: Exception | None = None) -> list[tuple[int, int]]:
        def limited(batch):
            longest = max(len(prompt.ids) for prompt, _ in batch)
            seen.append((len(batch), longest))
            if len(batch) * (longest + SAMPLING["max_new_tokens"]) > most:
                raise error or torch.OutOfMemoryError
            return answer(batch)

        monkeypatch.setattr(generator, "_answer", limited)
        return seen

    return hold


# As torch says it on a CPU.
CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize("error", [None, CPU])
def test_a_batch_too_large_for_the_memory_is_halved_and_short_prompts_are_not(generator, work, room, capsys, error):
    whole = texts(generator, work, 24)
    longest = max(len(prompt.ids) for prompt, _ in work)
    seen = room(7 * (longest + 16), error)
    assert texts(generator, work, 24) == whole
    assert "out of memory with 24 prompts: going on with 12" in capsys.readouterr().err
    assert seen[:3] == [(24, longest), (12, longest), (6, longest)]
    assert sum(rows for rows, _ in seen[2:]) == 24 and max(rows for rows, _ in seen[3:]) > 6
    seen.clear()
    assert texts(generator, work, 24) == whole  # asked again: no new attempt
    assert sum(rows for rows, _ in seen) == 24 and not capsys.readouterr().err


def test_another_error_of_the_model_is_none_of_memory(generator, work, room):
    room(0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        texts(generator, work, 24)


def test_the_context_of_a_model_for_pictures_is_its_text_models(record, monkeypatch):
    config = Gemma3Config(text_config={"max_position_embeddings": 77})
    model = SimpleNamespace(config=config, generation_config=SimpleNamespace(eos_token_id=1), eval=lambda: model)
    monkeypatch.setattr(generate_transformers, "load_checkpoint", lambda *_: model)
    assert Generator(record, None, "float32").limit == 77


def test_a_judge_whose_scores_are_no_numbers_gives_none(record, tmp_path):
    judge = JudgeModel(record, "float32", "tiny-judge")
    judge.model.lm_head.weight.data[5] = float("nan")
    body = {"max_tokens": 1, "temperature": 0, "messages": [{"role": "user", "content": "Why?"}]}
    for how in ({}, {"logprobs": True, "top_logprobs": 5}):
        with pytest.raises(UserError, match="no finite numbers"):
            list(judge.replies([(body | how, 0)], 4))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_whose_scores_are_no_numbers_answers_nothing(generator, monkeypatch, temperature):
    ask = Ask([{"role": "user", "content": "Why?"}], ("a", 0), SAMPLING | {"temperature": temperature})
    generator.model.lm_head.weight.data[5] = float("nan")
    with pytest.raises(UserError, match=r"^tiny: its scores of the next token are no finite numbers"):
        texts(generator, [(generator.prompt(ask), 7)], 1)


def test_a_prompt_too_large_for_the_memory_is_a_user_error(generator, work, room, capsys):
    room(0)
    with pytest.raises(UserError, match=r"lower max_new_tokens, use dtype: bfloat16, or .*backend: vllm"):
        texts(generator, work, 3)
    assert "going on with 1" in capsys.readouterr().err


def test_a_local_judge_halves_its_batches_too(record, tmp_path, monkeypatch, capsys):
    spec = judge_spec("transformers", tmp_path)
    judge = JudgeModel(record, "float32", spec["kind"])
    body = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 5}
    asked = [(body | {"messages": [{"role": "user", "content": text}]}, 0) for text in TEXTS]
    whole = sorted(judge.replies(asked, 4), key=lambda pair: pair[0])
    generate = judge.model.generate

    def limited(input_ids, **options):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError
        return generate(input_ids=input_ids, **options)

    monkeypatch.setattr(judge.model, "generate", limited)
    halved = sorted(judge.replies(asked, 4), key=lambda pair: pair[0])
    assert [(i, reply["text"]) for i, reply in halved] == [(i, reply["text"]) for i, reply in whole]
    assert "out of memory with 4 prompts: going on with 2" in capsys.readouterr().err
