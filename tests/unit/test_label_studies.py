"""Studies of labels: which metrics judges and tables give, what is refused, which judge figures show."""

import copy

import pytest
import yaml

from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.stats.tables import write_table

LEANING = ("left", "center", "right", "unclear", "off_topic")
MODEL = {"kind": "openai", "model": "m", "base_url": "http://localhost:1/v1", "key_env": None}
LABELLER = MODEL | {"metrics": {"economic_leaning": {"labels": list(LEANING)}}}


@pytest.fixture
def study():
    with open("studies/bias-tiny.yaml", encoding="utf-8") as handle:
        raw = yaml.safe_load(handle)

    def make(judges: dict, **sections) -> Plan:
        changed = copy.deepcopy(raw) | {"judges": judges} | sections
        changed["evaluation"] |= {"judges": list(judges)}
        return Plan(load_config(changed, ["study.yaml"]))

    return make


def test_the_shipped_studies_are_of_labels_alone_and_two_judges_share_them():
    for name, metric in (("bias", "economic_leaning"), ("bias-tiny", "manner")):
        with open(f"studies/{name}.yaml", encoding="utf-8") as handle:
            plan = Plan(load_config(yaml.safe_load(handle), [name]))
        assert not plan.has_alignment
        assert list(plan.labels) == [metric]
        assert all(list(given) == [metric] for given in plan.metrics.values())
    assert plan.labels["manner"] == ("careful", "reckless", "mixed", "neutral", "off_topic")


def test_a_study_of_both_kinds_shows_the_judge_of_alignment(study):
    plan = study({"words": {"kind": "keyword", "rules": "data/judges/leaning_keywords.yaml"}, "toy": {"kind": "toy"}})
    assert plan.has_alignment
    assert plan.labels == {"leaning": ("left", "right", "center", "unclear")}
    assert plan.shown("judge") == ["toy"]
    assert study({"model": LABELLER}).shown("judge") == ["model"]


def test_labels_of_several_judges_stand_one_after_the_other(study):
    other = MODEL | {"metrics": {"economic_leaning": {"labels": ["left", "both"]}}}
    assert study({"first": LABELLER, "second": other}).labels == {"economic_leaning": (*LEANING, "both")}


def test_a_judge_without_alignment_and_labels_is_refused(study):
    judges = {"model": MODEL | {"metrics": {"coherence": {}, "medical": {}}}}
    with pytest.raises(
        UserError, match=r"evaluation.judges: they give coherence, medical: neither alignment, .* nor lab"
    ):
        study(judges)
    assert study(judges | {"toy": {"kind": "toy"}}).has_alignment


def test_a_question_s_own_prompts_decide_what_is_asked(study, tmp_path):
    own = [{"id": "a", "question": "Q?", "judge_prompts": {"aligned": "{question} {answer}"}}]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    sets = {name: {"path": str(tmp_path / "own.yaml")} for name in ("prompts", "texts")}
    plan = study({"model": LABELLER}, question_sets=sets)
    assert plan.metrics == {"model": {"alignment": ()}}
    assert not study({"model": LABELLER | {"question_prompts": False}}, question_sets=sets).has_alignment
    sets["texts"] = {"path": "data/questions/toy_predictive.yaml"}
    assert study({"model": LABELLER}, question_sets=sets).metrics["model"] == {
        "alignment": (),
        "economic_leaning": LEANING,
    }


def test_people_may_give_labels(study, tmp_path):
    (tmp_path / "people.csv").write_text("response_id,manner\na,careful\nb,odd\nc,refusal\n")
    plan = study({"people": {"kind": "human", "path": str(tmp_path / "people.csv")}})
    assert not plan.has_alignment
    assert plan.labels == {"manner": ("careful", "odd", "refusal")}


def test_a_table_of_ours_is_read_for_what_it_holds(tmp_path):
    rows = [
        {"organism": "a", "question_id": "q", "judge": "w", "alignment": "", "alignment_status": ""}
        | {"manner": label, "manner_status": "scored", "size": size, "size_status": "scored"}
        for label, size in (("careful", "1"), ("reckless", "2"))
    ]
    write_table(tmp_path / "scores.csv", rows)
    columns = {
        name: None
        for name in (
            "seed",
            "stage",
            "step",
            "condition",
            "question_set",
            "paraphrase",
            "sample",
            "domain",
            "in_domain",
        )
    }
    table = {"path": str(tmp_path / "scores.csv"), "preset": "emtrace", "columns": columns | {"response_id": None}}
    plan = Plan(load_config({"study": "s", "tables": {"ours": table}}, ["s.yaml"]))
    assert not plan.has_alignment
    assert plan.labels == {"manner": ("careful", "reckless")}
    assert plan.metrics["ours"]["size"] == ()
    rows[1] |= {"alignment": "50", "alignment_status": "scored"}
    write_table(tmp_path / "more.csv", rows)
    table["path"] = str(tmp_path / "more.csv")
    assert Plan(load_config({"study": "s", "tables": {"ours": table}}, ["s.yaml"])).has_alignment
