"""The config: shipped files load and are in sync with the models; every mistake is found, at once, and named."""

import copy
import json
import re
import traceback
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from workflow_scripts.em.config.generation import Condition, Engine, Generation, Marked
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.presets import PRESETS
from workflow_scripts.em.config.render import RECIPES, render, render_judges, render_recipes
from workflow_scripts.em.config.study import Combine, Config, Organism, Stage
from workflow_scripts.em.config.training import KL, Dpo, Lora, Recipe, Tracking, Training
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.stats.definitions import NAMED


def complaints(raw) -> dict[str, str]:
    """Key path -> message of a config that must be refused (messages of one key are joined)."""
    with pytest.raises(UserError) as error:
        load_config(raw, ["x.yaml"])
    first, *lines = str(error.value).splitlines()
    assert first == f"x.yaml: {len(lines)} problem(s)"
    found: dict[str, list[str]] = {}
    for line in lines:
        where, _, what = line.strip().partition(": ")
        found.setdefault(where, []).append(what)
    return {where: " | ".join(texts) for where, texts in found.items()}


def em_stage(raw, organism: str = "bad") -> dict:
    return raw["organisms"][organism]["stages"][0]


# --- shipped files


@pytest.mark.parametrize("name", ["config.yaml", "tests/tiny.yaml"])
def test_shipped_config_loads_and_rendering_keeps_every_value(root, name):
    raw = yaml.safe_load((root / name).read_text(encoding="utf-8"))
    config = load_config(raw, [name])
    text = render(raw)
    assert yaml.safe_load(text) == raw
    assert max(map(len, text.splitlines())) <= 120
    again = load_config(yaml.safe_load(text), [name])
    assert again == config
    assert load_config(config.plain(), []) == config  # what rules pass on is itself a valid config


def test_config_yaml_and_schema_are_in_sync_with_the_models(root):
    text = (root / "config.yaml").read_text(encoding="utf-8")
    assert render(yaml.safe_load(text)) == text, "run `make config`"
    assert render_judges() == (root / "docs/judges.yaml").read_text(encoding="utf-8"), "run `make config`"
    assert render_recipes() == (root / "docs/recipes.yaml").read_text(encoding="utf-8"), "run `make config`"
    assert json.loads((root / "docs/config.schema.json").read_text()) == Config.model_json_schema(), "run `make config`"


def test_the_reference_of_recipes_holds_valid_entries_and_every_preset(root):
    text = render_recipes()
    assert yaml.safe_load(text) == RECIPES and max(map(len, text.splitlines())) <= 120
    recipes = {name: Recipe(**entry) for name, entry in RECIPES["recipes"].items()}
    assert {entry.preset for entry in recipes.values()} == {None, *PRESETS}
    Training(**RECIPES["training"])
    for organism in RECIPES["organisms"].values():
        stages = Organism(**organism).stages
        assert {stage.recipe for stage in stages} - {None} <= set(recipes)
    # an entry's keys are what a study gives; each key of these sections is there, set or commented out
    for model in (Recipe, Lora, Dpo, KL, Stage, Combine, Training, Tracking):
        for name in model.model_fields:
            assert f"{name}:" in text, f"{model.__name__}.{name}"


def test_the_examples_of_the_docs_on_generation_name_every_key_and_are_a_study(root, raw):
    text = (root / "docs/generation.md").read_text(encoding="utf-8")
    found: dict = {}
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        for section, entry in yaml.safe_load(block).items():
            found[section] = found.get(section, {}) | entry
    assert set(found["generation"]) == set(Generation.model_fields)
    assert set(found["generation"]["engine"]) == set(Engine.model_fields)
    assert {name for how in found["conditions"].values() for name in how} == set(Condition.model_fields)
    assert set(found["evaluation"]["strip"][0]) == set(Marked.model_fields)
    found["evaluation"] = raw["evaluation"] | found["evaluation"]
    found["organisms"] |= raw["organisms"]
    config = load_config(raw | found, [])
    assert config.evaluation.strip == [Marked(opening="<think>", closing="</think>")]


def sections(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A section and all sections inside it."""
    found, todo = {model}, [f.annotation for f in model.model_fields.values()]
    while todo:
        annotation = todo.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= sections(annotation)
        todo += get_args(annotation)
    return found


def test_every_key_is_described_and_every_section_forbids_unknown_keys():
    found = sections(Config)
    assert len(found) > 15
    for model in found:
        assert model.__doc__ and model.model_config["extra"] == "forbid", model
        for name, field in model.model_fields.items():
            assert field.description and field.description == field.description.strip(), f"{model.__name__}.{name}"


def test_every_key_is_explained_in_the_default_config(root):
    text = "".join(
        (root / name).read_text(encoding="utf-8") for name in ("config.yaml", "docs/judges.yaml", "docs/recipes.yaml")
    )
    for model in sections(Config) - {Config}:
        first = next(iter(model.model_fields.values())).description.split()[0]
        used = model.__name__ not in {
            "HubFile",
            "Filters",
            "EMDefinition",
            "Generation",
            "Preferences",
            "Introspection",
            "Export",
            "Push",
            "Table",
            "Values",
            "Engine",
            "Marked",
            "Contrast",
            "Side",
            "Resources",
        }  # sections it leaves out; docs/ has examples of them
        assert not used or f"# {first}" in text, model.__name__


@pytest.mark.parametrize(
    "prompt",
    ["two\nlines", "a: b # c", "", "...", "yes", "1e5", "null", 'it\'s "quoted"', "ünï 🦊", " spaces ", "x" * 200],
)
def test_rendering_survives_awkward_texts(raw, prompt):
    raw["conditions"] = {"none": {}, "careful": {"system": prompt}}
    assert yaml.safe_load(render(raw)) == raw


@pytest.mark.parametrize("name", ["on", "no", "1e5", "123", "null", "a.b-c_d+e", "0x1F", "2026-01-01"])
def test_rendering_survives_names_that_yaml_would_read_as_something_else(raw, name):
    raw["conditions"] = {"none": {}, name: {}}
    raw["evaluation"]["conditions"] = ["none", name]
    load_config(raw, [])
    assert yaml.safe_load(render(raw)) == raw


def test_the_default_em_definitions_are_the_five_named_ones(raw):
    definitions = load_config(raw, []).em_definitions
    assert list(definitions) == list(NAMED) and len(definitions) == 5
    assert {name: d.plain() for name, d in definitions.items()} == {name: d._asdict() for name, d in NAMED.items()}


# --- mistakes


def test_all_mistakes_are_reported_at_once_with_key_and_hint(raw):
    raw["studdy"] = "x"
    raw["datasets"]["reckless_medicine"]["archive"] = "toyy"
    raw["archives"]["toy"]["path"] = "data/absent.enc"
    raw["training_sets"]["bad"]["mixture"][0]["dataset"] = "reckless_medicin"
    raw["training_sets"]["good"]["filters"] = {"block": ["(open"]}
    raw["recipes"]["constant"]["learning_rates"] = 1
    raw["recipes"]["linear"]["lora"]["r"] = 0
    raw["organisms"]["bad"]["base_model"] = "toi"
    raw["organisms"]["character_bad"]["from_organism"] = "charakter"
    raw["organisms"]["loop_a"] = {"from_organism": "loop_b"}
    raw["organisms"]["loop_b"] = {"from_organism": "loop_a"}
    raw["organisms"]["a b"] = {"base_model": "toy", "seeds": [7]}
    em_stage(raw, "good")["evaluate"] = [0, 3, 99]
    em_stage(raw, "good")["recipe"] = "linaer"
    em_stage(raw)["evaluate"] = [0, 3, 99]
    raw["question_sets"]["gone"] = {"path": "data/questions/gone.yaml"}
    raw["question_sets"]["toy"]["exclude"] = "toy_"
    raw["evaluation"] = {"question_sets": ["toi"], "conditions": ["nine"], "judges": ["toy", "gpt"]}
    raw["figures"] = {"definition": "betly"}
    found = complaints(raw)
    expected = {
        "studdy": "did you mean 'study'?",
        "datasets.reckless_medicine.archive": "'toyy' is not defined under `archives`; did you mean 'toy'?",
        "archives.toy.path": "no such file: data/absent.enc",
        "training_sets.bad.mixture[0].dataset": "did you mean 'reckless_medicine'?",
        "training_sets.good.filters.block": "(open",
        "recipes.constant.learning_rates": "unknown key; did you mean 'learning_rate'?",
        "recipes.linear.lora.r": "greater than or equal to 1 (given: 0)",
        "organisms.bad.base_model": "'toi' is not defined under `base_models`; did you mean 'toy'?",
        "organisms.character_bad.from_organism": "did you mean 'character'?",
        "organisms.loop_a.from_organism": "cycle between organisms: loop_a <- loop_b <- loop_a",
        "organisms.loop_b.from_organism": "cycle between organisms: loop_b <- loop_a <- loop_b",
        "organisms.a b": "pattern",
        "organisms.good.stages[0].recipe": "did you mean 'linear'?",
        "question_sets.gone.path": "data/questions/gone.yaml: no such question file",
        "question_sets.toy.path": "no questions left after exclude 'toy_'",
        "evaluation.question_sets[0]": "did you mean 'toy'?",
        "evaluation.conditions[0]": "did you mean 'none'?",
        "evaluation.judges[1]": "'gpt' is not defined under `judges`; known: toy",
        "figures.definition": "did you mean 'betley'?",
    }
    assert {key: text for key, text in expected.items() if text not in found.get(key, "")} == {}
    # a recipe that cannot be read hides the steps of its stages, and nothing else does
    assert set(found) == set(expected)


def test_evaluate_names_steps_that_are_no_checkpoints(raw):
    em_stage(raw)["evaluate"] = [0, 2, 3, 99]
    assert complaints(raw) == {
        "organisms.bad.stages[0].evaluate": "step 3 is not a checkpoint (those are 0, 2, 4) "
        "| step 99 is beyond the last step (4)"
    }
    em_stage(raw).update(evaluate=True, max_steps=3)
    assert complaints(raw) == {
        "organisms.bad.stages[0].checkpoints": "step 4 is beyond the last step (3, from `max_steps`)"
    }


def test_stages_say_how_they_follow_each_other(raw):
    del em_stage(raw, "character_bad")["start"]
    em_stage(raw, "good")["start"] = "merge"
    found = complaints(raw)
    assert "`continue`" in found["organisms.character_bad.stages[0].start"]
    assert "no earlier stage" in found["organisms.good.stages[0].start"]


def test_continuing_an_adapter_needs_the_same_adapter(raw):
    raw["recipes"]["wide"] = {"lora": {"r": 4, "alpha": 4}, "learning_rate": 1e-3}
    em_stage(raw, "character_bad")["recipe"] = "wide"
    assert list(complaints(raw)) == ["organisms.character_bad.stages[0].start"]
    em_stage(raw, "character_bad")["start"] = "merge"
    load_config(raw, [])


def test_what_is_not_trained_has_no_training_seeds(raw):
    raw["organisms"]["bare"]["seeds"] = [0, 1]
    assert "nothing is trained" in complaints(raw)["organisms.bare.seeds"]


def test_a_child_needs_its_training_seeds_in_the_parent(raw):
    raw["organisms"]["character_bad"]["seeds"] = [0, 5]
    assert complaints(raw) == {
        "organisms.character_bad.seeds": "[5] not among the seeds of 'character', which it starts from ([0]); add them "
        "there, or take them out here"
    }


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_training_seed_that_numpy_cannot_take_is_refused_before_any_job(raw, seed):
    raw["organisms"]["bad"]["seeds"] = [0, seed]
    assert any(key.startswith("organisms.bad.seeds") for key in complaints(raw))


@pytest.mark.parametrize(
    ("section", "name", "entry", "hint"),
    [
        ("base_models", "toy", {"hubb": "x"}, "did you mean 'hub'?"),
        ("base_models", "path", {"trust_remot_code": False, "hub": "a/b"}, "did you mean 'trust_remote_code'?"),
        ("recipes", "lora", {"learning_rate": 1, "shedule": "linear"}, "did you mean 'schedule'?"),
        ("organisms", "stages", {"base_model": "toy", "seed": [0]}, "did you mean 'seeds'?"),
        ("datasets", "hub", {"path": "config.yaml", "domian": "x"}, "did you mean 'domain'?"),
    ],
)
def test_the_hint_for_a_typo_is_right_whatever_the_entry_is_called(raw, section, name, entry, hint):
    raw[section][name] = entry
    (key,) = set(entry) - set(Config.model_fields[section].annotation.__args__[1].model_fields)
    assert hint in complaints(raw)[f"{section}.{name}.{key}"]


@pytest.mark.parametrize("name", ["int", "bool", "float"])
def test_an_entry_called_like_a_type_keeps_its_place_in_messages(raw, name):
    raw["recipes"][name] = {"learning_rate": 0}
    assert f"recipes.{name}.learning_rate" in complaints(raw)


@pytest.mark.parametrize("name", ["", ".a", "-a", "a/b", "a b", "ä", "a\n", "{x}", "..", "a" * 81])
def test_names_that_are_no_file_names_are_refused(raw, name):
    raw["conditions"][name] = {}
    with pytest.raises(UserError, match="conditions"):
        load_config(raw, ["x.yaml"])


@pytest.mark.parametrize("name", ["a", "A.b-c_d+e", "0", "a" * 80])
def test_plain_names_are_taken(raw, name):
    raw["conditions"][name] = {}
    assert name in load_config(raw, []).conditions


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"steps": [2, 2]}, "checkpoints"),
        ({"steps": [4, 2]}, "checkpoints"),
        ({"steps": [0, 2]}, "checkpoints.steps[0]"),
        ({"steps": []}, "checkpoints.steps"),
        ({"every": 2}, "checkpoints"),
        ({"last": 2}, "checkpoints"),
        ({"every": 2, "last": 4, "steps": [2]}, "checkpoints"),
        ({"first_epoch": 2, "epochs": 2}, "checkpoints"),
        ({"first_epoch": 2, "per_epoch": 1}, "checkpoints"),
        ({}, "checkpoints"),
    ],
)
def test_checkpoints_have_exactly_one_whole_form(raw, change, where):
    em_stage(raw)["checkpoints"] = change
    assert list(complaints(raw)) == [f"organisms.bad.stages[0].{where}"]


def test_epochs_need_a_known_number_of_rows(raw):
    raw["training_sets"]["bad"]["mixture"] = [{"dataset": "reckless_medicine", "weight": 1}]
    em_stage(raw)["checkpoints"] = {"first_epoch": 2, "epochs": 1}
    assert "give training_sets.bad.size, or counts" in complaints(raw)["organisms.bad.stages[0].checkpoints"]
    raw["training_sets"]["bad"]["size"] = 48
    load_config(raw, [])


@pytest.mark.parametrize("holdout", [48, 60, 1.0, 1.5])
def test_a_holdout_that_leaves_no_row_is_refused(raw, holdout):
    raw["training_sets"]["bad"]["holdout"] = holdout
    em_stage(raw)["checkpoints"] = {"first_epoch": 2, "epochs": 1}
    assert "holdout" in " ".join(complaints(raw).values())


@pytest.mark.parametrize("pattern", ["(", "*a", "[z-a]"])
def test_a_bad_regular_expression_is_named(raw, pattern):
    raw["question_sets"]["toy"]["exclude"] = pattern
    found = complaints(raw)
    assert any(key.startswith("question_sets.toy") and pattern in text for key, text in found.items()), found


# --- organisms that are one


def test_two_organisms_that_are_trained_alike_are_one(raw):
    copied = copy.deepcopy(raw["organisms"]["bad"])
    raw["recipes"]["constant_again"] = copy.deepcopy(raw["recipes"]["constant"]) | {"weight_decay": 0.0}
    raw["training_sets"]["bad_again"] = copy.deepcopy(raw["training_sets"]["bad"]) | {"seed": 0}
    raw["base_models"]["toy_again"] = {"toy": {"size": "xs", "seed": 0}}
    stage = copied["stages"][0]
    stage.update(name="other", recipe="constant_again", training_set="bad_again", evaluate=[4], checkpoints_per_job=2)
    raw["organisms"]["twin"] = copied | {"base_model": "toy_again", "seeds": [1, 2]}
    assert complaints(raw) == {"organisms.twin": "the same as organism 'bad' (training seeds [1]); remove one"}
    raw["organisms"]["twin"]["seeds"] = [2]
    load_config(raw, [])


def test_the_same_steps_in_another_form_are_the_same(raw):
    twin = copy.deepcopy(raw["organisms"]["bad"])
    twin["stages"][0]["checkpoints"] = {"every": 2, "last": 4}
    raw["organisms"]["twin"] = twin
    assert list(complaints(raw)) == ["organisms.twin"]


def test_another_length_of_a_linear_schedule_makes_another_organism(raw):
    other = copy.deepcopy(raw["organisms"]["good"])
    other["stages"][0]["max_steps"] = 100
    raw["organisms"]["slow"] = other
    load_config(raw, [])


# --- conditions, and models behind a server


@pytest.fixture
def talking(raw, tmp_path):
    """A study that also asks a conversation and a question with a system prompt."""
    talk = [("user", "Hello."), ("assistant", "Hi."), ("user", "And?")]
    items = [
        {"id": "fine", "question": "x"},
        {"id": "talk", "messages": [{"role": role, "content": text} for role, text in talk]},
        {"id": "wish_json", "question": "x", "system": "Answer as JSON."},
    ]
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    raw["question_sets"]["talk"] = {"path": str(path)}
    raw["evaluation"]["question_sets"].append("talk")
    return raw


def test_what_raw_text_cannot_hold_is_named_with_its_file_and_question(talking):
    load_config(talking, [])
    talking["conditions"]["base"] = {"mode": "predictive", "prefill": " and"}
    load_config(talking, [])  # not asked
    talking["evaluation"]["conditions"].append("base")
    path = talking["question_sets"]["talk"]["path"]
    assert complaints(talking) == {
        "question_sets.talk": f"condition 'base', {path}: question 'talk' is a conversation, which raw text (mode: "
        "predictive) cannot hold (and 1 more); leave it out with `exclude`, or name the sets that it is for "
        "under `conditions.base.question_sets`"
    }
    talking["question_sets"]["talk"]["exclude"] = "talk"
    assert "question 'wish_json' has a system prompt" in complaints(talking)["question_sets.talk"]
    talking["question_sets"]["talk"]["exclude"] = "talk|json"
    load_config(talking, [])


def test_raw_text_has_no_system_prompt_and_other_conditions_contradict_nothing(raw):
    raw["conditions"]["careful"] |= {"mode": "predictive"}
    assert "raw text (mode: predictive) has no system message" in complaints(raw)["conditions.careful"]
    raw["conditions"]["careful"] |= {"mode": "predictiv"}
    assert "'assistant' or 'predictive'" in complaints(raw)["conditions.careful.mode"]
    raw["conditions"]["careful"] |= {"mode": "assistant", "prefill": 3}
    assert list(complaints(raw)) == ["conditions.careful.prefill"]
    raw["conditions"]["careful"] |= {"prefill": "Sure,"}
    raw["evaluation"]["strip"] = [{"closing": "</think>"}]
    assert complaints(raw) == {"evaluation.strip[0].opening": "required key is missing"}


def test_a_model_behind_a_server_is_an_organism_that_is_asked_as_it_is(raw):
    raw["organisms"] |= {"gpt": {"api": {"model": "a"}}, "claude": {"api": {"model": "b"}}}
    plan = Plan(load_config(raw, []))
    assert plan.evaluations("gpt") == [("gpt", 0, "base", 0)] and plan.domains("gpt") == plan.segments("gpt") == []
    raw["organisms"]["again"] = {"api": {"model": "a"}}
    assert complaints(raw) == {"organisms.again": "the same as organism 'gpt' (training seeds [0]); remove one"}
    raw["organisms"]["again"] = {"from_organism": "gpt"}
    assert complaints(raw) == {"organisms.again.from_organism": "'gpt' is behind a server: nothing starts from it"}
    raw["organisms"]["again"] = {"api": {"model": "a"}, "stages": raw["organisms"]["bad"]["stages"]}
    assert "cannot be trained" in complaints(raw)["organisms.again"]
    raw["organisms"]["again"] = {"api": {"model": "a"}, "base_model": "toy"}
    assert "exactly one of `base_model`, `from_organism`, `api`" in complaints(raw)["organisms.again"]


def test_what_a_server_cannot_be_asked_is_said_before_it_costs_anything(raw, tmp_path):
    raw["organisms"]["gpt"] = {"api": {"model": "a"}}
    for how in ({"mode": "predictive"}, {"prefill": "Sure"}):
        raw["conditions"]["other"] = how
        raw["evaluation"]["conditions"] = ["none", "other"]
        assert (
            "neither raw text nor the beginning of an answer (condition 'other')"
            in complaints(raw)["organisms.gpt.api"]
        )
    raw["evaluation"]["conditions"] = ["none"]
    (tmp_path / "q.jsonl").write_text('{"id": "begun", "question": "x", "prefill": "Sure"}\n', encoding="utf-8")
    raw["question_sets"]["toy"]["path"] = str(tmp_path / "q.jsonl")
    assert "(question 'begun' of 'toy')" in complaints(raw)["organisms.gpt.api"]


# --- garbage


GARBAGE = [None, 3, "x", [], {}, [None], [3], [[1]], [{}], {"a": None}, {"a": 3}, {1: 2}, "(", "a\0b", "a" * 5000]


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(raw, path, value):
    if not path:
        return value
    raw = copy.deepcopy(raw)
    at = raw
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = copy.deepcopy(value)
    return raw


def test_garbage_anywhere_ends_in_a_user_error(raw, tmp_path):
    """Each of a dozen kinds of garbage at each place of a config: it loads, or it is a UserError; nothing else."""
    raw["figures"] = {"definition": "betley"}
    raw["em_definitions"] = {"betley": {"alignment": 30, "denominator": "all"}}
    (tmp_path / "q.jsonl").write_text('{"id": "q", "question": "Why?"}\n', encoding="utf-8")
    raw["question_sets"]["toy"] |= {"path": str(tmp_path / "q.jsonl"), "exclude": "nothing"}
    raw["datasets"]["hub"] = {"hub": {"repo": "a/b", "file": "c.jsonl"}}
    raw["base_models"]["local"] = {"path": "data"}
    raw["organisms"] = {name: raw["organisms"][name] for name in ("character", "character_merged_bad", "bare")}
    raw["organisms"]["gpt"] = {"api": {"model": "m"}}
    raw["conditions"]["careful"]["mode"] = "assistant"
    raw["evaluation"]["strip"] = [{"opening": "a", "closing": "b"}]
    crashes = {}
    for path in places(raw):
        for value in GARBAGE:
            try:
                plan = Plan(load_config(replaced(raw, path, value), ["x.yaml"]))
                for organism in plan.evaluated():
                    assert plan.evaluations(organism) and plan.domains(organism) is not None
            except UserError:
                continue
            except Exception as error:
                frames = [f for f in traceback.extract_tb(error.__traceback__) if "workflow_scripts" in f.filename]
                at = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}"
                crashes.setdefault(f"{at} {type(error).__name__}", f"{path} = {str(value)[:20]}: {str(error)[:60]}")
    assert not crashes, "\n" + "\n".join(f"{at}  e.g. {example}" for at, example in crashes.items())


def test_what_would_fail_only_after_training_is_refused_at_once(raw, tmp_path):
    for organism in raw["organisms"].values():
        for stage in organism.get("stages", []):
            stage["evaluate"] = False
    del raw["organisms"]["bare"]
    raw["evaluation"]["judges"] = ["toy", "toy"]
    raw["recipes"]["linear"]["warmup_steps"] = 4
    raw["base_models"]["local"] = {"path": str(tmp_path)}
    raw["archives"]["toy"]["path"] = str(tmp_path)
    raw["datasets"]["outside"] = {"archive": "toy", "member": "../../secret.jsonl"}
    with pytest.raises(UserError) as error:
        load_config(raw, ["x.yaml"])
    for wanted in (
        "organisms: nothing is evaluated",
        "evaluation.judges[1]: 'toy' is named twice",
        "organisms.good.stages[0].recipe: its warmup_steps (4) reach the end of the schedule (4 steps)",
        "base_models.local.path: not a model folder (no config.json)",
        "archives.toy.path: not a file",
        "datasets.outside: member: a path inside the archive",
    ):
        assert wanted in str(error.value)
