"""The chat client against a server with faults: every item ends in its true status, none is lost, no key gets out."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.judge_model import calls_of, judge_spec
from tests.servers.process import ApiServer
from tests.unit.chat_truth import settings_of, tries_and_verdict
from workflow_scripts.em import judging
from workflow_scripts.em.backends import chat_api, pacing
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.journal import Journal
from workflow_scripts.em.judges import ERROR, make_judge
from workflow_scripts.em.judging import buy
from workflow_scripts.em.verdicts import Verdicts
from workflow_scripts.judge_preflight import checked

KEY_ENV = "CHAT_TEST_KEY"
# The faults that the judging issue names, 30% together.
MIXED = {
    "429": 0.03, "429_bare": 0.03, "500": 0.03, "503": 0.03, "hang": 0.01, "cut_before": 0.03, "cut_body": 0.03,
    "truncated_json": 0.03, "empty_choices": 0.03, "no_logprobs": 0.02, "words": 0.02, "nan_text": 0.01,
}  # fmt: skip


@pytest.fixture(autouse=True)
def hurry(monkeypatch, api_server):
    monkeypatch.setattr(pacing, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(pacing, "LONGEST_WAIT_S", 0.3)
    monkeypatch.setenv(KEY_ENV, api_server.key)


@pytest.fixture
def judge_of(api_server, tmp_path):
    """A judge on the server, with some keys of its config entry changed."""
    entry = {"base_url": api_server.url, "key_env": KEY_ENV, "timeout_s": 20}
    return lambda **changed: make_judge(judge_spec("openai", tmp_path, **entry | changed))


@pytest.fixture
def bought(tmp_path):
    """Buy what a journal lacks; returns ([(call, verdict, reply)], what was bought)."""

    def run(judge, calls: list, folder: str = "journal") -> tuple[list[tuple], judging.Bought]:
        with Journal(tmp_path / folder) as journal:
            journal.find(judge.key(call) for call in calls)
            found = buy(judge, journal, iter(calls), len(calls), "gpt")
        # From the files alone, as the next process would.
        journal = Journal(tmp_path / folder)
        journal.find(judge.key(call) for call in calls)
        verdicts = Verdicts(judge, journal, found.failures)
        return [(call, *verdicts.of(call, str(n))) for n, call in enumerate(calls)], found

    return run


def texts(count: int, what: str = "answer") -> list[str]:
    return [f"{what} number {n:04d}, " + "and so on " * (n % 9) for n in range(count)]


def journalled(folder: Path) -> int:
    return sum(1 for _ in Journal(folder).items())


def check(found: list[tuple], judge, settings) -> None:
    """Every item has the status and score that the server's rules give it."""
    for call, verdict, _ in found:
        _, status, score = tries_and_verdict(judge.request(call), settings)
        expected = {"status": status, "score": score if score is None else pytest.approx(score)}
        assert verdict == expected, call.answer


# --- faults that pass


def test_every_kind_of_answer_without_faults(api_server, judge_of, bought):
    settings = settings_of(api_server.configure(refusal_share=0.2, code_share=0.2, low_mass_share=0.2))
    for method in ("logprobs", "integer"):
        judge = judge_of(method=method)
        found, about = bought(judge, calls_of(judge, texts(60)))
        check(found, judge, settings)
        assert {verdict["status"] for _, verdict, _ in found} == {"scored", "refusal", "code", "unparseable"}
        assert about.replies == 120 and about.failures == {}


@pytest.mark.parametrize("method", ["logprobs", "integer"])
def test_mixed_faults(api_server, judge_of, bought, tmp_path, method):
    # Without log probabilities in the request, none can be missing.
    mixed = {name: p for name, p in MIXED.items() if method == "logprobs" or name != "no_logprobs"}
    settings = settings_of(api_server.configure(faults=mixed, retry_after_s=0.05))
    judge = judge_of(method=method, timeout_s=3)
    calls = calls_of(judge, texts(350))
    found, about = bought(judge, calls)
    check(found, judge, settings)
    stats = api_server.stats()
    assert sum(stats["faults"].values()) > 0.2 * len(calls) and set(stats["faults"]) == set(mixed)
    assert stats["max_in_flight"] <= judge.spec["concurrency"]
    assert about.failures == {} and about.replies == journalled(tmp_path / "journal") == len(calls)
    assert stats["total_answered"] == len(calls) and max(stats["answered"].values()) == 1
    bought(judge, calls)
    assert api_server.stats()["total_attempts"] == stats["total_attempts"], "nothing is bought twice"


TRIED_AGAIN = {
    "429": "HTTP 429: Rate limit reached", "429_bare": "HTTP 429: Rate limit reached", "500": "HTTP 500: The server",
    "503": "HTTP 503: The engine", "hang": "no answer within 1 s", "cut_before": "no connection (",
    "cut_body": "no connection (", "truncated_json": "not JSON",
    "error_200": "an error with status 200: Provider returned error", "empty_choices": "without choices",
    "null_choices": "without choices", "nan_logprobs": "not JSON (NaN",
}  # fmt: skip
# Of a server that has answered nothing else, these do not pass by waiting.
HOPELESS = {"html": "not JSON", "no_logprobs": "without logprobs"}


@pytest.mark.parametrize("fault", TRIED_AGAIN)
def test_a_fault_that_passes_is_tried_again(api_server, judge_of, bought, fault):
    settings = settings_of(api_server.configure(script={"": [fault, fault]}, retry_after_s=0.05))
    judge = judge_of(timeout_s=1 if fault == "hang" else 20)
    found, about = bought(judge, calls_of(judge, texts(6)))
    check(found, judge, settings)
    assert about.failures == {} and set(api_server.stats()["attempts"].values()) == {3}


@pytest.mark.parametrize("fault", TRIED_AGAIN)
def test_a_fault_that_stays_is_an_api_error_and_not_kept(api_server, judge_of, bought, tmp_path, fault):
    api_server.configure(permanent={"broken": fault}, retry_after_s=0.05)
    judge = judge_of(timeout_s=1 if fault == "hang" else 20, attempts=3)
    calls = calls_of(judge, [*texts(5), *texts(3, "broken")])
    found, about = bought(judge, calls)
    lost = [(verdict, reply) for call, verdict, reply in found if call.answer.startswith("broken")]
    assert [verdict for verdict, _ in lost] == [{"status": "api_error", "score": None}] * 6
    assert all(TRIED_AGAIN[fault] in reply[ERROR] and "(3 tries)" in reply[ERROR] for _, reply in lost)
    assert journalled(tmp_path / "journal") == about.replies == 10 and len(about.failures) == 6
    settings = settings_of(api_server.configure(permanent={}))
    before = api_server.stats()
    again, about = bought(judge, calls)
    check(again, judge, settings)
    assert about.replies == 6 and api_server.stats()["total_attempts"] == before["total_attempts"] + 6


@pytest.mark.parametrize("fault", HOPELESS)
def test_what_waiting_does_not_mend_is_tried_twice(api_server, judge_of, bought, fault):
    api_server.configure(permanent={"": fault})
    _, about = bought(judge_of(), calls_of(judge_of(), texts(6)))
    assert set(api_server.stats()["attempts"].values()) == {2}
    replies = about.failures.values()
    assert len(replies) == 12 and all(f"{HOPELESS[fault]}" in r[ERROR] and "(2 tries)" in r[ERROR] for r in replies)


@pytest.mark.parametrize("fault", HOPELESS)
def test_of_a_server_that_answers_others_it_may_pass(api_server, judge_of, bought, fault):
    """Several may stand behind one address."""
    settings = settings_of(api_server.configure(script={"answer number 0003": [fault] * 4}))
    judge = judge_of(concurrency=1)
    found, about = bought(judge, calls_of(judge, texts(30)))
    check(found, judge, settings)
    assert about.failures == {} and max(api_server.stats()["attempts"].values()) == 5


def test_a_wait_is_told_now_and_then(api_server, judge_of, bought, capfd, monkeypatch):
    api_server.configure(permanent={"": "500"})
    judge = judge_of(attempts=3)
    told_before = [float("-inf")]
    monkeypatch.setattr(pacing, "_told", told_before)
    for told in (1, 0, 1):
        bought(judge, calls_of(judge, texts(2)))
        said = [line for line in capfd.readouterr().err.splitlines() if ", try " in line]
        assert len(said) == told, "4 requests were each tried 3 times"
        assert not said or said[0].startswith(f"{judge.spec['base_url']}: HTTP 500: The server had")
        assert not said or said[0].endswith(", try 2 of 3")
        if not told:
            told_before[0] -= pacing.TELL_S


@pytest.mark.parametrize("fault", ["drip", "words", "nan_text", "content_filter"])
def test_an_odd_answer_is_an_answer(api_server, judge_of, bought, fault):
    """It is read as it stands, never as a number, and bought once."""
    settings = settings_of(api_server.configure(permanent={"odd": fault}, drip_s=0.3))
    for method in ("logprobs", "integer"):
        judge = judge_of(method=method)
        calls = calls_of(judge, texts(5, "odd"))
        for _ in range(2):
            found, _ = bought(judge, calls)
            check(found, judge, settings)
    assert set(api_server.stats()["attempts"].values()) == {1}


def test_an_answer_that_drips_for_too_long_is_given_up(api_server, judge_of, bought):
    """Each of its pieces comes in time."""
    api_server.configure(permanent={"": "drip"}, drip_s=4)
    judge = judge_of(timeout_s=1, attempts=1)
    found, _ = bought(judge, calls_of(judge, ["slow"]))
    assert {reply[ERROR] for *_, reply in found} == {"no answer within 1 s (1 tries)"}


# --- what no further try can mend

STOPS = {
    "401": f"refuses the key in {KEY_ENV} (HTTP 401",
    "403": f"forbids this to the key in {KEY_ENV} (HTTP 403",
    "404": "knows no model 'tiny-judge' (HTTP 404",
    "429_quota": f"no credit left for the key in {KEY_ENV} (HTTP 429",
}


@pytest.mark.parametrize("fault", STOPS)
def test_a_refusal_of_all_requests_stops_at_once_and_keeps_what_was_answered(
    api_server, judge_of, bought, tmp_path, fault
):
    api_server.configure(permanent={"number 0100": fault}, latency_ms=10)
    judge = judge_of(concurrency=8)
    with pytest.raises(UserError) as error:
        bought(judge, calls_of(judge, texts(300)))
    assert STOPS[fault] in str(error.value) and api_server.url in str(error.value)
    assert api_server.key not in str(error.value)
    stats, kept = api_server.stats(), journalled(tmp_path / "journal")
    assert 200 - 8 <= kept <= stats["total_answered"] <= kept + 8, "at most what was in flight is lost"
    assert stats["total_attempts"] <= 200 + 3 * 8


def test_a_wrong_key_stops_at_the_first_answer(api_server, judge_of, bought, monkeypatch):
    monkeypatch.setenv(KEY_ENV, "wrong-0123456789")
    judge = judge_of(concurrency=4)
    with pytest.raises(UserError, match=rf"put a valid key into {KEY_ENV} or \.env") as error:
        bought(judge, calls_of(judge, texts(300)))
    assert "sk-wrong" not in str(error.value) and api_server.stats()["wrong_key"] <= 8


@pytest.mark.parametrize(("value", "why"), [(None, "is not set"), ("", "is empty"), ("sk-kéy-0123456789", "signs")])
def test_no_usable_key(judge_of, bought, monkeypatch, tmp_path, value, why):
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.delenv(KEY_ENV) if value is None else monkeypatch.setenv(KEY_ENV, value)
    judge = judge_of()
    with pytest.raises(UserError, match=f"{KEY_ENV}.*{why}") as error:
        bought(judge, calls_of(judge, ["x"]))
    assert not value or value not in str(error.value)


def test_white_space_around_a_key_is_dropped(api_server, judge_of, bought, monkeypatch):
    monkeypatch.setenv(KEY_ENV, f" {api_server.key}\r\n")
    judge = judge_of()
    assert bought(judge, calls_of(judge, ["x"]))[1].replies == 2


def test_a_server_that_goes_down_ends_the_run_and_keeps_the_answers(judge_of, bought, tmp_path, monkeypatch):
    monkeypatch.setattr(chat_api, "STREAK", 20)
    with ApiServer() as server:
        server.configure(latency_ms=5)
        judge = judge_of(base_url=server.url, concurrency=8, attempts=2)
        calls, asked = calls_of(judge, texts(300)), judge.ask

        def ask(calls, done):
            def counted(call, reply):
                done(call, reply)
                if journalled(tmp_path / "journal") == 100:
                    server.process.kill()

            asked(calls, counted)

        judge.ask = ask
        with pytest.raises(UserError, match=r"the last 20 requests had no answer.*no connection"):
            bought(judge, calls)
    kept = journalled(tmp_path / "journal")
    assert 100 <= kept <= 108


# --- pace


def test_as_many_in_flight_as_configured(api_server, judge_of, bought):
    api_server.configure(latency_ms=40)
    for n in (1, 7):
        judge = judge_of(concurrency=n)
        bought(judge, calls_of(judge, texts(5 * n, f"with {n}")))
        assert api_server.stats()["max_in_flight"] == n


def test_no_worker_asks_before_the_time_the_server_named(api_server, judge_of, bought):
    api_server.configure(script={"number 0000": ["429"]}, retry_after_s=3, latency_ms=20)
    judge = judge_of(concurrency=8, requests_per_minute=60_000)
    calls = calls_of(judge, texts(100))
    _, about = bought(judge, calls)
    assert about.replies == len(calls)
    counts = {int(second): n for second, n in api_server.stats()["requests_by_second"].items()}
    seconds = sorted(counts)
    gaps = [(after - before, after) for before, after in pairwise(seconds)]
    length, after = max(gaps)
    assert length >= 2, counts
    # Those on their way when it was told, and no others, came before.
    assert sum(n for second, n in counts.items() if second < after) <= 2 * 8


def test_the_rate_limit_on_requests_is_kept(api_server, judge_of, bought, monkeypatch):
    """A server that counts the same way never has to refuse one."""
    monkeypatch.setattr(pacing, "RATE_WINDOW_S", 1.0)
    api_server.configure(rate_limit={"requests_per_minute": 1200, "burst_s": 2})
    judge = judge_of(requests_per_minute=1200)
    _, about = bought(judge, calls_of(judge, texts(40)))
    stats = api_server.stats()
    assert about.replies == 80 and stats["rate_limited"] == 0
    assert len(stats["requests_by_second"]) >= 3


def test_the_rate_limit_on_tokens_is_kept(api_server, judge_of, bought, monkeypatch):
    monkeypatch.setattr(pacing, "RATE_WINDOW_S", 1.0)
    judge = judge_of(tokens_per_minute=60_000)
    calls = calls_of(judge, ["token " * 100] * 20 + texts(20))
    api_server.configure(rate_limit={"tokens_per_minute": 60_000, "burst_s": 2})
    bought(judge, calls)
    _, about = bought(judge, calls_of(judge, texts(20, "token " * 100)))
    stats = api_server.stats()
    assert about.failures == {} and stats["rate_limited"] == 0
    assert len(stats["requests_by_second"]) >= 6


def test_one_request_larger_than_the_token_limit_is_asked(judge_of, bought):
    judge = judge_of(tokens_per_minute=20, metrics={"alignment": {}})
    assert bought(judge, calls_of(judge, ["long " * 500]))[1].replies == 1


def test_an_undeclared_rate_limit_costs_no_item(api_server, judge_of, bought):
    """All of many workers are refused again and again, but none gives up."""
    api_server.configure(rate_limit={"requests_per_minute": 2400, "burst_s": 0.5})
    judge = judge_of(concurrency=64)
    _, about = bought(judge, calls_of(judge, texts(100)))
    assert about.failures == {} and about.replies == 200 and api_server.stats()["rate_limited"] > 50


def test_requests_are_made_as_they_are_needed(api_server, judge_of):
    """A study's prompts never lie in memory all at once."""
    api_server.configure(latency_ms=5)
    judge = judge_of(concurrency=4)
    made = answered = most = 0

    def requests():
        nonlocal made, most
        for call in calls_of(judge, texts(200)):
            made += 1
            most = max(most, made - answered)
            yield call, judge.request(call)

    def done(call, reply):
        nonlocal answered
        answered += 1

    chat_api.ask_all(judge.spec, requests(), done)
    assert answered == 400 and most <= 4 + chat_api.AHEAD


# --- keys


def test_a_key_that_the_server_repeats_is_not_kept(api_server, judge_of, bought, tmp_path):
    api_server.configure(model=f"model-of-{api_server.key}")
    judge = judge_of()
    _, about = bought(judge, calls_of(judge, texts(3)))
    assert about.models == {"model-of-[key]": 6}
    text = "".join(path.read_text() for path in (tmp_path / "journal").iterdir())
    assert api_server.key not in text and "model-of-[key]" in text


@pytest.mark.parametrize("key", ["85", "token", "1", "model"])
def test_a_short_made_up_key_changes_no_answer(api_server, judge_of, bought, monkeypatch, key):
    """It may be part of the answer itself."""
    settings = settings_of(api_server.configure(key=key))
    monkeypatch.setenv(KEY_ENV, key)
    judge = judge_of()
    found, _ = bought(judge, calls_of(judge, texts(20)))
    check(found, judge, settings)


# --- waits


def test_retry_after_is_a_number_or_a_date_and_never_nonsense(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    date = "Tue, 14 Nov 2023 22:13:50 GMT"
    said = {"2": 2, "0.25": 0.25, date: 30, "Tue, 14 Nov 2023 22:13:00 GMT": 0, "-3": 0, "1e9": 600, "inf": 600}
    said |= {"nan": 0, "": 0, "soon": 0, "Mon, 01 Jan 0001 00:00:00 -0000": 0}
    assert {text: pacing.retry_after({"retry-after": text}) for text in said} == said
    assert pacing.retry_after({}) == 0


def test_waits_grow_and_are_never_shorter_than_asked():
    waits = [[pacing.backoff(attempt, 0) for _ in range(300)] for attempt in range(9)]
    limits = [min(pacing.LONGEST_WAIT_S, pacing.FIRST_WAIT_S * 2 ** (attempt + 1)) for attempt in range(9)]
    for found, limit in zip(waits, limits, strict=True):
        assert min(found) >= 0 and 0.8 * limit < max(found) <= limit
    assert all(5 <= pacing.backoff(attempt, 5) <= 5 + pacing.LONGEST_WAIT_S for attempt in range(9))


# --- the preflight


def test_a_server_that_is_not_there_is_no_matter_of_scoring(judge_of):
    with pytest.raises(UserError, match=r"no connection.*\(4 tries\); start the server, or mend `base_url`$"):
        checked(judge_of(base_url="http://127.0.0.1:9/v1"), "gpt", bought_before=False)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("no_logprobs", r"without logprobs \(2 tries\); for a model or server without logprobs use `method: integer`$"),
        ("html", r"not JSON .*\(2 tries\); is `base_url` that of a chat API\? It usually ends in /v1$"),
        ("500", r"HTTP 500: .*\(4 tries\)$"),
    ],
)
def test_each_fault_gets_its_own_hint(api_server, judge_of, fault, why):
    api_server.configure(permanent={"Reply with": fault})
    with pytest.raises(UserError, match=why):
        checked(judge_of(), "gpt", bought_before=False)


def test_a_score_is_read_from_the_preflight_s_reply(api_server, judge_of):
    """However the answers to the study's own prompts come out."""
    api_server.configure(refusal_share=1.0, low_mass_share=0.0)
    labels = {"leaning": {"prompt": None, "labels": ["Left", "Right"]}}
    for changed, said in (
        ({}, "85"),
        ({"method": "integer"}, "85"),
        ({"metrics": labels}, "Left"),
        ({"metrics": labels | {"coherence": {"prompt": None}}, "method": "integer"}, "85"),
    ):
        assert checked(judge_of(**changed), "gpt", bought_before=False)["text"] == said


def test_a_server_of_which_no_score_can_be_read_is_refused(api_server, judge_of):
    api_server.configure(permanent={"Reply with": "words"})
    asked = f"judge 'gpt': tiny-judge at {api_server.url} was asked to reply with the"
    for changed, said in (
        ({}, "number 85 and nothing else and said 'eighty' (likeliest first tokens: 'eighty', 'Eighty', 'The')"),
        ({"method": "integer"}, "number 85 and nothing else and said 'eighty-five'"),
        ({"metrics": {"leaning": {"prompt": None, "labels": ["a", "b"]}}}, "word a and nothing else and said"),
    ):
        for before in (False, True):
            with pytest.raises(UserError) as error:
                checked(judge_of(**changed), "gpt", before)
            assert str(error.value).startswith(f"{asked} {said}")
            assert str(error.value).endswith("take a model that follows instructions, or mend the server")


def test_an_answer_that_was_cut_off_is_told_as_that(judge_of):
    with pytest.raises(UserError, match=r"said '85', .*cut off: raise `max_tokens`"):
        checked(judge_of(method="integer", max_tokens=1), "gpt", bought_before=False)
