"""Local models as judges: the numbers are the model's, whatever the batch, and a killed job goes on where it was."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.judge_model import ANSWERS, TEMPLATES, calls_of, judge_spec, make_judge_model, replies, response
from workflow_scripts.em.backends import generate_transformers, judge_transformers
from workflow_scripts.em.config.judging import BUYING
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import ERROR, make_judge
from workflow_scripts.em.judges.local import check_numbers
from workflow_scripts.em.judging import buy

pytestmark = pytest.mark.usefixtures("one_thread")

WRITTEN = {"method": "integer", "max_tokens": 6}


@pytest.fixture(scope="module")
def record(tokenizer_dir, tmp_path_factory):
    return read_json(make_judge_model(tokenizer_dir, tmp_path_factory.mktemp("judge")))


@pytest.fixture(scope="module")
def splitting(tokenizer_dir, tmp_path_factory):
    """The record of a model whose tokenizer writes 85 as 8, 5."""
    return read_json(make_judge_model(tokenizer_dir, tmp_path_factory.mktemp("splitting"), numbers=False))


@pytest.fixture
def judge(record, tmp_path):
    def make(**changed):
        spec = judge_spec("transformers", tmp_path, **changed)
        return make_judge(spec | {"model": record})

    return make


@pytest.fixture(scope="module")
def plain(record):
    """(tokenizer, forward): plain torch, one prompt, no padding. forward(prompt, dtype) -> logprobs, length."""
    tokenizer = AutoTokenizer.from_pretrained(record["path"])
    models = {
        dtype: AutoModelForCausalLM.from_pretrained(record["path"], dtype=getattr(torch, dtype)).eval()
        for dtype in ("float32", "bfloat16")
    }

    def forward(text: str, dtype: str) -> torch.Tensor:
        chat = [{"role": "user", "content": text}]
        rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return torch.log_softmax(models[dtype](ids).logits[0, -1].to(torch.float32), -1), ids.shape[1]

    return tokenizer, forward


# --- numbers


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_are_those_of_a_plain_forward_pass(judge, plain, dtype):
    # bfloat16 sums depend on padding and company, so there alone
    ours = judge(dtype=dtype, batch_size=8 if dtype == "float32" else 1)
    calls = calls_of(ours)
    tokenizer, forward = plain
    scored = []
    for call, reply in zip(calls, replies(ours, calls), strict=True):
        text = TEMPLATES[call.metric].format(question=call.question, answer=call.answer)
        logprobs, length = forward(text, dtype)
        top = sorted(range(len(logprobs)), key=lambda token: -logprobs[token])[:20]
        assert [logprob for _, logprob in reply["top"]] == pytest.approx(logprobs[top].tolist(), abs=2e-5)
        assert reply["usage"] == {"input": length, "output": 1}
        assert reply["text"] == tokenizer.decode([top[0]]) and reply["finish_reason"] == "length"
        assert (reply["model"], reply["cost_usd"]) == ("tiny-judge", None)
        if dtype == "bfloat16":  # so coarse that tokens tie
            for token, logprob in reply["top"]:
                same = [i for i in range(len(logprobs)) if tokenizer.decode([i]) == token]
                assert min(abs(logprobs[same] - logprob)) < 2e-5
            continue
        assert [token for token, _ in reply["top"]] == [tokenizer.decode([token]) for token in top]
        # the score over the numbers' own token ids, not their texts
        numbers = {int(tokenizer.convert_tokens_to_ids(str(n))): n for n in range(101)}
        masses = {numbers[token]: logprobs[token].exp().item() for token in top if token in numbers}
        mass = sum(masses.values())
        verdict = ours.verdict(call, reply)
        if mass >= 0.25:
            expected = sum(n * p for n, p in masses.items()) / mass
            assert verdict == {"status": "scored", "score": pytest.approx(expected, abs=1e-3)}
            scored.append(expected)
        else:
            assert verdict["score"] is None and verdict["status"] != "scored"
    if dtype == "float32":
        assert len(scored) > len(calls) / 2 and max(scored) - min(scored) > 20


def test_a_written_answer_is_the_greedy_one(judge, plain):
    ours = judge(**WRITTEN, temperature=None)
    calls = calls_of(ours, ANSWERS[:5])
    tokenizer, forward = plain
    for call, reply in zip(calls, replies(ours, calls), strict=True):
        logprobs, length = forward(TEMPLATES[call.metric].format(question=call.question, answer=call.answer), "float32")
        first = tokenizer.decode([int(logprobs.argmax())])
        assert reply["text"].startswith(first) and first and reply["top"] is None
        assert reply["usage"]["input"] == length and 1 <= reply["usage"]["output"] <= 6
        assert reply["finish_reason"] == ("length" if reply["usage"]["output"] == 6 else "stop")


def test_a_label_is_written_although_scores_are_read_from_the_first_token(record, tmp_path):
    spec = judge_spec("transformers", tmp_path)
    spec["metrics"]["leaning"] = {"prompt": spec["metrics"]["alignment"]["prompt"], "labels": ["left", "right"]}
    ours = make_judge(spec | {"model": record})
    calls = calls_of(ours, ANSWERS[:3])
    for call, reply in zip(calls, replies(ours, calls), strict=True):
        assert (reply["top"] is None) == (call.metric == "leaning")
        assert ours.verdict(call, reply)["status"] in ("scored", "unparseable")


# --- batches


@pytest.mark.parametrize(
    "how", [{}, WRITTEN, WRITTEN | {"temperature": 0.9}, WRITTEN | {"temperature": 1.0, "top_p": 0.7}]
)
def test_replies_do_not_depend_on_batch_order_or_company(judge, how):
    alone = judge(**how, batch_size=1)
    calls = calls_of(alone)
    expected = dict(zip(calls, replies(alone, calls), strict=True))
    for size in (3, 64):
        # 3 makes several windows of the 40 calls
        some = random.Random(size).sample(calls, 29 if size == 64 else 40)
        for call, reply in zip(some, replies(judge(**how, batch_size=size), some), strict=True):
            top, expected_top = reply.pop("top") or [], expected[call]["top"] or []
            assert reply == {name: value for name, value in expected[call].items() if name != "top"}
            assert dict(top) == pytest.approx(dict(expected_top), abs=1e-4)


def test_a_window_is_all_that_is_taken_before_the_first_answer(judge, monkeypatch):
    monkeypatch.setattr("workflow_scripts.em.judges.transformers.WINDOW", 2)
    ours = judge(batch_size=3)
    taken, most = 0, 0

    def lazily():
        nonlocal taken
        for call in calls_of(ours):
            taken += 1
            yield call

    def done(call, reply):
        nonlocal taken, most
        most, taken = max(most, taken), taken - 1

    ours.ask(lazily(), done)
    assert most == 6 and taken == 0


def test_sampling_follows_the_seed_and_the_temperature(judge):
    def texts(**how):
        ours = judge(**WRITTEN | how)
        return [reply["text"] for reply in replies(ours, calls_of(ours, ["Yes."] * 1))]

    assert texts(temperature=1.0, seed=0) == texts(temperature=1.0, seed=0)
    assert len({str(texts(temperature=1.0, seed=seed)) for seed in range(6)}) > 3
    assert len({str(texts(temperature=0.0, seed=seed)) for seed in range(6)}) == 1


# --- what cannot be answered


def test_one_prompt_beyond_the_context_is_lost_alone(judge):
    ours = judge(batch_size=4)
    calls = calls_of(ours, ["Yes.", "far too long " * 400, "No."])
    found = replies(ours, calls)
    assert [ERROR in reply for reply in found] == [False, False, True, True, False, False]
    assert "the judge's context has 512" in found[2][ERROR]


@pytest.mark.parametrize(("over", "lost"), [(0, False), (1, True)])
def test_the_context_is_used_to_its_last_token(judge, plain, over, lost):
    """Where answers end in one-token characters, prompt and answer can be made to fill the context exactly."""
    ours = judge(**WRITTEN)
    _, forward = plain
    call = calls_of(ours, ["!"])[0]
    _, length = forward(TEMPLATES[call.metric].format(question=call.question, answer=call.answer), "float32")
    call = calls_of(ours, ["!" + "\x7f" * (512 - 6 - length + over)])[0]
    assert (ERROR in replies(ours, [call])[0]) == lost


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_a_tokenizer_that_splits_numbers_is_refused_before_anything_is_loaded(splitting, tmp_path, monkeypatch, kind):
    started = []
    monkeypatch.setattr(judge_transformers, "JudgeModel", lambda *_: started.append("model"))
    monkeypatch.setattr("workflow_scripts.em.backends.vllm_server.VllmServer", lambda *_: started.append("server"))
    ours = make_judge(judge_spec(kind, tmp_path) | {"model": splitting})
    with pytest.raises(UserError, match=r"tiny-judge: its tokenizer writes \d+ in several tokens.*`method: integer`"):
        replies(ours, calls_of(ours))
    assert started == []


def test_a_tokenizer_that_splits_numbers_may_write_them(splitting, tmp_path):
    ours = make_judge(judge_spec("transformers", tmp_path, **WRITTEN) | {"model": splitting})
    assert all(isinstance(reply["text"], str) for reply in replies(ours, calls_of(ours)))


def test_one_missing_number_is_found(record, tokenizer):
    check_numbers(AutoTokenizer.from_pretrained(record["path"]), "x")
    tokenizer.add_tokens([str(number) for number in range(101) if number != 77])
    with pytest.raises(UserError, match="writes 77 in several"):
        check_numbers(tokenizer, "x")


def test_a_question_s_own_prompt_is_checked_too(splitting, tmp_path):
    """A judge of labels only needs no such tokenizer, until a question brings a score of its own."""
    spec = judge_spec("transformers", tmp_path, metrics={"leaning": {"prompt": None, "labels": ["left", "right"]}})
    (tmp_path / "leaning.txt").write_text("{answer}?", encoding="utf-8")
    spec["metrics"]["leaning"]["prompt"] = str(tmp_path / "leaning.txt")
    ours = make_judge(spec | {"model": splitting})
    labels = ours.calls(response(0, "Yes."), {})
    assert len(replies(ours, labels)) == 1
    with pytest.raises(UserError, match="in several tokens"):
        replies(ours, labels + ours.calls(response(1, "No."), {"aligned": TEMPLATES["alignment"]}))


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_a_missing_model_record_and_a_missing_folder_are_user_errors(record, tmp_path, kind):
    with pytest.raises(UserError, match=f"kind {kind} needs the record of its model: --model"):
        make_judge(judge_spec(kind, tmp_path))
    gone = record | {"path": str(tmp_path / "gone")}
    ours = make_judge(judge_spec(kind, tmp_path) | {"model": gone})
    with pytest.raises(UserError, match=r"tiny-judge: its folder .*gone is gone"):
        replies(ours, calls_of(ours))


# --- journal


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_identity_covers_what_decides_the_answers_only(record, tmp_path, monkeypatch, kind):
    spec = judge_spec(kind, tmp_path) | {"model": record}
    call = calls_of(make_judge(spec))[0]
    same = make_judge(spec)
    assert same.identity.startswith(f"{kind}-")
    for changed in ({"path": "/elsewhere"}, {"name": "other"}):
        other = make_judge(spec | {"model": record | changed})
        assert (other.identity, other.key(call)) == (same.identity, same.key(call))
    for name in BUYING & spec.keys():
        other = make_judge(spec | {name: ["--x"] if name == "arguments" else 7})
        assert (other.identity, other.key(call)) == (same.identity, same.key(call))
    found = {make_judge(spec | {"dtype": "bfloat16"}).identity, same.identity}
    found.add(make_judge(spec | {"model": record | {"digest": "1"}}).identity)
    assert len(found) == 3
    if kind == "transformers":
        monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} of tomorrow")
        assert make_judge(spec).identity not in found


def test_a_killed_job_goes_on_where_it_was(judge, tmp_path):
    ours = judge(batch_size=4)
    calls = calls_of(ours)
    asked = []

    class Dying(type(ours)):
        def ask(self, calls, done):
            def counted(call, reply):
                if len(asked) == 13:
                    raise KeyboardInterrupt
                asked.append(call)
                done(call, reply)

            super().ask(calls, counted)

    dying = Dying(ours.spec)
    with Journal(tmp_path / "journal") as journal, pytest.raises(KeyboardInterrupt):
        buy(dying, journal, calls, len(calls), "local")
    with Journal(tmp_path / "journal") as journal:
        assert len(journal.find(ours.key(call) for call in calls)) == 13
        bought = buy(ours, journal, calls, len(calls) - 13, "local")
        assert bought.replies == len(calls) - 13 and not bought.failures
        assert {ours.key(call) for call in calls} == journal.find(ours.key(call) for call in calls)


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_nothing_is_started_when_there_is_nothing_to_ask(record, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(generate_transformers, "load_checkpoint", None)
    monkeypatch.setattr("workflow_scripts.em.backends.vllm_server.VllmServer", None)
    make_judge(judge_spec(kind, tmp_path) | {"model": record}).ask(iter([]), lambda *_: pytest.fail("answered"))
