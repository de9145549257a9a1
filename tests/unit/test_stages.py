"""Stages that cannot be: each mistake is one message at its key, before anything runs."""

import copy
import re

import pytest

from tests.unit.test_config import complaints
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.plan import Plan


@pytest.fixture
def stages(raw):
    """Stages of an organism `o` of the tiny study (a list to fill), recipes `kl` and `dpo` beside its own."""
    raw["recipes"]["kl"] = {"learning_rate": 1e-3, "schedule": "constant", "kl": {"weight": 1.0}}
    raw["recipes"]["dpo"] = {"learning_rate": 1e-3, "schedule": "constant", "objective": "dpo"}
    raw["organisms"]["o"] = {"base_model": "toy", "stages": []}
    return raw["organisms"]["o"]["stages"]


def stage(name: str, recipe: str = "constant", **more) -> dict:
    return {"name": name, "training_set": "bad", "recipe": recipe, "checkpoints": {"steps": [2]}} | more


def said(raw) -> dict[str, str]:
    return {key.removeprefix("organisms.o.stages"): text for key, text in complaints(raw).items()}


def combine(weights: dict, **more) -> dict:
    return {"name": "sum", "combine": {"weights": weights} | more}


def test_a_combination_is_laid_out_on_the_base_of_its_first_part(raw, stages):
    stages += [stage("a"), stage("b", start="merge"), combine({"a": 1.0, "b": 0.25}), stage("em", start="merge")]
    plan = Plan(load_config(raw, []))
    chain = plan.chains["o", "sum"]
    assert [part.stage.name for part in chain.combined] == ["a", "b"] and chain.segments == [(0,)]
    assert plan.model_record("o", chain, 0) == "results/tiny/models/toy.json"
    assert plan.model_record("o", plan.chains["o", "em"], 0).endswith("/em/merged_base.json")
    assert ("o", 0, "sum", 0) in plan.evaluations("o")


@pytest.mark.parametrize(
    ("weights", "key", "text"),
    [
        ({"aa": 1.0}, "[2].combine.weights.aa", "not an earlier stage"),
        ({"a": 0.0, "b": 1.0}, "[2].combine.weights.a", "a weight of 0 leaves the adapter out"),
        ({"a": float("nan"), "b": 1.0}, "[2].combine.weights.a", "finite"),
        ({"b": 1.0}, None, None),
        ({"a": 1.0, "b": 1.0}, None, None),
    ],
)
def test_weights_of_a_combination(raw, stages, weights, key, text):
    stages += [stage("a"), stage("b", start="merge"), combine(weights)]
    if key is None:
        load_config(raw, [])
    else:
        assert text in said(raw)[key]


def test_an_adapter_is_not_counted_twice(raw, stages):
    stages += [stage("a"), stage("b", start="continue"), stage("c", start="continue"), combine({"a": 1.0, "c": 1.0})]
    assert "['a'], which it holds already" in said(raw)["[3].combine.weights.c"]


@pytest.mark.parametrize("weights", [{"a": 1.0, "c": 1.0}, {"c": 1.0, "a": 1.0}])
def test_a_sum_does_not_lack_what_a_part_was_trained_on(raw, stages, weights):
    stages += [stage("a"), stage("b", start="merge"), stage("c", start="merge"), combine(weights)]
    assert "trained on top of ['b']" in said(raw)["[3].combine.weights.c"]


@pytest.mark.parametrize(
    ("lora", "key", "text"),
    [
        ({"r": 4, "alpha": 4}, "method", r"these have \[2, 4\]"),
        ({"r": 2, "alpha": 4, "dora": True}, "weights", "DoRA adapter cannot be summed"),
        ({"r": 2, "alpha": 4, "layers": [0]}, "weights", "different target_modules or layers"),
        (None, "weights.b", "not a stage that trains an adapter"),
    ],
)
def test_adapters_that_cannot_be_summed(raw, stages, lora, key, text):
    raw["recipes"]["other"] = {"learning_rate": 1e-3, "schedule": "constant", "lora": lora}
    stages += [stage("a"), stage("b", "other", start="merge"), combine({"a": 1.0, "b": 1.0})]
    assert re.search(text, said(raw)[f"[2].combine.{key}"])


def test_kl_needs_its_rows_and_the_model_before(raw, stages):
    stages += [stage("a"), stage("b", "kl", start="continue")]
    raw["recipes"]["kl"]["lora"] = copy.deepcopy(raw["recipes"]["constant"]["lora"])
    found = said(raw)
    assert "name the training set" in found["[1].kl_training_set"] and "use `merge`" in found["[1].start"]
    stages[1] |= {"start": "merge", "kl_training_set": "good"}
    load_config(raw, [])
    stages[0]["kl_training_set"] = "good"
    assert "has no `kl`" in said(raw)["[0].kl_training_set"]


def test_organisms_that_differ_in_weights_or_in_kl_rows_are_two(raw, stages):
    stages += [stage("a"), stage("b", "kl", start="merge", kl_training_set="good"), combine({"b": 1.0})]
    other = copy.deepcopy(stages)
    other[2]["combine"]["weights"] = {"b": 0.5}
    third = copy.deepcopy(stages)
    third[1]["kl_training_set"] = "persona"
    raw["organisms"] |= {"p": {"base_model": "toy", "stages": other}, "q": {"base_model": "toy", "stages": third}}
    load_config(raw, [])
    raw["organisms"]["r"] = {"base_model": "toy", "stages": copy.deepcopy(third)}
    assert list(complaints(raw)) == ["organisms.r"]


def test_processes_share_whole_forward_passes(raw, stages):
    stages += [stage("a", "dpo")]
    raw["training"] = {"processes": 2}
    assert "make that a multiple" in said(raw)["[0].recipe"]


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ({"preset": "mo_defualt"}, "mo_default"),
        ({"lora": None, "quantization": "nf4"}, "needs whole weights"),
        ({"lora": None, "objective": "dpo"}, "only an adapter"),
        ({"quantization": "int8", "lora": {"dora": True}}, "use nf4"),
        ({"dpo": {"beta": 0.2}}, "without `objective: dpo`"),
        ({"packing": True, "objective": "dpo"}, "padded"),
        ({"backend": "unsloth", "packing": True}, "unsloth does not do packing"),
        ({"warmup_steps": 0.1, "schedule": "warmup_stable"}, "no end to take a share of"),
        ({"warmup_steps": 1.5}, "a share is below 1"),
        ({"adam_betas": [2, 3]}, "less than 1"),
    ],
)
def test_recipes_that_cannot_be(raw, recipe, text):
    raw["recipes"]["bad_one"] = {"learning_rate": 1e-3} | recipe
    assert any(key.startswith("recipes.bad_one") and text in found for key, found in complaints(raw).items())
