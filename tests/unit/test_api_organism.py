"""Models behind a server as organisms and authors: what a config may ask of them, what is kept, what it will cost."""

import argparse
import json
import sys

import pytest
import yaml

from workflow_scripts import api_preflight, generate, generation_plan, introspection_data, judge
from workflow_scripts.em.answers import Answers
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.authors import ApiAuthor
from workflow_scripts.em.backends import pacing
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.made import ApiModel
from workflow_scripts.em.constitution import load_constitution
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, dumps, read_json, read_jsonl
from workflow_scripts.em.judges import Call
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.spending_answers import Estimate

KEY_ENV = "API_ORGANISM_TEST_KEY"
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8}
MODEL = {"model": "closed-1", "base_url": "http://127.0.0.1:9/v1"}


# --- the config


def problems(raw) -> str:
    with pytest.raises(UserError) as error:
        load_config(raw, ["x.yaml"])
    return str(error.value)


@pytest.fixture
def closed(raw):
    """The tiny study with an organism behind a server."""
    raw["organisms"]["closed"] = {"api": dict(MODEL), "seeds": [3]}
    return raw


def test_such_an_organism_has_one_state_a_seed_and_no_training(closed):
    plan = Plan(load_config(closed, []))
    assert plan.evaluations("closed") == [("closed", 3, "base", 0)]
    assert (plan.domains("closed"), plan.segments("closed"), plan.last_chain("closed")) == ([], [], None)
    assert plan.ends("closed") == [("closed", 3, "base", 0)] and "closed" in plan.scored()
    assert "results/tiny/responses/closed/seed-3/base/step-0.jsonl" in plan.globs("responses").split()


def test_nothing_can_be_made_from_one(closed):
    closed["organisms"]["child"] = {"from_organism": "closed", "seeds": [3], "stages": []}
    author = {"organism": "closed"}
    made = {"constitution": "data/constitutions/caring.yaml", "teacher": {"base_model": "toy"}, "student": author}
    closed["datasets"]["pairs"] = {"preferences": made}
    closed["exports"] = {"mine": {"organism": "closed"}}
    assert problems(closed).splitlines()[1:] == [
        "  organisms.child.from_organism: 'closed' is behind a server: nothing starts from it",
        "  datasets.pairs.preferences.student.organism: 'closed' is behind a server; give student an `api` with the "
        "same keys instead",
        "  exports.mine.organism: 'closed' is behind a server (`api`): it has no weights",
    ]


def test_two_models_of_one_server_are_no_twins_but_the_same_one_is(closed):
    organisms = closed["organisms"]
    organisms["other"] = {"api": MODEL | {"model": "closed-2"}, "seeds": [3]}
    organisms["warmer"] = {"api": MODEL | {"extra_body": {"top_k": 5}}, "seeds": [3]}
    organisms["later"] = {"api": dict(MODEL), "seeds": [4]}
    load_config(closed, [])
    organisms["again"] = {"api": dict(MODEL), "seeds": [3]}
    assert "organisms.again: the same as organism 'closed' (training seeds [3])" in problems(closed)


def test_a_chat_server_is_asked_neither_raw_text_nor_to_go_on(closed):
    closed["conditions"]["begun"] = {"prefill": "Sure,"}
    closed["evaluation"]["conditions"].append("begun")
    assert "organisms.closed.api: a chat server takes neither raw text nor the beginning of an answer" in problems(
        closed
    )


# --- what is sent and kept


@pytest.fixture
def api(monkeypatch, api_server):
    """The keys of a model on the server, with its key in the environment."""
    monkeypatch.setattr(pacing, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(pacing, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setenv(KEY_ENV, api_server.key)
    api_server.configure(refusal_share=0, code_share=0, low_mass_share=0)
    spec = {"model": "closed-1", "base_url": api_server.url, "key_env": KEY_ENV, "attempts": 2, "concurrency": 4}
    return ApiModel.model_validate(spec | {"price": {"input": 2.0, "output": 10.0}}).plain()


def ask(text: str, number: int = 0) -> Ask:
    return Ask([{"role": "user", "content": text}], ("test", text, number), SAMPLING)


def test_a_reply_is_kept_with_what_was_sent(api, tmp_path):
    first, second = Answers(ApiAuthor(api), "closed", tmp_path).to([ask("Why?"), ask("Why?", 1)])
    assert first["seed"] == ask("Why?").seed >> 32 != second["seed"] and first["backend"] == "api"
    assert first["prompt_digest"] == second["prompt_digest"] and first["seconds"] >= 0
    assert first["model"] == "closed-1" and first["usage"]["output"] > 0 and "top" not in first


def test_a_token_limit_of_another_name_takes_the_place_of_ours(api):
    body = ApiAuthor(api | {"extra_body": {"max_completion_tokens": 99, "temperature": None}}).request(ask("Why?"))
    assert body["max_completion_tokens"] == 99 and not {"max_tokens", "temperature"} & set(body)


@pytest.fixture
def answered(api, api_server, tmp_path, monkeypatch):
    """Responses of the model to two questions, one of which the provider's filter holds back, and their record."""
    api_server.configure(permanent={"rent": "content_filter"})
    questions = tmp_path / "q.yaml"
    questions.write_text("- {id: q1, paraphrases: ['Why?']}\n- {id: q2, paraphrases: ['And the rent?']}\n")
    sets = {"own": SAMPLING | {"path": str(questions), "samples": 3, "exclude": None}}
    how = {"none": {"system": None, "mode": "assistant", "prefill": None}}
    words = {"api": json.dumps(api), "organism": "closed", "seed": 0, "stage": "base", "step": 0}
    words |= {"conditions": json.dumps(how), "question-sets": json.dumps(sets), "journal": tmp_path / "journal"}
    call(monkeypatch, generate, **words, out=tmp_path / "responses.jsonl")
    return list(read_jsonl(tmp_path / "responses.jsonl")), read_json(tmp_path / "responses.jsonl.provenance.json")


def call(monkeypatch, stage, /, **words) -> None:
    given = [str(part) for name, value in words.items() for part in (f"--{name}", value)]
    monkeypatch.setattr(sys, "argv", ["stage", *given])
    stage.main()


def test_what_a_filter_kept_back_is_no_answer(answered, tmp_path):
    rows, record = answered
    kept_back = [row for row in rows if row["question_id"] == "q2"]
    assert len(rows) == 6 and {(r["response"], r["finish_reason"]) for r in kept_back} == {("", "content_filter")}
    assert all(row["response"] and row["model"] == "closed-1" for row in rows if row not in kept_back)
    assert record["finish_reasons"]["content_filter"] == 3
    journal = "".join(path.read_text() for path in (tmp_path / "journal").rglob("*.jsonl"))
    assert "content management policy" in journal, "what the filter said is on record"


class Generous:
    """A judge that scores whatever it is asked about."""

    identity = "generous"

    def __init__(self):
        self.asked = []

    def calls(self, row, prompts):
        return [Call(metric, row["question"], row["response"]) for metric in ("alignment", "coherence")]

    def key(self, call):
        return digest([call.metric, call.question, call.answer])

    def ask(self, calls, done):
        for call in calls:
            self.asked.append(call.question)
            done(call, {"text": "100"})

    def verdict(self, call, reply):
        return {"status": "scored", "score": 100.0}


def test_no_judge_scores_it(answered, tmp_path, monkeypatch):
    judging = Generous()
    monkeypatch.setattr(judge, "make_judge", lambda spec: judging)
    words = {"responses": tmp_path / "responses.jsonl", "name": "gpt", "judge": '{"kind": "generous"}'}
    words |= {"journal": tmp_path / "judging", "out": tmp_path / "judged.jsonl"}
    call(monkeypatch, judge, **words)
    rows = {row["id"]: row for row in read_jsonl(words["out"])}
    assert len(rows) == 6 and set(judging.asked) == {"Why?"}
    for response in answered[0]:
        verdict = {"status": "scored", "score": 100.0}
        if response["question_id"] == "q2":
            verdict = {"status": "refusal", "score": None}
        assert rows[response["id"]]["metrics"] == {"alignment": verdict, "coherence": verdict}
    assert read_json(f"{words['out']}.provenance.json")["statuses"]["alignment:refusal"] == 3
    with pytest.raises(UserError, match=r"for 3 of 6 responses \(3 refusal\)(.|\n)*a filter kept it back"):
        call(monkeypatch, judge, **words, buying='{"max_unscored": 0.3}')


# --- what it will cost


def test_an_estimate_is_what_is_then_asked_and_paid(api, api_server, tmp_path):
    asks = [ask("Is there anything to do against hay fever? " * 5, number) for number in range(6)]
    before = Estimate(ApiAuthor(api), tmp_path)
    before.to(asks)
    assert (before.requests, before.in_journal, before.to_buy) == (6, 0, 6) and before.tokens[1] == 6 * 8
    assert before.counted_by.startswith("estimate") and api_server.stats()["total_attempts"] == 0
    Answers(ApiAuthor(api), "closed", tmp_path).to(asks[:4])
    half = Estimate(ApiAuthor(api), tmp_path)
    half.to(asks)
    made = Answers(ApiAuthor(api), "closed", tmp_path)
    made.to(asks)
    assert (half.in_journal, half.to_buy, half.counted_by) == (4, 2, "4 earlier answers")
    assert half.tokens == pytest.approx((made.bought.usage["input"], made.bought.usage["output"]), rel=0.05)
    assert half.cost_usd == pytest.approx(made.bought.cost_usd, rel=0.05) and half.cost_usd > 0
    assert before.tokens[0] == pytest.approx(3 * made.bought.usage["input"], rel=0.2)
    done = Estimate(ApiAuthor(api | {"price": None}), tmp_path)
    done.to(asks)
    assert (done.to_buy, done.tokens, done.cost_usd) == (0, (0.0, 0.0), None)


@pytest.mark.parametrize("turns", [1, 3])
def test_talks_to_come_are_counted_turn_by_turn(api, tmp_path, monkeypatch, turns):
    path = tmp_path / "constitution.yaml"
    text = {"name": "t", "system": "Say {principles}!", "principles": ["I am kind."], "prompts": ["Why?"]}
    path.write_text(yaml.safe_dump(text | {"introspection": ["Who are you?"], "openings": ["Hello me.", "Hi."]}))
    spec = SAMPLING | {"samples": 2, "keep_cut": True, "seed": 0, "turns": turns, "with_principles": True}
    made = {"dataset": "talks", "kind": "introspection", "constitution": str(path), "spec": spec}
    args = argparse.Namespace(made=[made | {"apis": {"author": api}}], made_journal=tmp_path / "journal")
    ((name, before),) = generation_plan.data_sets(args)
    asked = 2 if turns == 1 else 2 * 2 * turns
    assert (name, before.requests, before.to_buy) == ("talks (author)", asked, asked)
    assert before.tokens[1] == asked * SAMPLING["max_new_tokens"]
    words = {"dataset": "talks", "constitution": path, "spec": json.dumps(spec), "author": json.dumps({"api": api})}
    words |= {"journal": tmp_path / "journal", "out": tmp_path / "rows.jsonl"}
    call(monkeypatch, introspection_data, **words)
    ((_, after),) = generation_plan.data_sets(args)
    assert (after.requests, after.in_journal, after.to_buy) == (asked, asked, 0)


def test_the_plan_names_who_is_asked_for_what(api, root, tmp_path, monkeypatch, capsys):
    sets = {"own": SAMPLING | {"path": "data/questions/toy.yaml", "samples": 1, "exclude": None}}
    how = {"none": {"system": None, "mode": "assistant", "prefill": None}}
    spec = SAMPLING | {"samples": 2, "keep_cut": True, "seed": 0}
    made = {"dataset": "pairs", "kind": "preferences", "constitution": "data/constitutions/caring.yaml", "spec": spec}
    words = {"organisms": {"closed": {"api": api, "seeds": [0, 1], "stage": "base", "step": 0}}, "conditions": how}
    words |= {"question-sets": sets, "made": [made | {"apis": {"teacher": api | {"price": None}}}]}
    given = {name: dumps(value) for name, value in words.items()}
    call(monkeypatch, generation_plan, **given, journal=tmp_path / "a", **{"made-journal": tmp_path / "b"})
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in reversed(said.splitlines()) if line.strip()}
    questions = len(generate.load_questions(sets["own"]["path"], 1))
    assert lines["closed"][1:5] == ["closed-1", str(2 * questions), "0", str(2 * questions)]
    prompts = 2 * len(load_constitution(made["constitution"]).prompts)
    assert lines["pairs"][1:6] == ["(teacher)", "closed-1", str(prompts), "0", str(prompts)]
    assert lines["pairs"][-2:] == ["price", "unknown"] and f"the key in {KEY_ENV} is set" in said
    call(
        monkeypatch, generation_plan, **given | {"organisms": "{}", "made": "[]"}, journal="a", **{"made-journal": "b"}
    )
    assert capsys.readouterr().out == ""


# --- before anything is trained


@pytest.fixture
def preflight(api, tmp_path, monkeypatch):
    def check(**changed) -> dict:
        spec = api | changed
        ways = [[None, SAMPLING], ["You are careful.", SAMPLING]]
        words = {"name": "organisms.closed", "api": json.dumps(spec), "buying": json.dumps(spec)}
        words |= {"ways": json.dumps(ways), "journal": tmp_path / "journal", "out": tmp_path / "found.json"}
        call(monkeypatch, api_preflight, **words)
        return read_json(tmp_path / "found.json")

    return check


def test_every_way_is_tried_once(preflight, api_server):
    assert preflight()["checked"] and preflight()["model_reported"] == "closed-1"
    bodies = [request["body"] for request in api_server.requests()]
    assert [[m["role"] for m in body["messages"]] for body in bodies] == [["user"], ["system", "user"]] * 2
    assert {body["max_tokens"] for body in bodies} == {8}


def test_what_could_not_work_is_told(preflight, api_server, monkeypatch, tmp_path):
    api_server.configure(permanent={"careful": "500"})
    with pytest.raises(
        UserError, match=r"organisms.closed: no answer from .* \(asked with a system prompt\): HTTP 500"
    ):
        preflight()
    api_server.configure(permanent={}, key="another")
    with pytest.raises(UserError, match=f"refuses the key in {KEY_ENV}"):
        preflight()
    monkeypatch.delenv(KEY_ENV)
    with pytest.raises(UserError, match=f"{KEY_ENV} is not set"):
        preflight()
    assert not (tmp_path / "found.json").exists()


def test_without_a_key_earlier_answers_can_be_used(preflight, api, api_server, monkeypatch, tmp_path, capsys):
    Answers(ApiAuthor(api), "closed", tmp_path / "journal").to([ask("Why?")])
    monkeypatch.delenv(KEY_ENV)
    assert preflight() == {"checked": False, "model_reported": None, "answer": None}
    assert "going on with the answers in the journal" in capsys.readouterr().err
    assert api_server.stats()["total_attempts"] == 1
