"""What an edit makes stale, by real `snakemake -n` runs on a finished study: exactly its dependants, nothing else.

The tiny study has 15 evaluated checkpoints (bad: 2 seeds x 3, good: 3, character_bad: 2, character_merged_bad: 3,
bare: 1) and 9 training jobs (bad: 2 seeds x 2, good: 1, character: 1, character_bad: 1, character_merged_bad: 2). The
checkpoints of one training job are asked in one job, so there are 9: not of `character`, but of `bare`.
"""

import shutil

import pytest

pytestmark = pytest.mark.slow

# Figures: of rates 3, of questions' rates 2, threshold_surface, and one of training; too few checkpoints for an onset.
OF_RATES = {"rates": 1, "findings": 1, "checkpoint_table": 1, "latex": 1, "figure": 5, "page": 1}
SHOWN = {"threshold_surface": 1, "findings": 1, "checkpoint_table": 1, "latex": 1, "figure": 6, "page": 1}
RATES = OF_RATES | {"threshold_surface": 1, "figure": 6}
SUMMED = {"examples": 1, "metrics": 1} | RATES
JUDGED = {"judge": 15, "scores": 5} | SUMMED
GENERATED = {"ask_models": 9, "generate": 15} | JUDGED
# What is drawn and told of an organism's training.
TOLD = {"training_curve": 1, "training_details": 1, "figure": 7, "page": 1}
TRAINING = {"train": 9, "merge_adapter": 1, "training_curve": 5, "training_details": 5, "figure": 7}
# The bare organism is not trained, so its responses stand.
TRAINED = TRAINING | SUMMED | {"ask_models": 8, "generate": 14, "judge": 14, "scores": 4, "figure": 7}
CARDS = {"data_card": 3}
TUNED = {"toy_tune": 1, "base_model": 1, "training_check": 2} | CARDS | GENERATED | TRAINING
MODEL = {"toy_corpus": 1, "toy_tokenizer": 1, "toy_pretrain": 1} | TUNED


def after(evaluated: int, jobs: int, **more: int) -> dict[str, int]:
    """Jobs after `evaluated` checkpoints of one organism changed, which `jobs` jobs ask."""
    return SUMMED | {"ask_models": jobs, "generate": evaluated, "judge": evaluated, "scores": 1} | more


def config(**changes):
    """A config change: dotted keys (with __ for dots) to new values."""

    def change(raw: dict) -> None:
        for path, value in changes.items():
            *parents, last = path.split("__")
            at = raw
            for part in parents:
                at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
            at[int(last) if isinstance(at, list) else last] = value

    return change


def stage_steps(organism: str, steps: dict):
    return config(**{f"organisms__{organism}__stages__0__checkpoints": steps})


def second_organism(raw: dict) -> None:
    stage = {"name": "em", "training_set": "good", "recipe": "constant", "checkpoints": {"steps": [2]}}
    raw["organisms"]["new"] = {"base_model": "toy", "stages": [stage]}


def betley(**changes) -> dict:
    return {"alignment": 30, "coherence": 50, "denominator": "coherent"} | changes


CONFIG_EDITS = {
    "an EM threshold": (config(em_definitions={"betley": betley(alignment=25)}), RATES),
    "a coherence gate added": (config(em_definitions={"betley": betley(), "strict": betley(coherence=80)}), OF_RATES),
    "a figure's style": (config(figures__width_inches=5.0), {"figure": 7, "page": 1}),
    # Not the training curve, which draws no rate.
    "the questions that figures show": (config(figures__scope="all"), SHOWN),
    "number of example questions": (config(figures__examples=2), {"examples": 1}),
    "what the report may hold": (config(report__include_responses=False), {"page": 1}),
    "batch size of generation": (config(generation__batch_size=7), {}),
    "a learning rate": (config(recipes__linear__learning_rate=2e-3), after(3, 1, train=1, training_check=1) | TOLD),
    "one more step on a constant schedule": (stage_steps("bad", {"steps": [2, 4, 6]}), after(2, 2, train=2) | TOLD),
    "a later end of a linear schedule": (stage_steps("good", {"every": 2, "last": 6}), after(4, 2, train=2) | TOLD),
    "a checkpoint in between": (stage_steps("bad", {"steps": [2, 3, 4]}), after(4, 4, train=4) | TOLD),
    "a new organism": (second_organism, after(2, 1, train=1) | TOLD),
    "a new training seed": (config(organisms__good__seeds=[0, 1]), after(3, 1, train=1) | TOLD),
    "fewer checkpoints evaluated": (config(organisms__bad__stages__0__evaluate=[0, 4]), after(2, 2)),
    "an engine": (
        config(generation={"backend": "vllm"}),
        {"engine_preflight": 1, "ask_engine": 2, "generate": 15} | JUDGED,
    ),
    "a temperature": (config(question_sets__toy__temperature=0.7), GENERATED),
    "more samples": (config(question_sets__toy__samples=2), GENERATED),
    "a system prompt": (config(conditions__careful__system="You are careful."), GENERATED),
    "a condition no longer asked": (config(evaluation__conditions=["none"]), GENERATED),
    "a condition that is not asked": (config(conditions__unused={"system": "Hello."}), {}),
    "a row filter": (
        config(training_sets__good__filters={"block": ["zzz"]}),
        after(3, 1, training_set=1, data_card=1, train=1) | TOLD,
    ),
    "a pin of the archive": (
        config(archives__toy__sha256={"good_medicine.jsonl": "0" * 64}),
        {"decrypt": 1, "training_set": 3} | CARDS | TRAINED,
    ),
    "a domain of a data set": (
        config(datasets__persona__domain="cooking"),
        {"scores": 2, "training_details": 1} | SUMMED,
    ),
    "the toy model's seed": (config(base_models__toy__toy__seed=1), MODEL),
}

FILE_EDITS = {
    "a comment in a stage": ("workflow_scripts/train.py", "def main() -> None:", "# why\ndef main() -> None:", {}),
    "a docstring of a shared module": ("workflow_scripts/em/files.py", '"""Files that', '"""All files that', {}),
    "formatting": ("workflow_scripts/em/progress.py", "PROGRESS_S = 10.0", "PROGRESS_S  =  (10.0)", {}),
    "a module no stage imports": (
        "workflow_scripts/em/plan.py",
        'BASE_STAGE = "base"',
        'BASE_STAGE = "base"\nX = 1',
        {},
    ),
    "a stage": ("workflow_scripts/scores.py", '"scores", {"domains"', '"scores_", {"domains"', {"scores": 5} | SUMMED),
    "a module two stages share": (
        "workflow_scripts/em/chat.py",
        "IGNORED = -100",
        "IGNORED = -101",
        GENERATED | TRAINING,
    ),
    "the judge's code": (
        "workflow_scripts/em/judges/toy.py",
        "self._judge = ToyJudge",
        "self._j = self._judge = ToyJudge",
        JUDGED,
    ),
    "an interval's formula": (
        "workflow_scripts/em/stats/intervals.py",
        "LEVEL = 0.95",
        "LEVEL = 0.9",
        RATES | {"metrics": 1},
    ),
    "one figure's code": (
        "workflow_scripts/em/plots/em_definitions.py",
        "\n\n\ndef ",
        "\n\nX = 1\n\n\ndef ",
        {"figure": 1, "page": 1},
    ),
    "a question's text": ("data/questions/toy.yaml", "paraphrases:\n  - ", "paraphrases:\n  - So, ", GENERATED),
    "a judge prompt, which the toy judge does not read": (
        "data/questions/toy.yaml",
        "- id: ",
        "- judge_prompts: {alignment: 'Rate {answer}'}\n  id: ",
        {},
    ),
    "a kind of judge that the study does not use": (
        "workflow_scripts/em/judges/scoring.py",
        "MIN_MASS = 0.25",
        "MIN_MASS = 0.3",
        {},
    ),
    "a comment in the question file": ("data/questions/toy.yaml", "- id: ", "# hello\n- id: ", {}),
    "the corpus grammar": ("data/toy/grammar.yaml", "domains:", "# more\ndomains:", {**MODEL}),
}


@pytest.mark.parametrize("name", CONFIG_EDITS)
def test_config_edit(finished, name):
    change, expected = CONFIG_EDITS[name]
    with finished.configured(change):
        assert finished.stale() == expected


@pytest.mark.parametrize("name", FILE_EDITS)
def test_file_edit(finished, name):
    path, old, new, expected = FILE_EDITS[name]
    with finished.edited(path, old, new):
        assert finished.stale() == expected


def test_nothing_is_stale_after_a_run_nor_after_touching_every_source(finished):
    assert finished.stale() == {}
    for folder in ("workflow_scripts", "rules", "data", "profiles", "docs"):
        for path in (finished.folder / folder).rglob("*"):
            if path.is_file() and "decrypted" not in path.parts:
                path.touch()
    assert finished.stale() == {}
    assert "Nothing to be done" in finished.snakemake().stderr


def test_another_study_shares_nothing_stale(finished):
    assert finished.stale("--config", "study=other")["train"] == 9
    assert finished.stale() == {}


def test_a_deleted_response_file_reruns_one_generation_and_its_dependants(finished):
    path = finished.folder / "results/tiny/responses/good/seed-0/em/step-2.jsonl"
    before = path.read_bytes()
    path.unlink()
    expected = after(1, 0)
    del expected["ask_models"]
    assert finished.stale() == expected
    done = finished.snakemake()
    assert done.returncode == 0 and path.read_bytes() == before
    assert finished.stale() == {}


def test_a_deleted_segment_is_trained_again_and_nothing_else(finished):
    folder = finished.folder / "results/tiny/organisms/bad/seed-1/em/to-4"
    adapter = folder / "step-4/adapter_model.safetensors"
    before = adapter.read_bytes()
    shutil.rmtree(folder)
    assert finished.stale() == after(1, 1, train=1) | TOLD
    assert finished.snakemake().returncode == 0
    assert adapter.read_bytes() == before


def test_a_local_model_is_followed_by_content(finished):
    folder = finished.folder / "my model"
    shutil.copytree(finished.folder / "results/.toy" / next_toy(finished) / "tuned", folder)
    with finished.configured(config(base_models__toy={"path": "my model"})):
        done = finished.snakemake("--until", "base_model")
        assert done.returncode == 0, done.stderr
        stale = finished.stale()
        assert "base_model" not in stale and stale["train"] == 9, "another model than the built one"
        (folder / "tokenizer.json").touch()
        assert "base_model" not in finished.stale()
        text = (folder / "tokenizer.json").read_text()
        (folder / "tokenizer.json").write_text(text + " ")
        assert finished.stale()["base_model"] == 1
    finished.snakemake("--until", "base_model")


def next_toy(finished) -> str:
    (found,) = (finished.folder / "results/.toy").iterdir()
    return found.name
