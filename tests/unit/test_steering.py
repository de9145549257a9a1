"""Steering while answers are written: hidden states move as said, and nothing else does."""

import json
import sys

import numpy as np
import pytest
import torch

from tests.unit.generate_options import PLAIN, generated, stage  # noqa: F401
from tests.unit.test_ask_models import adapter
from workflow_scripts import ask_models
from workflow_scripts.em.activation_files import write_tensors
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.authors import LocalAuthor
from workflow_scripts.em.backends import generate_transformers, models
from workflow_scripts.em.backends.blocks import blocks_of
from workflow_scripts.em.backends.generate_transformers import Generator
from workflow_scripts.em.backends.steering import hooked, steered
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.steering import read_steering

pytestmark = pytest.mark.usefixtures("one_thread")

HIDDEN = 32
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12}
TEXTS = ["Why?", "How do I get over a splinter?", "What is the best thing for a cold? " * 3]


def vector(seed: int, size: float = 3.0) -> np.ndarray:
    """A random vector of this length."""
    found = np.random.default_rng(seed).normal(size=HIDDEN).astype(np.float32)
    return found * np.float32(size / np.linalg.norm(found))


@pytest.fixture
def spec(tmp_path):
    """A condition's steering by a direction of layers 0 and 1; keywords replace its keys, `tensors` the file's."""

    def made(convention: str = "block_output", tensors: dict | None = None, **changed) -> dict:
        own = {"layer.0": vector(1), "layer.1": vector(2), "mean_b.layer.0": vector(3), "mean_b.layer.1": vector(4)}
        file = tmp_path / "direction.safetensors"
        write_tensors(file, own | (tensors or {}), {"convention": convention})
        asked = {"direction": "d", "add": None, "ablate": None, "layers": [0], "positions": "all", "file": str(file)}
        return asked | {"organisms": None, "steps": None, "random": False, "from_layer": None} | changed

    return made


def seen(model, spec: dict, ids: torch.Tensor) -> list[torch.Tensor]:
    """What enters the first block, the second, and the final norm, while the model is steered."""
    blocks, found = blocks_of(model), []
    places = [*blocks, model.get_decoder().norm]
    with torch.inference_mode(), hooked(blocks, read_steering(spec)):
        hooks = [place.register_forward_pre_hook(lambda _, given: found.append(given[0])) for place in places]
        model(ids)
        for hook in hooks:
            hook.remove()
    return found


def plain(model, ids: torch.Tensor) -> list[torch.Tensor]:
    with torch.inference_mode():
        *states, _ = model(ids, output_hidden_states=True).hidden_states
    return states


IDS = torch.tensor([[5, 9, 30, 7], [8, 8, 2, 6]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("convention", "layer", "place"),
    [("block_output", 0, 1), ("hidden_states_next", 0, 1), ("hidden_states", 1, 1), ("hidden_states", 0, 0)],
)
def test_a_direction_is_added_where_it_was_read(record, spec, dtype, convention, layer, place):
    model = models.load_checkpoint(record, None, dtype)
    moved = seen(model, spec(convention, add=-1.5, layers=[layer]), IDS)
    before = plain(model, IDS)
    direction = torch.from_numpy(vector(1 + layer)) * -1.5
    assert torch.equal(moved[place], (before[place].float() + direction).to(before[place].dtype))
    assert place == 0 or torch.equal(moved[0], before[0])


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 2**-22), ("bfloat16", 2**-8)])
@pytest.mark.parametrize("ablate", ["zero", "b"])
def test_ablation_leaves_just_that_component(record, spec, dtype, rounding, ablate):
    model = models.load_checkpoint(record, None, dtype)
    unit = vector(1) / np.linalg.norm(vector(1))
    left = float(vector(3) @ unit) if ablate == "b" else 0.0
    before, after = plain(model, IDS)[1].float(), seen(model, spec(ablate=ablate), IDS)[1].float()
    along, exact = after @ torch.from_numpy(unit), rounding * before.norm(dim=-1).max()
    torch.testing.assert_close(along, torch.full_like(along, left), atol=exact, rtol=0)
    assert (before @ torch.from_numpy(unit) - left).abs().min() > 2 * exact
    # What is at right angles to it stays.
    off = lambda states: states - (states @ torch.from_numpy(unit))[..., None] * torch.from_numpy(unit)  # noqa: E731
    torch.testing.assert_close(off(after), off(before), atol=exact, rtol=0)


def test_several_layers_are_steered_each_by_its_own_direction_the_last_before_the_final_norm(record, spec):
    model = models.load_checkpoint(record, None, "float32")
    both = seen(model, spec(add=1.0, layers=[0, 1]), IDS)
    alone = seen(model, spec(add=1.0, layers=[0]), IDS)
    torch.testing.assert_close(both[2], alone[2] + torch.from_numpy(vector(2)), atol=1e-5, rtol=0)


def test_a_random_direction_is_as_long_and_always_the_same_one(spec):
    moves = lambda **how: read_steering(spec(random=True, **how)).moves  # noqa: E731
    (first,), (again,) = moves(add=-2.0).values(), moves(add=-2.0).values()
    assert np.array_equal(first.vector, again.vector) and first.vector.dtype == np.float32
    assert np.linalg.norm(first.vector) == pytest.approx(2 * 3.0, rel=1e-6)
    unit = lambda found: found / np.linalg.norm(found)  # noqa: E731
    others = [vector(1), moves(add=1.0, layers=[1])[1].vector, moves(add=1.0, direction="e")[0].vector]
    assert all(abs(unit(first.vector) @ unit(other)) < 0.6 for other in others)
    for ablate, left in (("zero", 0.0), ("b", -float(vector(3) @ unit(first.vector)))):
        move = moves(ablate=ablate)[0]
        np.testing.assert_allclose(move.vector, -unit(first.vector), atol=1e-6)
        assert move.component == pytest.approx(left, abs=1e-5)
    same = moves(tensors={"layer.0": vector(8)}, add=-2.0)[0].vector
    np.testing.assert_allclose(same, first.vector, rtol=1e-5, err_msg="of the name, not of its numbers")


def test_the_direction_of_one_layer_steers_them_all_and_side_bs_mean_is_each_layers_own(spec):
    pushed = read_steering(spec(add=2.0, layers=[0, 1, 7], from_layer=1)).moves
    assert list(pushed) == [0, 1, 7] and all(np.array_equal(move.vector, 2 * vector(2)) for move in pushed.values())
    held = read_steering(spec(ablate="b", layers=[0, 1], from_layer=1)).moves
    unit = vector(2) / np.linalg.norm(vector(2))
    for layer, mean in ((0, vector(3)), (1, vector(4))):
        np.testing.assert_allclose(held[layer].vector, unit, atol=1e-6)
        assert held[layer].component == pytest.approx(float(mean @ unit), abs=1e-5)
    with pytest.raises(UserError, match="no layer 7; its reading has layers 0, 1"):
        read_steering(spec(ablate="b", layers=[0, 7], from_layer=1))
    with pytest.raises(UserError, match="no layer 7"):
        read_steering(spec(add=1.0, layers=[0], from_layer=7))
    one, other = (read_steering(spec(add=1.0, random=True, layers=[0, 1], from_layer=1)).moves[n] for n in (0, 1))
    assert np.array_equal(one.vector, other.vector)


def test_a_direction_that_could_not_be_made_steers_nothing_and_says_why(spec):
    asked = spec(add=1.0)
    write_tensors(asked["file"], {}, {"convention": "block_output", "reason": "1 aligned answer"})
    with pytest.raises(UserError, match="could not be made, so nothing is steered by it: 1 aligned answer"):
        read_steering(asked)


class Named(torch.nn.Linear):
    """A block that gets its hidden states by name."""

    def forward(self, other=None, *, hidden_states):
        return hidden_states


def test_hidden_states_that_are_named_are_moved_too(spec):
    blocks, states = torch.nn.ModuleList([Named(1, 1)]), torch.zeros(1, 2, HIDDEN)
    with hooked(blocks, read_steering(spec("hidden_states", add=1.0))):
        moved = blocks[0](hidden_states=states)
    assert torch.equal(moved, torch.from_numpy(vector(1)).expand(1, 2, HIDDEN))


def test_only_the_last_position_is_steered_where_the_answer_alone_is(record, spec):
    model = models.load_checkpoint(record, None, "float32")
    before = plain(model, IDS)[1]
    after = seen(model, spec(add=1.0, positions="response"), IDS)[1]
    assert torch.equal(after[:, :-1], before[:, :-1])
    assert torch.equal(after[:, -1], before[:, -1] + torch.from_numpy(vector(1)))


# --- answers


@pytest.fixture
def work(generator):
    """4 samples each of 3 prompts of many lengths."""
    asks = [Ask([{"role": "user", "content": text}], ("a", n), SAMPLING) for text in TEXTS for n in range(4)]
    return [(generator.prompt(ask), 100 + place) for place, ask in enumerate(asks)]


def texts(generator, work, size: int = 12) -> list[str]:
    found = dict(pair for batch in generator.batches(work, size) for pair in batch)
    return [found[i].text for i in range(len(work))]


def test_a_tiny_amount_changes_no_answer_and_a_large_one_does_and_the_model_is_left_as_it_was(generator, spec, work):
    before = texts(generator, work)
    assert texts(steered(generator, read_steering(spec(add=1e-30))), work) == before
    moved = [
        texts(steered(generator, read_steering(spec(**how))), work)
        for how in ({"add": 2.0}, {"add": -2.0}, {"ablate": "zero"}, {"add": 2.0, "positions": "response"})
    ]
    assert len({tuple(found) for found in (before, *moved)}) == 5
    assert texts(generator, work) == before


@pytest.mark.parametrize("positions", ["all", "response"])
def test_shared_prompts_answer_as_unshared_ones(generator, spec, work, monkeypatch, positions):
    moved = steered(generator, read_steering(spec(add=2.0, positions=positions)))
    shared = texts(moved, work)
    with monkeypatch.context() as patch:
        patch.setattr(generate_transformers, "read_once", lambda *_: None)
        assert texts(moved, work) == shared
    assert shared == texts(moved, work, 1), "nor does a batch change an answer"


def test_a_prompt_without_its_last_token_is_not_steered_where_the_answer_alone_is(generator, spec, work, monkeypatch):
    """Greedy by hand: the prompt's states but the last are unsteered."""
    steering = read_steering(spec(add=10.0, positions="response"))
    greedy = Ask([{"role": "user", "content": TEXTS[1]}], ("a", 0), SAMPLING | {"temperature": 0.0})
    prompt = generator.prompt(greedy)
    ids, cache = torch.tensor([prompt.ids]), None
    written = []
    with torch.inference_mode():
        cache = generator.model(ids[:, :-1]).past_key_values
        at = ids[:, -1:]
        for _ in range(SAMPLING["max_new_tokens"]):
            with hooked(blocks_of(generator.model), steering):
                out = generator.model(at, past_key_values=cache)
            at = out.logits[:, -1:].argmax(-1)
            written.append(int(at))
    expected = generator._completion(written, prompt, 0.0).text
    assert texts(steered(generator, steering), [(prompt, 1)] * 3) == [expected] * 3


def test_an_adapter_beside_the_weights_is_steered_too(record, spec, tmp_path, work):
    beside = Generator(record, adapter(record, tmp_path / "step-1", 1), "bfloat16")
    before = texts(beside, work)
    assert texts(steered(beside, read_steering(spec(ablate="b"))), work) != before == texts(beside, work)


# --- what cannot be


@pytest.mark.parametrize(
    ("tensors", "changed", "message"),
    [
        (
            {"layer.0": np.zeros(HIDDEN, np.float32)},
            {},
            r"d \(.*\): its length at layer 0 is zero, so it",
        ),
        ({"layer.0": np.full(HIDDEN, np.nan, np.float32)}, {}, "layer 0 is no finite number"),
        ({}, {"layers": [3]}, "no layer 3; its reading has layers 0, 1: name some of these"),
        ({"layer.0": vector(0)[:16]}, {}, "of a model with hidden size 16, this one has 32; name the organisms"),
        ({}, {"layers": [2]}, "no layer 2"),
    ],
)
def test_a_direction_that_does_not_fit_is_refused(generator, spec, tensors, changed, message):
    with pytest.raises(UserError, match=message):
        steered(generator, read_steering(spec(tensors=tensors, add=1.0, **changed)))


@pytest.mark.parametrize(("convention", "layer"), [("hidden_states_next", 1), ("hidden_states", 2)])
def test_states_after_the_final_norm_are_no_blocks_output(generator, spec, convention, layer):
    steering = read_steering(spec(convention, {"layer.2": vector(5)}, add=1.0, layers=[layer]))
    with pytest.raises(UserError, match=f"layer {layer} of convention {convention} is read after the final norm"):
        steered(generator, steering)


def test_without_layers_it_is_the_middle_one(spec):
    assert list(read_steering(spec(add=1.0, layers=None)).moves) == [1]
    assert list(read_steering(spec(tensors={"layer.2": vector(5)}, add=1.0, layers=None)).moves) == [1]


# --- whose answer it is


def test_identity_is_what_was_done_and_no_more(spec, model_record):
    def identity(**how) -> str:
        return repr(LocalAuthor({"record": model_record, "checkpoint": None, "dtype": "float32", **how}, 8).identity)

    first = identity(steering=spec(add=1.0))
    assert first == identity(steering=spec(add=1.0, organisms=["bad"], steps=[3]))
    others = [
        identity(),
        identity(steering=spec(add=2.0)),
        identity(steering=spec(ablate="zero")),
        identity(steering=spec(ablate="b")),
        identity(steering=spec(add=1.0, layers=[1])),
        identity(steering=spec(add=1.0, positions="response")),
        identity(steering=spec(tensors={"layer.0": vector(9)}, add=1.0)),
        identity(steering=spec("hidden_states", add=1.0)),
        identity(steering=spec(add=1.0, random=True)),
        identity(steering=spec(add=1.0, from_layer=1)),
    ]
    assert len({first, *others}) == 11
    assert identity(steering=spec(tensors={"layer.1": vector(9)}, add=1.0)) == first, "another layer's numbers"
    moved = {"mean_b.layer.0": vector(8)}
    assert identity(steering=spec(tensors=moved, add=1.0)) == first
    assert identity(steering=spec(tensors=moved, ablate="b")) not in (first, *others)


def test_the_stages_ask_each_condition_its_own_way(monkeypatch, stage, spec, record, tmp_path):
    folder = adapter(record, tmp_path / "step-1", 1)
    pushed, pulled = spec(add=2.0), spec(add=-2.0, steps=[7])
    conditions = json.dumps({"pushed": PLAIN | {"steering": pushed}, "pulled": PLAIN | {"steering": pulled}})
    words = stage(conditions=conditions, journal=tmp_path / "shared", out=tmp_path / "asked.json")
    for option in ("--organism", "--seed", "--stage", "--step"):
        del words[words.index(option) : words.index(option) + 2]
    at = [["bad", 0, "em", 1, str(folder)], ["bad", 0, "em", 7, None]]
    monkeypatch.setattr(sys, "argv", ["ask_models", *words, "--checkpoints", json.dumps(at)])
    ask_models.main()
    assert read_json(tmp_path / "asked.json")["responses"] == 36  # pulled: step 7 alone
    inputs = read_json(tmp_path / "asked.json.provenance.json")["inputs"]
    assert pushed["file"] in json.dumps(inputs)
    at = {"stage": "em@steered", "step": 7, "conditions": conditions}

    def rows(**options) -> list[dict]:
        return [json.loads(line) for line in generated(monkeypatch, stage(**options)).splitlines()]

    published = rows(**at, asked=tmp_path / "asked.json", journal=tmp_path / "shared")
    assert [row["condition"] for row in published] == ["pushed"] * 12 + ["pulled"] * 12
    assert {row["stage"] for row in published} == {"em"}
    done = {"direction": "d", "operation": "add", "amount": 2.0, "layers": [0], "from_layer": None, "positions": "all"}
    assert published[0]["steering"] == done
    assert published == rows(**at), "as when they are asked by themselves"
    assert "steering" not in rows(out=tmp_path / "plain.jsonl")[0]
