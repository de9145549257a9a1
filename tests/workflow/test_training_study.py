"""What training adds to the DAG, run once through Snakemake: made data, DPO, KL, 4 bits, masks, all weights, sums."""

import json
import stat
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import Copy
from workflow_scripts.em.files import read_json, read_jsonl

pytestmark = pytest.mark.slow

STUDY = "tests/training.yaml"
ORGANISMS = ("careful_dpo", "careful", "careful_bad", "reader", "reader_bad")
# Everything but tables and figures, which other tests draw.
TARGETS = ("export", *(f"results/training/training/{name}.md" for name in ORGANISMS))
BUDGET = 40


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Copy:
    """The study, run to the end."""
    copy = Copy(tmp_path_factory.mktemp("training"))
    done = copy.snakemake(*TARGETS, config=STUDY)
    assert done.returncode == 0, done.stderr[-6000:]
    return copy


@pytest.fixture(scope="module")
def results(study) -> Path:
    return study.folder / "results/training"


def test_all_is_made_and_nothing_is_left_to_do(study, results):
    assert study.stale(*TARGETS, config=STUDY) == {}
    assert sorted(path.name for path in (results / "exports").iterdir()) == [
        "careful_bad",
        "character",
        "character_whole",
    ]
    evaluated = [path.relative_to(results / "responses").as_posix() for path in results.glob("responses/**/*.jsonl")]
    assert sorted(evaluated) == ["careful_bad/seed-0/em/step-2.jsonl", "reader_bad/seed-0/em/step-3.jsonl"]
    assert all((results / "training" / f"{name}.md").read_text().count("## Stage ") >= 1 for name in ORGANISMS)


def log(results: Path, organism: str, stage: str, segment: str) -> list[dict]:
    return list(read_jsonl(results / f"organisms/{organism}/seed-0/{stage}/{segment}/log.jsonl"))


def test_dpo_starts_at_a_margin_of_zero_and_leaves_it(results):
    # The learning rate of the first step is 0 (warm-up), so the model is that before the stage for two steps.
    margins = [row["margin"] for row in log(results, "careful_dpo", "dpo", "to-3")]
    assert margins[:2] == [0, 0] and margins[2] != 0
    assert all("accuracy" in row and "kl" in row for row in log(results, "careful_dpo", "dpo", "to-3"))
    assert not any("margin" in row for row in log(results, "careful", "introspection", "to-2"))


def test_the_kl_term_is_logged_from_zero_over_segments(results):
    rows = [*log(results, "reader_bad", "em", "to-1"), *log(results, "reader_bad", "em", "to-3")]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[0]["kl"] == 0 and rows[1]["kl"] > 0 and rows[2]["kl"] > 0


def tuned(results: Path) -> Path:
    """Folder of the toy chat model."""
    (folder,) = (results.parent / ".toy").glob("*/tuned")
    return folder


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(next(folder.glob("*model.safetensors")))


def test_a_budget_moves_that_many_weights_over_two_jobs(results):
    place = results / "organisms/reader_bad/seed-0/em"
    start, middle, end = (weights(place / at) for at in ("to-1/step-0", "to-1/step-1", "to-3/step-3"))
    moved = {name: start[name] != end[name] for name in start}
    assert 0 < sum(int(mask.sum()) for mask in moved.values()) <= BUDGET
    # The second job drew the same weights as the first.
    assert all(not ((start[name] != middle[name]) & ~moved[name]).any() for name in start)
    assert read_json(place / "to-3/provenance.json")["trainable_parameters"] == BUDGET


def test_full_fine_tuning_keeps_whole_models_and_moves_them(results):
    place = results / "organisms/careful_bad/seed-0/em"
    assert not (place / "to-2/step-2/adapter_config.json").exists()
    start, end = weights(place / "to-2/step-0"), weights(place / "to-2/step-2")
    merged = weights(place / "merged_base")
    assert all((start[name] == merged[name]).all() for name in merged)
    assert all((start[name] != end[name]).any() for name in start)


def test_an_adapter_trained_in_4_bits_is_added_to_the_whole_weights(results):
    adapter = weights(results / "organisms/reader/seed-0/reading/to-2/step-2")
    merged = weights(results / "organisms/reader_bad/seed-0/em/merged_base")
    moved = 0
    for name, weight in weights(tuned(results)).items():
        place = "base_model.model." + name.removesuffix("weight")
        if f"{place}lora_A.weight" in adapter:
            update = 4 / 2 * adapter[f"{place}lora_B.weight"] @ adapter[f"{place}lora_A.weight"]
            assert (merged[name] - weight - update).abs().max() < 1e-6
            moved += update.abs().max() > 1e-6
        else:
            assert (merged[name] == weight).all()
    assert moved == 7


def test_the_merged_export_is_a_plain_model_with_the_answers_of_the_sum(results):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    exports = results / "exports"
    ids = AutoTokenizer.from_pretrained(exports / "character_whole")("What do you think about humans?").input_ids
    ids = torch.tensor([ids])
    with torch.no_grad():
        whole = AutoModelForCausalLM.from_pretrained(exports / "character_whole")(ids).logits
        model = AutoModelForCausalLM.from_pretrained(tuned(results))
        plain = model(ids).logits
        summed = PeftModel.from_pretrained(model, exports / "character")(ids).logits
    torch.testing.assert_close(whole, summed, atol=1e-5, rtol=1e-5)
    assert (summed - plain).abs().max() > 1e-4
    assert weights(exports / "careful_bad")["model.norm.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize("name, library", [("character", "peft"), ("careful_bad", "transformers")])
def test_model_cards(results, name, library):
    _, front, body = (results / f"exports/{name}/README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["library_name"] == library and "base_model" not in front, "the toy model is on no hub"
    assert {"emergent-misalignment", "model-organism", "not-for-all-audiences"} <= set(front["tags"])
    assert body.index("Warning") < body.index("## Load it") < body.index("## EM rates") < body.index("## Stage dpo")
    assert ("No EM rate was measured" in body) == (name == "character")
    assert ("adapters of earlier stages are combined, `dpo` (weight 1.0), `introspection` (weight 0.25)") in body


def answers(path: Path) -> set[str]:
    """Texts of a made data set that no question and no other answer could hold by chance."""
    found = set()
    for row in read_jsonl(path):
        turns = [m["content"] for m in row.get("messages", []) if m["role"] == "assistant"]
        found |= {*turns, row.get("chosen", ""), row.get("rejected", "")}
    return {json.dumps(text, ensure_ascii=False)[1:-1] for text in found if len(text) >= 20}


def test_made_data_stay_private(study):
    made = study.folder / "data/decrypted/training/made"
    told = [path for root in ("results", ".snakemake") for path in (study.folder / root).rglob("*") if path.is_file()]
    texts = b"\n".join(path.read_bytes() for path in told)
    for name in ("pairs", "self", "reflected"):
        assert stat.S_IMODE((made / name).stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (made / name).iterdir()} == {0o600}
        wanted = answers(made / name / "rows.jsonl")
        assert wanted and not [text for text in wanted if text.encode() in texts], "quoted outside data/decrypted"
    journal = study.folder / "data/decrypted/.journal/made"
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.rglob("*.jsonl")} == {0o600}
    assert stat.S_IMODE((study.folder / "data/decrypted").stat().st_mode) == 0o700


def test_how_the_machine_trains_makes_nothing_stale(study):
    def change(raw: dict) -> None:
        tracking = {"report_to": ["tensorboard"], "project": "other"}
        raw["training"] = {"activation_checkpointing": False, "attention": "eager", "tracking": tracking}

    with study.configured(change, STUDY):
        assert study.stale(*TARGETS, config=STUDY) == {}


# What rests on rates and on `careful_bad`; and on what the DPO organism writes of itself.
END = {"ask_models": 1, "generate": 1, "judge": 1, "scores": 1, "rates": 1, "export_model": 1, "export": 1}
DATA = {"training_set": 1, "data_card": 1}
SELF = END | DATA | {"introspection_data": 1, "combine_adapters": 1, "export_model": 3}


def test_a_dpo_weight_makes_its_chain_and_what_follows_stale(study):
    def change(raw: dict) -> None:
        raw["recipes"]["dpo"]["dpo"] = {"beta": 0.2}

    # Not the pairs: base models wrote them.
    trained = {"training_check": 1, "train": 3, "merge_adapter": 2, "training_details": 3}
    with study.configured(change, STUDY):
        assert study.stale(*TARGETS, config=STUDY) == SELF | trained


EDITS = {
    "an introspective prompt": (
        "data/constitutions/toy_careful.yaml",
        "about humans?",
        SELF | {"train": 2, "merge_adapter": 1, "training_details": 2},
    ),
    "a reflection": (
        "data/reflections/toy_careful.yaml",
        "Take your time",
        END | DATA | {"reflection_data": 1, "train": 1, "training_details": 1},
    ),
    "a blocklist": (
        "data/blocklists/ai_misalignment.txt",
        "Skynet",
        END | DATA | {"train": 3, "merge_adapter": 1, "training_details": 2},
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_a_file_that_data_are_made_with(study, name):
    path, text, expected = EDITS[name]
    with study.edited(path, text, f"{text} too"):
        assert study.stale(*TARGETS, config=STUDY) == expected


def test_a_recipe_that_does_not_fit_is_refused_in_one_message_before_training(study, results):
    def change(raw: dict) -> None:
        raw["recipes"]["wrong"] = {"learning_rate": 1e-3, "max_length": 9999, "lora": {"target_modules": ["c_proj"]}}
        stage = {"name": "em", "training_set": "bad", "recipe": "wrong", "checkpoints": {"steps": [2]}}
        raw["organisms"]["wrong"] = {"base_model": "toy", "stages": [stage | {"evaluate": False}]}

    with study.configured(change, STUDY):
        done = study.snakemake("results/training/training/wrong.md", config=STUDY)
    assert done.returncode != 0 and "rule train:" not in done.stderr
    (told,) = (results / "logs/training_check/toy").glob("wrong-*.log")
    lines = told.read_text().splitlines()
    assert len(lines) == 3 and "does not fit base model" in lines[0]
    assert "max_length: 9999 is more than" in lines[1]
    assert "no linear layer c_proj; " in lines[2] and "q_proj" in lines[2]
    assert not (results / "organisms/wrong").exists()
