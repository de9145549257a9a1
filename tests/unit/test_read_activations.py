"""Hidden states: means over spans as plain transformers gives them, for each convention, padding and dtype."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from workflow_scripts.em.backends import read_activations
from workflow_scripts.em.backends.blocks import blocks_of
from workflow_scripts.em.backends.fitting import Fitting
from workflow_scripts.em.config.activations import READINGS
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.layers import layers_of, point
from workflow_scripts.em.readings import Text

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"vocab_size": 64, "num_hidden_layers": 3, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
BLOCKS = 3
LENGTHS = (9, 4, 17, 6, 4)


def generator(model, limit: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(model=model.eval(), limit=limit, name="tiny", fitting=Fitting())


def tiny(kind: str = "Llama", dtype: str = "float32", **options):
    """A random model of three blocks that change what enters them."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SMALL | {"initializer_range": 0.3, "pad_token_id": 0} | options)
    return transformers.AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype)).eval()


def some_texts() -> list[Text]:
    """Texts of several lengths with one span or two, of which two are equal."""
    torch.manual_seed(1)
    found = [Text(tuple(torch.randint(1, 64, (n,)).tolist()), ((n - 3, n),)) for n in LENGTHS]
    found[2] = Text(found[2].ids, ((1, 4), (9, 17)))
    return [*found, found[0]]


def expected(model, texts: list[Text], padding: str) -> dict[str, np.ndarray]:
    """Convention -> (texts, layers, hidden) in float64 of plain `output_hidden_states` of one padded batch.

    The last block's own output is not among those, so it is taken with the final norm out of the model.
    """
    length = max(len(text.ids) for text in texts)
    before = [length - len(text.ids) if padding == "left" else 0 for text in texts]
    ids, mask = torch.zeros(len(texts), length, dtype=torch.long), torch.zeros(len(texts), length, dtype=torch.long)
    for row, (text, start) in enumerate(zip(texts, before, strict=True)):
        ids[row, start : start + len(text.ids)] = torch.tensor(text.ids)
        mask[row, start : start + len(text.ids)] = 1
    positions = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}

    def states(of) -> np.ndarray:
        with torch.inference_mode():
            found = of(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False, **positions)
        every = torch.stack(found.hidden_states, 1).double().numpy()
        places = [
            [start + i for span in text.spans for i in range(*span)] for text, start in zip(texts, before, strict=True)
        ]
        return np.stack([every[row][:, at].mean(1) for row, at in enumerate(places)])

    plain = states(model)
    name = next(name for name in ("norm", "ln_f", "final_layer_norm") if hasattr(model.get_decoder(), name))
    norm = getattr(model.get_decoder(), name)
    setattr(model.get_decoder(), name, torch.nn.Identity())
    bare = states(model)
    setattr(model.get_decoder(), name, norm)
    return {"hidden_states": plain, "hidden_states_next": plain[:, 1:], "block_output": bare[:, 1:]}


def read(model, texts: list[Text], convention: str, layers: list[int] | None = None, size: int = 2) -> np.ndarray:
    """(texts, layers, hidden) as the backend reads them; None = all layers."""
    points = [point(convention, layer, BLOCKS) for layer in layers or layers_of(convention, BLOCKS)]
    found = dict(read_activations.means(generator(model), texts, points, size))
    assert sorted(found) == list(range(len(texts)))
    return np.stack([found[i] for i in range(len(texts))])


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("preset", READINGS)
def test_every_layer_of_the_published_ways_is_that_of_plain_transformers(preset, padding):
    model, texts, convention = tiny(), some_texts(), READINGS[preset]["convention"]
    wanted = expected(model, texts, padding)[convention]
    found = read(model, texts, convention)
    assert found.dtype == np.float32 and found.shape == (6, {"hidden_states": 4}.get(convention, 3), 16)
    assert np.abs(wanted).max() > 1 and np.abs(found - wanted).max() < 1e-5
    # One layer by itself: the model is run no further than that.
    for place in range(found.shape[1]):
        assert np.abs(read(model, texts, convention, [place])[:, 0] - wanted[:, place]).max() < 1e-5


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("convention", ["block_output", "hidden_states", "hidden_states_next"])
def test_in_bfloat16_means_are_taken_in_float32(convention, padding):
    model, texts = tiny(dtype="bfloat16"), some_texts()
    wanted = expected(model, texts, padding)[convention]
    # Another padding adds the same bfloat16 numbers in another order: a few steps of 2**-8 of the largest.
    assert np.abs(read(model, texts, convention) - wanted).max() < 3 * 2**-8 * np.abs(wanted).max()
    # With the same batch there is no other difference than float32's: no sum is rounded to bfloat16.
    alone = texts[2:3]
    exact = expected(model, alone, padding)[convention]
    assert np.abs(read(model, alone, convention) - exact).max() < 1e-5 * np.abs(exact).max()


OTHERS = {
    "GPT2": {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 32},
    "GPTNeoX": {"max_position_embeddings": 32},
    "Qwen2": {"num_key_value_heads": 1, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "Gemma2": {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4},
    "Mixtral": {"num_key_value_heads": 1, "num_local_experts": 3},
}


def answered_texts() -> list[Text]:
    """Three beginnings of several lengths with some answers each, and one that has a single answer."""
    torch.manual_seed(2)
    some = lambda n: tuple(torch.randint(1, 64, (n,)).tolist())  # noqa: E731
    begun = [(some(n), answers) for n, answers in ((5, (4, 1, 7)), (2, (3, 3)), (8, (2, 6)), (3, (5,)))]
    return [Text((*ids, *some(n)), ((len(ids), len(ids) + n),)) for ids, answers in begun for n in answers]


LOCAL = {"window_size": 4, "attention_types": [[["global", "local", "local"], 1]], "num_layers": 3, "num_heads": 2}
LENDING = {"Llama": {}, **{kind: OTHERS[kind] for kind in ("GPT2", "GPTNeoX", "Mixtral")}}


@pytest.mark.parametrize("kind", [*LENDING, "Qwen2", "Gemma2", "GPTNeo", "Falcon"])
def test_a_prompt_of_several_answers_is_read_once_where_its_cache_can_be_lent(kind, monkeypatch):
    model, texts, rows = tiny(kind, **OTHERS.get(kind, LOCAL if kind == "GPTNeo" else {})), answered_texts(), []
    model.get_input_embeddings().register_forward_hook(lambda _, given, __: rows.append(given[0].numel()))
    for convention, wanted in expected(model, texts, "left").items() if kind != "Falcon" else ():
        rows.clear()
        assert np.abs(read(model, texts, convention, size=8) - wanted).max() < 1e-5, convention
        whole = sum(len(text.ids) for text in texts)
        # 5 + 2 + 8 tokens of beginnings (filled up to 8 each), then answers filled up to 7; the last text is whole.
        assert rows == [3 * 8, 7 * 7, 8] if kind in LENDING else sum(rows) >= whole
    shuffled = [texts[place] for place in (5, 0, 7, 2, 1, 4, 3, 6)]
    one, other = read(model, texts, "block_output", size=2), read(model, shuffled, "block_output", size=8)
    assert np.abs(one[[5, 0, 7, 2, 1, 4, 3, 6]] - other).max() < 1e-5


@pytest.mark.parametrize("kind", OTHERS)
def test_blocks_are_found_in_other_architectures(kind):
    own = OTHERS[kind]
    model, texts = tiny(kind, **own), some_texts()
    for convention, wanted in expected(model, texts, "right").items():
        assert np.abs(read(model, texts, convention) - wanted).max() < 1e-5, convention


def counting_model():
    """GPT-2 of three blocks of which block i adds 10**i to coordinate 1 of what enters it; the final norm gives 7.

    Coordinate 0 is the token's number; positions add nothing.
    """
    config = transformers.GPT2Config(vocab_size=64, n_embd=4, n_layer=3, n_head=1, n_positions=32)
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.transformer.wte.weight[:, 0] = torch.arange(64)
        for i, block in enumerate(model.transformer.h):
            block.mlp.c_proj.bias[1] = 10.0**i
        model.transformer.ln_f.bias.fill_(7)
    return model


@pytest.mark.parametrize(
    ("convention", "second"),
    [("block_output", [1, 11, 111]), ("hidden_states", [0, 1, 11, 7]), ("hidden_states_next", [1, 11, 7])],
)
def test_which_layer_is_which_on_a_model_that_counts(convention, second):
    # Tokens 20 and 40 are in the span, of the other text 3, 5 and 10.
    texts = [Text((9, 20, 40), ((1, 3),)), Text((3, 50, 5, 10), ((0, 1), (2, 4)))]
    first, other = read(counting_model(), texts, convention)
    assert first[:, 1].tolist() == second and other[:, 1].tolist() == second
    normed = convention != "block_output"
    assert first[:, 0].tolist() == [30] * (len(second) - normed) + [7] * normed
    assert other[:, 0].tolist() == [6] * (len(second) - normed) + [7] * normed


def test_only_what_is_declared_is_computed_and_held():
    model, texts = tiny(), some_texts()
    ran, held = [], []
    for i, block in enumerate(blocks_of(model)):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    pool = torch.bmm

    def pooled(a, b):
        held.append(tuple(b.shape))
        return pool(a, b)

    read_activations.torch.bmm, bmm = pooled, torch.bmm
    try:
        read(model, texts, "block_output", [1], size=8)
    finally:
        read_activations.torch.bmm = bmm
    # Five texts that differ, 17 tokens; one layer, and what comes after it is not run.
    assert ran == [0, 1] and held == [(5, 17, 16)]
    assert not any(len(block._forward_hooks) > 1 or block._forward_pre_hooks for block in blocks_of(model))
    model(input_ids=torch.ones(1, 3, dtype=torch.long))
    assert ran == [0, 1, 0, 1, 2], "nothing stops the model afterwards"


def test_the_longest_come_first_and_a_batch_that_does_not_fit_is_halved(monkeypatch, capsys):
    model, texts, plain, sizes = tiny(), some_texts(), read_activations._means, []

    def limited(own, batch, *rest):
        sizes.append([len(text.ids) for text in batch])
        if sum(sizes[-1]) > 20:
            raise torch.OutOfMemoryError
        return plain(own, batch, *rest)

    whole = read(model, texts, "block_output")
    monkeypatch.setattr(read_activations, "_means", limited)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert np.abs(read(model, texts, "block_output", size=4) - whole).max() < 1e-5
    assert sizes[:3] == [[17, 9, 6, 4], [17, 9], [17]] and "out of memory with 4" in capsys.readouterr().err


def test_what_cannot_be_read_is_said():
    model, texts = tiny(), some_texts()
    with pytest.raises(UserError, match=r"^layer 3 is not in the model: as block_output it has 0 to 2"):
        read(model, texts, "block_output", [3])
    assert point("hidden_states", 3, BLOCKS) == -1
    model.get_decoder().layers[1].mlp.down_proj.weight.data[:] = float("inf")
    with pytest.raises(UserError, match=r"^tiny: its hidden states are no finite numbers"):
        read(model, texts, "block_output")
    assert np.isfinite(read(model, texts, "block_output", [0])).all()
    model.get_decoder().layers = torch.nn.Sequential(*model.get_decoder().layers)
    with pytest.raises(UserError, match=r"^LlamaForCausalLM: its blocks cannot be found \(0 lists of 3 modules"):
        read(model, texts, "block_output", [0])
