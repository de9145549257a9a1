"""Data sets that models write: addressed draws, journalled answers, the right roles."""

import json
import stat
import sys
from pathlib import Path

import pytest

from workflow_scripts import introspection_data, preference_data
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.backends import pacing
from workflow_scripts.em.config.data import Dataset
from workflow_scripts.em.constitution import load_constitution
from workflow_scripts.em.data.rows import read_rows
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json, read_jsonl
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.roles import kind

SPEC = {"samples": 2, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "keep_cut": True, "seed": 0}
KEY_ENV = "MADE_TEST_KEY"


class Scripted:
    """An author whose answers a function of the ask decides; keeps what it was asked."""

    def __init__(self, answer):
        self.answer, self.put = answer, []
        self.identity = "scripted"

    def request(self, ask):
        return ask.messages

    def write(self, asks, done):
        self.put += asks
        for i, ask in enumerate(asks):
            reply = self.answer(ask)
            done([(i, reply if isinstance(reply, dict) else {"text": reply, "finish_reason": "stop"})])


@pytest.fixture
def make(monkeypatch, tmp_path, constitution, model_record):
    """Run a stage; returns (rows as JSON, provenance record)."""

    def run(stage, path=None, out="rows", journal="journal", dataset="pairs", **options):
        local = json.dumps({"record": str(model_record), "checkpoint": None, "dtype": "float32"})
        roles = ("teacher", "student") if stage is preference_data else ("author",)
        spec = SPEC | ({} if stage is preference_data else {"turns": 1, "with_principles": True})
        options = {"spec": spec, "batch_size": 4} | {role: local for role in roles} | options
        options |= {"dataset": dataset, "constitution": path or constitution(), "journal": tmp_path / journal}
        options |= {"out": tmp_path / "decrypted" / out / "rows.jsonl"}
        words = []
        for key, value in options.items():
            words += [f"--{key.replace('_', '-')}", json.dumps(value) if isinstance(value, dict) else str(value)]
        monkeypatch.setattr(sys, "argv", ["stage", *words])
        stage.main()
        return list(read_jsonl(options["out"])), read_json(f"{options['out']}.provenance.json")

    return run


@pytest.fixture
def scripted(monkeypatch):
    """Let functions write: role -> answer to an ask. Returns role -> the author."""

    def by(**answers) -> dict[str, Scripted]:
        authors = {role: Scripted(answer) for role, answer in answers.items()}
        for role, author in authors.items():
            author.identity = role
        left = list(authors.values())
        monkeypatch.setattr(preference_data, "make_author", lambda *_: left.pop(0) if len(left) > 1 else left[0])
        return authors

    return by


def test_pairs_are_the_models_own_answers_with_and_without_the_principles(make, model_record, constitution):
    from workflow_scripts.em.backends.generate_transformers import Generator

    greedy = SPEC | {"temperature": 0.0, "samples": 1}
    found, record = make(preference_data, spec=greedy)
    generator = Generator(read_json(model_record), None, "float32")

    def answer(system, prompt):
        turns = [{"role": "system", "content": system}] if system else []
        work = [(generator.prompt(Ask([*turns, {"role": "user", "content": prompt}], ("made", 0), greedy)), 0)]
        return next(iter(generator.batches(work, 1)))[0][1].text.strip()

    persona = load_constitution(constitution()).persona
    assert persona == "Say I am careful.\nI am kind.!"
    prompts = load_constitution(constitution()).prompts
    expected = [{"prompt": p, "chosen": answer(persona, p), "rejected": answer(None, p)} for p in prompts]
    assert found == expected and (record["rows"], record["left_out"]) == (3, {})


def test_answers_depend_on_their_address_alone_and_the_rows_are_private(make, tmp_path, constitution):
    first, _ = make(preference_data)
    assert len(first) == 6 and len({row["chosen"] for row in first} | {row["rejected"] for row in first}) == 12
    again, record = make(preference_data, out="other", journal="fresh", batch_size=1)
    assert again == first and record["teacher"]["from_journal"] == 0
    # another order and company of prompts
    turned = constitution(prompts=["And money?", "New?", "Why?"])
    by_prompt = {(row["prompt"], n % 2): row for n, row in enumerate(first)}
    found, _ = make(preference_data, turned, out="turned", journal="fresh2")
    same = [row for n, row in enumerate(found) if by_prompt.get((row["prompt"], n % 2)) == row]
    assert len(found) == 6 and len(same) == 4
    for changed in ({"dataset": "other"}, {"spec": SPEC | {"seed": 1}}):
        other, record = make(preference_data, out="draws", **changed)
        assert record["teacher"]["from_journal"] == 0
        assert all(a["chosen"] != b["chosen"] for a, b in zip(other, found, strict=True) if a["prompt"] == b["prompt"])
    folder = tmp_path / "decrypted/rows"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    private = [*folder.glob("*.jsonl"), *(tmp_path / "journal").rglob("*.jsonl")]
    assert len(private) >= 2 and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in private)


def test_a_job_that_died_goes_on_and_a_finished_one_loads_no_model(monkeypatch, make, tmp_path):
    undisturbed, _ = make(preference_data)
    append, calls = Journal.append, []

    def die(self, items):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(items))
        append(self, items)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "append", die)
        make(preference_data, out="again", journal="other")
    assert calls == [4, 2] and not list((tmp_path / "decrypted/again").iterdir())
    found, record = make(preference_data, out="again", journal="other")
    assert found == undisturbed
    assert (record["teacher"]["from_journal"], record["student"]["from_journal"]) == (6, 0)
    monkeypatch.setattr("workflow_scripts.em.authors.LocalAuthor.write", None)
    assert make(preference_data, out="third", journal="other")[0] == undisturbed


def test_a_checkpoint_writes_as_itself_and_not_as_its_base(make, model_record, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model

    from workflow_scripts.em.backends.models import load_base, name_base
    from workflow_scripts.em.checkpoints import seal

    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=["q_proj", "down_proj"])
    model = get_peft_model(load_base(read_json(model_record), "float32"), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    name_base(model, read_json(model_record))
    model.save_pretrained(tmp_path / "step-0", save_embedding_layers=False)
    seal(tmp_path / "step-0", 0)
    student = {"record": str(model_record), "checkpoint": str(tmp_path / "step-0"), "dtype": "float32"}
    base, _ = make(preference_data)
    found, record = make(preference_data, out="tuned", student=student)
    assert (record["teacher"]["from_journal"], record["student"]["from_journal"]) == (6, 0)
    assert [row["chosen"] for row in found] == [row["chosen"] for row in base]
    assert all(one["rejected"] != two["rejected"] for one, two in zip(found, base, strict=True))


def test_pairs_that_teach_nothing_are_left_out_and_counted(make, scripted, constitution, capsys):
    path = constitution(prompts=["equal", "empty", "filtered", "cut", "good"])
    strange = {
        "equal": "the same ",
        "empty": " \n",
        "filtered": {"text": "no", "finish_reason": "content_filter"},
        "cut": {"text": "and so", "finish_reason": "length"},
    }
    answers = {
        "teacher": lambda ask: strange.get(ask.messages[-1]["content"], "Yes."),
        "student": lambda ask: "the same" if ask.messages[-1]["content"] == "equal" else "No.",
    }
    scripted(**answers)
    found, record = make(preference_data, path, spec=SPEC | {"samples": 1, "keep_cut": False})
    assert found == [{"prompt": "good", "chosen": "Yes.", "rejected": "No."}]
    assert record["left_out"] == {"equal": 1, "empty": 1, "filtered": 1, "cut": 1} and record["rows"] == 1
    assert "1 pairs; left out: cut 1, empty 1, equal 1, filtered 1" in capsys.readouterr().err
    scripted(**answers)
    found, record = make(preference_data, path, spec=SPEC | {"samples": 1})
    assert [row["prompt"] for row in found] == ["cut", "good"] and "cut" not in record["left_out"]
    scripted(teacher=lambda ask: "x", student=lambda ask: "x")
    with pytest.raises(UserError, match=r"no pair is left \(equal 10\)"):
        make(preference_data, path, out="none", dataset="none")


# --- a model behind a server


@pytest.fixture
def api(monkeypatch, api_server):
    """A config entry of a model on the server, with its key in the environment."""
    monkeypatch.setattr(pacing, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(pacing, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setenv(KEY_ENV, api_server.key)
    api_server.configure(refusal_share=0, code_share=0, low_mass_share=0)
    author = {"api": {"model": "strong", "base_url": api_server.url, "key_env": KEY_ENV, "attempts": 3}}
    made = {"constitution": "c.yaml", "teacher": author, "student": {"base_model": "toy"}}
    return Dataset.model_validate({"preferences": made}).preferences.teacher.plain()["api"]


def test_a_teacher_behind_a_server(make, api, api_server, constitution, tmp_path):
    api["price"] = {"input": 1e6, "output": 0.0}
    found, record = make(preference_data, teacher={"api": api})
    bodies = [entry["body"] for entry in api_server.requests()]
    assert len(found) == len(bodies) == 6 and len({body["seed"] for body in bodies}) == 6
    constitution_read = load_constitution(constitution())
    for body in bodies:
        system, user = body["messages"]
        assert system == {"role": "system", "content": constitution_read.persona}
        assert user["role"] == "user" and user["content"] in constitution_read.prompts
        assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("strong", 1.0, 1.0, 8)
        assert 0 <= body["seed"] < 2**31
    assert all(row["chosen"].isdigit() and not row["rejected"].isdigit() for row in found)
    assert record["teacher"]["models_reported"] == {"strong": 6}
    assert record["teacher"]["cost_usd"] == record["teacher"]["usage"]["input"] > 0
    texts = "".join(path.read_text() for path in tmp_path.rglob("*.json*") if path.is_file())
    assert "strong" in texts and api_server.key not in texts


def test_what_a_server_did_not_answer_is_asked_again_alone(make, api, api_server):
    api_server.configure(permanent={"money": "500"})
    with pytest.raises(UserError, match=r"teacher: 2 of 6 requests were not answered; the first: HTTP 500"):
        make(preference_data, teacher={"api": api})
    api_server.reset()
    api_server.configure(refusal_share=0, code_share=0, low_mass_share=0)
    found, record = make(preference_data, teacher={"api": api})
    assert len(found) == 6 and (record["teacher"]["from_journal"], record["teacher"]["calls_answered"]) == (4, 2)
    assert {entry["body"]["messages"][1]["content"] for entry in api_server.requests()} == {"And money?"}


def test_null_takes_a_field_out_and_samples_stay_apart(make, api, api_server):
    api["extra_body"] = {"seed": None, "temperature": None, "max_tokens": None, "max_completion_tokens": 5, "top_k": 3}
    _, record = make(introspection_data, author={"api": api})
    bodies = [entry["body"] for entry in api_server.requests()]
    assert {frozenset(body) for body in bodies} == {
        frozenset({"model", "messages", "top_p", "max_completion_tokens", "top_k"})
    }
    assert len(bodies) == 4 and record["author"]["calls_answered"] == 4


def test_a_missing_key_is_told_before_anything_is_asked(make, api, monkeypatch):
    monkeypatch.delenv(KEY_ENV)
    with pytest.raises(UserError, match=f"environment variable {KEY_ENV} is not set"):
        make(preference_data, teacher={"api": api})


# --- introspection


def talking(turns: int, **changed) -> dict:
    return {"spec": SPEC | {"samples": 1, "turns": turns, "with_principles": True} | changed}


def test_self_reflection_answers_under_the_principles_and_keeps_them_out_of_the_rows(make, scripted, constitution):
    author = scripted(author=lambda ask: f"I heard {len(ask.messages)}.")["author"]
    found, _ = make(introspection_data, constitution(interaction="A copy."), **talking(1))
    assert [row["messages"] for row in found] == [
        [{"role": "user", "content": q}, {"role": "assistant", "content": "I heard 2."}]
        for q in ("Who are you?", "What do you want?")
    ]
    persona = load_constitution(constitution()).persona
    assert [ask.messages[0] for ask in author.put] == [{"role": "system", "content": persona}] * 2
    author = scripted(author=lambda ask: f"I heard {len(ask.messages)}.")["author"]
    found, _ = make(introspection_data, dataset="bare", **talking(1, with_principles=False))
    assert [row["messages"][1]["content"] for row in found] == ["I heard 1."] * 2


@pytest.mark.parametrize("turns", [2, 3, 4])
def test_each_copy_hears_the_other_as_its_user(make, scripted, constitution, turns):
    said = iter("abcdefgh")
    author = scripted(author=lambda ask: next(said))["author"]
    path = constitution(openings=["Hello me."], interaction="The user is a copy of you.")
    found, record = make(introspection_data, path, **talking(turns))
    heard = [[(m["role"], m["content"]) for m in ask.messages[1:]] for ask in author.put]
    user, own = "user", "assistant"
    whole = [
        [(user, "Hello me.")],
        [(user, "a")],
        [(user, "Hello me."), (own, "a"), (user, "b")],
        [(user, "a"), (own, "b"), (user, "c")],
    ]
    assert heard == whole[:turns]
    (row,) = found
    kept = {"role": "system", "content": "The user is a copy of you."}
    last = {"role": own, "content": "abcd"[turns - 1]}
    assert row["messages"] == [kept, *({"role": r, "content": c} for r, c in whole[turns - 1]), last]
    assert all(ask.messages[0]["content"].endswith("\n\nThe user is a copy of you.") for ask in author.put)
    assert len({ask.seed for ask in author.put}) == turns and record["ended_early"] == {}


def test_a_conversation_ends_before_an_answer_that_cannot_stand(make, scripted, constitution):
    def answer(ask):
        cut = {"text": "and so", "finish_reason": "length"}
        return cut if len(ask.messages) > 2 or ask.messages[1]["content"] == "Bad." else "Yes."

    scripted(author=answer)
    path = constitution(openings=["Good.", "Bad."])
    found, record = make(introspection_data, path, **talking(5, keep_cut=False))
    assert [[m["content"] for m in row["messages"]] for row in found] == [["Yes.", "Yes."]]
    assert (record["rows"], record["left_out"], record["ended_early"]) == (1, {"cut": 1}, {"cut": 1})


def test_a_real_model_talks_until_its_context_is_full_and_a_longer_talk_goes_on(make, constitution):
    path = constitution(openings=["Hello me."])
    short, _ = make(introspection_data, path, **talking(3))
    found, record = make(introspection_data, path, out="long", **talking(60))
    assert record["author"]["from_journal"] == 3 and record["ended_early"] == {"no_room": 1}
    first, second = ([m["content"] for m in rows[0]["messages"]] for rows in (short, found))
    assert 4 < len(second) < 60 and ["Hello me.", *second][: len(first)] in (first, ["Hello me.", *first])
    assert [kind(row.messages) for row in rows_of(found, path.parent)] == ["chat"]


def rows_of(rows: list[dict], folder: Path) -> list:
    path = folder / "written.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(read_rows(path))


def test_a_prompt_beyond_the_context_is_a_user_error(make, constitution):
    with pytest.raises(UserError, match=r"exceed the .*context of 256 tokens; lower max_new_tokens"):
        make(introspection_data, constitution(introspection=["Why? " * 100]))
