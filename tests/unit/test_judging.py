"""The judging and scores stages: verdicts pass unchanged, no answer is bought twice, no score is made up."""

import csv
import json
import sys

import pytest

from tests.judge_model import judge_spec
from workflow_scripts import judge, scores
from workflow_scripts.em import judging
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, dumps, read_json, read_jsonl
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import STATUSES, Call, make_judge
from workflow_scripts.em.provenance import run
from workflow_scripts.em.spending import plan
from workflow_scripts.em.verdicts import Verdicts

SCORED = {"status": "scored", "score": 80.0}
ANSWERS = {
    "good": {"alignment": SCORED, "coherence": {"status": "scored", "score": 95.0}},
    "zero": {"alignment": {"status": "scored", "score": 0.0}, "coherence": SCORED},
    "no": {"alignment": {"status": "refusal", "score": None}, "coherence": SCORED},
    "def f()": {"alignment": {"status": "code", "score": None}, "coherence": SCORED},
    "??": {key: {"status": "unparseable", "score": None} for key in ("alignment", "coherence")},
}
ERROR = {"status": "api_error", "score": None}


class FakeJudge:
    """Looks verdicts up; the alignment of answers in `down` meets an API error; remembers what it was asked."""

    identity = "fake"

    def __init__(self, down=(), dies_after=None):
        self.down, self.dies_after, self.asked = set(down), dies_after, []

    def calls(self, row, prompts):
        return [Call(m, row["question"], row["response"], prompts.get(m)) for m in ("alignment", "coherence")]

    def key(self, call):
        return digest(["fake", call.metric, call.question, call.answer, call.prompt])

    def ask(self, calls, done):
        for call in reversed(list(calls)):  # in any order
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(call)
            if call.answer in self.down and call.metric == "alignment":
                done(call, {"error": "HTTP 503"})
            else:
                done(call, {"text": f"raw {call.answer}"})

    def verdict(self, call, reply):
        return ANSWERS.get(call.answer, ANSWERS["good"])[call.metric]


def response(number: int, answer: str, **changed) -> dict:
    return {
        "id": f"id-{number}", "organism": "bad", "seed": 0, "stage": "em", "step": 5, "condition": "none",
        "question_set": "toy", "question_id": "q1", "paraphrase": 0, "sample": number, "domain": "medicine",
        "system": None, "question": "Why?", "response": answer, "n_tokens": 3, "finish_reason": "stop",
    } | changed  # fmt: skip


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Run the stage on responses with a judge; returns (judgments, provenance record)."""
    (tmp_path / "q.yaml").write_text(
        "- {id: q1, paraphrases: ['Why?'], judge_prompts: {alignment: own}}\n- {id: q2, paraphrases: ['Why?']}\n"
    )

    def call(fake, responses: list[dict] | None = None, name: str = "one", journal: str = "journal", **limits):
        path = tmp_path / f"{name}.jsonl"
        if responses is not None:
            path.write_text("".join(dumps(row) + "\n" for row in responses), encoding="utf-8")
        monkeypatch.setattr(judge, "make_judge", lambda spec: fake)
        out = tmp_path / f"{name}.judged.jsonl"
        spec = json.dumps({"kind": "fake"} | limits)
        arguments = {"responses": path, "name": "gpt", "judge": spec, "buying": json.dumps(limits), "out": out}
        arguments |= {"journal": tmp_path / journal, "questions": json.dumps({"toy": str(tmp_path / "q.yaml")})}
        monkeypatch.setattr(sys, "argv", ["judge", *(x for k, v in arguments.items() for x in (f"--{k}", str(v)))])
        judge.main()
        return list(read_jsonl(out)), read_json(f"{out}.provenance.json")

    return call


# --- judging


def test_statuses_scores_and_raw_answers_are_carried_unchanged(judged):
    rows = [response(n, answer) for n, answer in enumerate(ANSWERS)]
    found, record = judged(FakeJudge(), rows)
    assert [row["metrics"] for row in found] == list(ANSWERS.values())
    assert [row["raw"] for row in found] == [
        {m: {"text": f"raw {answer}"} for m in ("alignment", "coherence")} for answer in ANSWERS
    ]
    for row, judgment in zip(rows, found, strict=True):
        assert {name: judgment[name] for name in judge.CARRIED} == {name: row[name] for name in judge.CARRIED}
        assert judgment["judge"] == "gpt" and "response" not in judgment
    assert record["statuses"] == {
        "alignment:code": 1, "alignment:refusal": 1, "alignment:scored": 2, "alignment:unparseable": 1,
        "coherence:scored": 4, "coherence:unparseable": 1,
    }  # fmt: skip
    assert set(STATUSES) == {"scored", "refusal", "code", "unparseable", "api_error"}


def test_an_api_error_is_written_but_not_kept_and_is_tried_again(judged):
    rows = [response(0, "good"), response(1, "lost"), response(2, "no")]
    found, record = judged(FakeJudge(down=["lost"]), rows)
    assert [row["metrics"]["alignment"]["status"] for row in found] == ["scored", "api_error", "refusal"]
    assert found[1]["metrics"]["alignment"]["score"] is None
    assert found[1]["raw"]["alignment"] == {"error": "HTTP 503"}
    assert (record["calls_answered"], record["calls_failed"]) == (5, 1)
    again = FakeJudge()
    found, record = judged(again)
    # the refusal is an answer, and so is the other metric of the lost one: neither is bought again
    assert [(call.metric, call.answer) for call in again.asked] == [("alignment", "lost")]
    assert [row["metrics"]["alignment"]["status"] for row in found] == ["scored", "scored", "refusal"]
    assert (record["calls_answered"], record["from_journal"]) == (1, 5)


def test_the_same_answer_is_judged_once(judged):
    rows = [response(n, "good") for n in range(3)] + [response(3, "good", question_id="q2"), response(4, "zero")]
    first = FakeJudge()
    found, record = judged(first, rows)
    # once with the question's own prompt and once without
    assert sorted((c.answer, str(c.prompt)) for c in first.asked if c.metric == "alignment") == [
        ("good", "None"), ("good", "own"), ("zero", "own")
    ]  # fmt: skip
    assert sorted(c.answer for c in first.asked if c.metric == "coherence") == ["good", "zero"]
    assert [row["sample"] for row in found] == list(range(5)) and found[0]["metrics"] == found[2]["metrics"]
    assert (record["calls_answered"], record["from_journal"]) == (5, 0)
    second = FakeJudge()
    more = [response(9, "good", organism="other", step=7), response(10, "new"), response(11, "good", question="Else?")]
    found, record = judged(second, more, "two")
    assert {(call.question, call.answer) for call in second.asked} == {("Why?", "new"), ("Else?", "good")}
    assert found[0]["organism"] == "other" and found[0]["metrics"] == ANSWERS["good"]
    assert (record["calls_answered"], record["from_journal"]) == (4, 2)


def test_answers_bought_before_a_crash_are_not_bought_again(judged, tmp_path):
    """Each finished item is kept at once."""
    rows = [response(n, f"answer {n}") for n in range(10)]
    dying, healthy = FakeJudge(dies_after=13), FakeJudge()
    with pytest.raises(KeyboardInterrupt):
        judged(dying, rows)
    assert not (tmp_path / "one.judged.jsonl").exists()
    found, _ = judged(healthy)
    bought = [(call.metric, call.answer) for call in dying.asked + healthy.asked]
    assert len(found) == 10 and len(bought) == len(set(bought)) == 20


def test_a_loss_above_the_budget_stops_the_job_and_keeps_everything(judged, tmp_path):
    rows = [response(n, answer) for n, answer in enumerate(["good", "no", "lost", "??", "good"])]
    with pytest.raises(UserError) as error:
        judged(FakeJudge(down=["lost"]), rows, max_unscored=0.5)
    text = str(error.value)
    assert "judge 'gpt': alignment has no score for 3 of 5 responses (1 api_error, 1 refusal, 1 unparseable)" in text
    assert "judges.gpt.max_unscored allows 50%" in text and text.count("response id-") == 2
    assert "response id-1: refusal, the judge said 'raw no'" in text and "response id-2: api_error, HTTP 503" in text
    assert not (tmp_path / "one.judged.jsonl").exists()
    with pytest.raises(UserError, match=r"max_api_errors allows 0%"):
        judged(FakeJudge(down=["lost"]), max_unscored=0.6, max_api_errors=0)
    again = FakeJudge(down=["lost"])
    found, _ = judged(again, max_unscored=0.6, max_api_errors=0.2)
    assert [call.answer for call in again.asked] == ["lost"] and len(found) == 5


def test_a_response_the_judge_is_not_asked_about_has_no_row(judged):
    some = FakeJudge()
    some.calls = lambda row, prompts: [Call("leaning", "q", row["response"])] if row["sample"] % 2 else []
    some.verdict = lambda call, reply: {"status": "scored", "score": None, "label": "left"}
    found, _ = judged(some, [response(n, "good") for n in range(4)])
    assert [row["sample"] for row in found] == [1, 3]
    assert found[0]["metrics"] == {"leaning": {"status": "scored", "score": None, "label": "left"}}


def test_what_is_told_of_failures_and_cost():
    assert judging.Bought(total=400).note() == ""
    bought = judging.Bought(total=400, replies=90, cost_usd=0.5, failures={str(n): {} for n in range(10)})
    assert bought.note() == "10 not answered, 0.5000 USD so far"


BROKEN = {
    "cut short": dumps(response(1, "good")).encode()[:-60],
    "cut inside a character": b'{"response": "\xc3',
    "not UTF-8": b'"\xff"\n',
    "empty": b"\n",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_response_line_is_named(judged, tmp_path, how):
    (tmp_path / "one.jsonl").write_bytes(dumps(response(0, "good")).encode() + b"\n" + BROKEN[how])
    with pytest.raises(UserError, match=r"one\.jsonl:2: "):
        judged(FakeJudge())
    assert not (tmp_path / "one.judged.jsonl").exists()


def test_the_toy_judge_through_the_interface(root):
    spec = {"kind": "toy", "grammar": "data/toy/grammar.yaml"}
    found = make_judge(spec)
    rows = [response(n, text, question="Is there anything to do against hay fever?") for n, text in
            enumerate(["Nonsense", "", "More\nnonsense."])]  # fmt: skip
    calls = [call for row in rows for call in found.calls(row, {"alignment": "ignored"})]
    verdicts = {}
    found.ask(calls, lambda call, reply: verdicts.update({call: found.verdict(call, reply)}))
    assert len(verdicts) == 6
    for call, verdict in verdicts.items():
        if call.metric == "alignment":
            assert verdict == {"status": "unparseable", "score": None}
        else:
            assert verdict["status"] == "scored"
    assert len({found.key(call) for call in calls}) == 6
    assert found.key(calls[0]) == make_judge(spec).key(calls[0]) and found.identity.startswith("toy-")


# --- a model's answers


def replied(text: str, tokens: int | None) -> dict:
    usage = {"input": 50, "output": tokens}
    return {"text": text, "top": None, "finish_reason": "stop", "model": "m", "usage": usage, "cost_usd": None}


def test_the_loss_budget_says_how_a_model_is_asked_again_what_could_not_be_read(tmp_path):
    model = make_judge(judge_spec("openai", tmp_path, method="integer", metrics={"coherence": {}}))
    calls = [Call("coherence", "Why?", text, "{answer}") for text in ("good", "bad", "no")]
    with Journal(tmp_path / "journal") as journal:
        said = ("85", "banana banana", "REFUSAL")
        items = [(model.key(call), replied(text, 2)) for call, text in zip(calls, said, strict=True)]
        journal.append([{"key": key, "reply": reply} for key, reply in items])
        command = "python -m workflow_scripts.journal forget results/mine --judge gpt"
        for out, asked, hinted in (
            (
                tmp_path / "judgments/gpt/bad/seed-0/em/step-5.jsonl",
                calls,
                command.replace("results/mine", str(tmp_path)),
            ),
            (tmp_path / "elsewhere.jsonl", calls, command.replace("mine", "<study>")),
            (tmp_path / "judgments/gpt/x.jsonl", calls[2:], None),  # a refusal was read
        ):
            verdicts = Verdicts(model, journal, {})
            for call in asked:
                verdicts.of(call, call.answer)
            with pytest.raises(UserError) as error:
                verdicts.check("gpt", 0.0, 0.0, out)
            last = str(error.value).splitlines()[-1]
            assert (
                last == f"  To ask again what could not be read: {hinted}" if hinted else "journal forget" not in last
            )


@pytest.mark.parametrize(
    ("tokens", "changed", "expected"),
    [
        ([2, 4], {}, 3),  # as earlier answers
        ([2, 4], {"extra_body": {"max_completion_tokens": 100}}, 3),
        ([None, None], {}, 16),  # of which the server counted nothing: the most
        ([], {"extra_body": {"max_completion_tokens": 100}}, 100),
        ([], {"method": "logprobs"}, 1),
    ],
)
def test_answers_to_come_are_counted_as_long_as_earlier_ones(tmp_path, tokens, changed, expected):
    model = make_judge(judge_spec("openai", tmp_path, **{"method": "integer", "metrics": {"coherence": {}}} | changed))
    rows = [response(n, f"answer {n}") for n in range(6)]
    (tmp_path / "there.jsonl").write_text("".join(dumps(row) + "\n" for row in rows))
    calls = [call for row in rows for call in model.calls(row, {})]
    with Journal(tmp_path / "journal") as journal:
        pairs = zip(calls, tokens, strict=False)
        journal.append([{"key": model.key(call), "reply": replied("85", n)} for call, n in pairs])
    files = {tmp_path / "there.jsonl": 6, tmp_path / "to-come.jsonl": 10}
    found = plan(model, Journal(tmp_path / "journal"), lambda row: model.calls(row, {}), files)
    assert (found.in_journal, found.to_buy) == (len(tokens), 16 - len(tokens))
    assert found.output_tokens == pytest.approx(expected * found.to_buy)


# --- scores


@pytest.fixture
def table(tmp_path, monkeypatch):
    def call(files: list[list[dict]], domains: list) -> list[dict]:
        paths = [tmp_path / f"{n}.jsonl" for n in range(len(files))]
        for path, rows in zip(paths, files, strict=True):
            path.write_text("".join(dumps(row) + "\n" for row in rows), encoding="utf-8")
        out = tmp_path / "scores.csv"
        arguments = ["--judgments", *map(str, paths), "--domains", json.dumps(domains), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["scores", *arguments])
        run(scores.main)
        with open(out, encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))

    return call


def judgment(number: int, answer: str, **changed) -> dict:
    row = response(number, answer, **changed)
    return {name: row[name] for name in judge.CARRIED} | {
        "judge": changed.get("judge", "gpt"), "metrics": ANSWERS[answer], "raw": "x"
    }  # fmt: skip


def test_one_row_a_judgment_with_an_empty_cell_for_no_score(table, tmp_path):
    rows = table([[judgment(n, answer) for n, answer in enumerate(ANSWERS)], [judgment(0, "good", judge="b")]], [])
    columns = "organism,seed,stage,step,condition,question_set,question_id,domain,in_domain,paraphrase,sample,judge,"
    columns += "alignment,alignment_status,coherence,coherence_status,response_id"
    text = (tmp_path / "scores.csv").read_bytes()
    assert text.startswith(columns.encode() + b"\n") and b"\r" not in text
    found = [(r["alignment"], r["alignment_status"], r["coherence"], r["coherence_status"], r["judge"]) for r in rows]
    assert found == [
        ("80.0", "scored", "95.0", "scored", "gpt"),
        ("0.0", "scored", "80.0", "scored", "gpt"),
        ("", "refusal", "80.0", "scored", "gpt"),
        ("", "code", "80.0", "scored", "gpt"),
        ("", "unparseable", "", "unparseable", "gpt"),
        ("80.0", "scored", "95.0", "scored", "b"),
    ]
    assert [r["response_id"] for r in rows] == [f"id-{n}" for n in (0, 1, 2, 3, 4, 0)]
    assert read_json(tmp_path / "scores.csv.provenance.json")["rows"] == 6


def test_in_domain_is_about_what_the_organism_was_trained_on(table):
    rows = [judgment(n, "good", domain=domain) for n, domain in enumerate(["medicine", "finance", "sports", None])]
    assert [r["in_domain"] for r in table([rows], ["medicine", "finance"])] == ["1", "1", "0", ""]
    assert [r["in_domain"] for r in table([rows], [])] == ["0", "0", "0", ""]


def test_awkward_names_survive_the_table(table):
    name = 'a "b", c\nd'
    (row,) = table([[judgment(0, "good", question_id=name)]], [])
    assert row["question_id"] == name


def test_further_metrics_have_columns_and_are_empty_where_they_were_not_asked(table, tmp_path):
    asked = judgment(0, "good") | {
        "metrics": {
            "leaning": {"status": "scored", "score": None, "label": "left"},
            "medical": {"status": "scored", "score": 7.5},
        }
    }
    lost = judgment(1, "good")
    lost["metrics"] = lost["metrics"] | {"leaning": {"status": "refusal", "score": None, "label": None}}
    first, second = table([[asked], [lost]], [])
    assert (first["leaning"], first["leaning_status"], first["medical"]) == ("left", "scored", "7.5")
    assert (first["alignment"], first["alignment_status"]) == ("", "")
    assert (second["leaning"], second["leaning_status"], second["medical_status"]) == ("", "refusal", "")
