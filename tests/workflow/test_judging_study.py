"""A model judge behind a server, with keywords and the toy judge beside it, through the whole workflow.

The tiny study is not trained again: its finished copy is copied, results included, and its judges are changed. The
server is on loopback and counts what it is asked, so "buys nothing" is what it says, not what we say.
"""

import base64
import json
import re
import shutil
import subprocess
from collections import Counter

import pytest

from tests.servers.process import ApiServer
from tests.workflow.conftest import Copy
from tests.workflow.judged_study import (
    BARE,
    JUDGMENTS,
    KEY,
    LABELS,
    PROMPT,
    VARIABLE,
    WRONG,
    Study,
    judged_by_three,
    judgments,
    ready,
    set_gpt,
    started,
)

pytestmark = pytest.mark.slow

# The study has 15 evaluated checkpoints of 5 organisms.
AFTER = {"scores": 5, "agreement": 1, "metrics": 1, "rates": 1, "findings": 1, "examples": 1, "checkpoint_table": 1}
AFTER |= {"latex": 1, "threshold_surface": 1, "shares": 1, "step_agreement": 1, "figure": 13, "page": 1}


@pytest.fixture(scope="module")
def api():
    with ApiServer() as server:
        yield server


@pytest.fixture
def server(api) -> ApiServer:
    return ready(api)


@pytest.fixture(scope="module")
def before(finished, api, tmp_path_factory) -> Study:
    """The finished study with its judges changed, not run yet."""
    study = Study(finished, tmp_path_factory.mktemp("judging") / "before")
    assert study.stale() == {}, "copying makes nothing stale"
    judged_by_three(study, api.url)
    return study


@pytest.fixture(scope="module")
def judged(before, api, tmp_path_factory) -> Study:
    """The same, planned, run to the end and planned again; `planned` and `stats` are what was found."""
    ready(api)
    study = Study(before, tmp_path_factory.mktemp("judging") / "judged")
    study.planned = [study.plan()]
    study.ran = study.succeeds()
    study.stats = api.stats()
    study.planned.append(study.plan())
    study.succeeds("--report", "report.html")
    return study


@pytest.fixture
def study(judged, tmp_path) -> Study:
    """A copy of the judged study for a test to change."""
    return Study(judged, tmp_path / "study")


def test_only_the_new_judges_run_and_nothing_is_left_to_do(judged):
    # The judges' names are in the figures' style, so that the training curve is drawn again too.
    first = AFTER | {"judge_preflight gpt": 1, "judge gpt": 15, "judge words": 15, "figure": 14}
    assert started(judged.ran) == first
    assert judged.stale() == {}


def test_tables_and_figures_are_those_of_the_judgments(judged):
    said = [json.loads(line) for text in judgments(judged).values() for line in text.decode().splitlines()]
    assert len(said) == 720 and all(set(row["metrics"]) == {"alignment", "coherence", "leaning"} for row in said)
    counted = Counter(row["metrics"]["leaning"].get("label") for row in said)
    found = Counter()
    for row in judged.table("statistics/metrics.csv"):
        if row["judge"] == "gpt" and row["metric"] == "leaning":
            found[row["label"]] += int(row["n_events"])
    assert found == {label: counted[label] for label in LABELS} and min(found.values()) > 0

    scores = [row for organism in ("bad", "good", "bare") for row in judged.table(f"scores/{organism}.csv")]
    by_judge = {(row["judge"], row["response_id"]): row for row in scores}
    asked = {(row["judge"], row["alignment_status"] != "", row["leaning_status"] != "") for row in scores}
    assert asked == {("gpt", True, True), ("words", False, True), ("toy", True, False)}
    for row in said:
        if ("gpt", row["id"]) in by_judge:
            score = row["metrics"]["coherence"]["score"]
            assert by_judge["gpt", row["id"]]["coherence"] == ("" if score is None else str(score))

    compared = {(row["judges"], row["name"], row["statistic"]): row for row in judged.table("statistics/agreement.csv")}
    gpt, toy = coherences(judged, "gpt"), coherences(judged, "toy")
    both = [gpt[i] - toy[i] for i in gpt.keys() & toy.keys()]
    coherence = compared["gpt toy", "coherence", "mean_difference"]
    assert int(coherence["n_responses"]) == len(both) > 500
    assert float(coherence["value"]) == pytest.approx(sum(both) / len(both), rel=1e-4)
    assert int(compared["gpt words", "leaning", "kappa"]["n_responses"]) == sum(found.values())
    rates = judged.table("statistics/rates.csv")
    assert {row["judge"] for row in rates} == {"gpt", "toy"}, "keywords give no EM label"
    for name in ("judge_agreement", "judge_rates"):
        assert (judged.folder / f"results/tiny/figures/{name}.svg").stat().st_size > 5000
    assert {row["judge"] for row in judged.table("figures/judge_rates.csv")} == {"gpt", "toy"}


def coherences(study: Study, judge: str) -> dict[str, float]:
    """Response -> coherence, where the judge gave one."""
    rows = [
        row
        for path in (study.folder / "results/tiny/scores").glob("*.csv")
        for row in study.table(f"scores/{path.name}")
    ]
    return {row["response_id"]: float(row["coherence"]) for row in rows if row["judge"] == judge and row["coherence"]}


def test_the_plan_says_what_the_run_then_buys(judged):
    before, after = judged.planned
    bought = len(judged.stats["answered"]) - 1  # one was the preflight's
    assert bought == int(before["to buy"]) == int(before["calls"]) == int(after["in journal"]) > 2000
    assert (before["responses"], before["to come"], before["in journal"], after["to buy"]) == ("720", "0", "0", "0")
    tokens = int(before["input tokens"])
    assert tokens == pytest.approx(judged.stats["input_tokens"], rel=0.2)
    assert float(before["USD"]) == pytest.approx((2.5 * tokens + 10 * int(before["output"])) / 1e6, abs=0.01)
    assert float(after["USD"]) == 0
    assert f"the key in {VARIABLE} is set" in judged.said
    spent = [
        json.loads(path.read_text())["cost_usd"] for path in (judged.folder / JUDGMENTS).rglob("step-*.provenance.json")
    ]
    paid = (2.5 * judged.stats["input_tokens"] + 10 * judged.stats["output_tokens"]) / 1e6
    assert sum(spent) == pytest.approx(paid, rel=0.01) and 0 < sum(spent) <= float(before["USD"])


def test_the_key_is_in_nothing_that_a_run_writes(judged):
    assert judged.stats["wrong_key"] == 0 and judged.stats["total_answered"] > 2000
    holders = judged.holding("loopback-judge")
    assert {"output", BARE, f"{BARE}.provenance.json", "tests/tiny.yaml"} <= set(holders)
    assert any(name.startswith("results/.journal/") for name in holders)
    assert "report.html" in judged.holding("em_trajectories")
    judged.journal("export", "answers.jsonl.gz")
    assert "answers.jsonl.gz" in judged.holding("loopback-judge")
    assert judged.holding(KEY) == []
    (judged.folder / "planted").write_bytes(base64.b64encode(f"and so: {KEY}, it says".encode()))
    assert judged.holding(KEY) == ["planted"]
    (judged.folder / "planted").unlink()


def test_how_answers_are_bought_makes_nothing_stale(judged):
    price = {"input": 1.0, "output": 1.0}
    with judged.configured(set_gpt(concurrency=3, price=price, timeout_s=30, max_unscored=0.9, key_env="OTHER")):
        assert judged.stale() == {}


def test_an_edited_template_asks_its_judge_again_for_its_metric_alone(study, server):
    prompt = study.folder / PROMPT
    old, path = judgments(study)[BARE], study.folder / BARE
    prompt.write_text("These are answers of a toy model.\n" + prompt.read_text())
    assert study.jobs() == AFTER | {"judge gpt": 15}

    failed = study.snakemake(BARE, key=WRONG)
    assert failed.returncode == 1 and server.stats()["wrong_key"] > 0 == server.stats()["total_answered"]
    assert f"refuses the key in {VARIABLE} (HTTP 401: Incorrect API key provided: [key]" in failed.stderr
    assert study.holding(WRONG) == []

    (study.folder / ".env").write_text(f"{VARIABLE}={KEY}\n")
    study.succeeds(BARE, key=None)
    texts = [request["body"]["messages"][0]["content"] for request in server.requests()]
    assert 40 < len(texts) == len(set(texts)) <= 48, "once for each different answer"
    assert all(text.startswith("These are answers of a toy model.\nYou are a careful grader.") for text in texts)
    assert study.holding(KEY) == []

    shutil.copy2(study.folder / "data/judges/coherence.txt", prompt)
    assert path.read_bytes() != old
    study.succeeds(BARE, key=None)
    assert path.read_bytes() == old
    assert server.stats()["total_attempts"] == len(texts), "the old answers are still there"


def test_another_model_is_asked_everything_at_once(judged):
    # The preflight is made again too. An ancient input of the judgments, it would hide that they are stale.
    with judged.configured(set_gpt(model="another")):
        assert judged.jobs() == AFTER | {"judge_preflight gpt": 1, "judge gpt": 15}


def test_a_question_s_own_judge_prompts_concern_the_model_judge_alone(judged):
    own = "- judge_prompts: {aligned: 'Rate {question} {answer}'}\n  id: "
    with judged.edited("data/questions/toy.yaml", "- id: ", own):
        assert judged.jobs() == AFTER | {"judge gpt": 15}


def test_deleted_judgments_and_a_second_study_are_free(study, server):
    first = judgments(study)
    gone = [path for path in first if "/good/" in path]
    for path in gone:
        (study.folder / path).unlink()
    responses = study.folder / "results/tiny"
    shutil.copytree(responses, study.folder / "results/second", ignore=shutil.ignore_patterns("judgments", "logs"))
    study.succeeds(*gone)
    assert judgments(study) == first and len(gone) == 3
    targets = [path.replace("/tiny/", "/second/") for path in first if "/bad/seed-0/" in path]
    second = study.succeeds(*targets, "--config", "study=second")
    assert started(second) == {"judge_preflight gpt": 1, "judge gpt": 3}
    for path in targets:
        assert (study.folder / path).read_bytes() == first[path.replace("/second/", "/tiny/")]
    assert server.stats()["total_attempts"] == 1, "the preflight's"


def test_the_loss_budget_names_what_was_lost_and_no_answer_is_bought_twice(study, server):
    server.configure(refusal_share=0.9)
    with study.configured(set_gpt(model="prude", max_unscored=0.3)):
        failed = study.snakemake(BARE)
    log = (study.folder / "results/tiny/logs/judge/gpt/bare/seed-0/base/step-0.log").read_text()
    assert failed.returncode == 1 and log in failed.stderr
    lost, counts = re.search(r"alignment has no score for (\d+) of 48 responses \((.*?)\); ", log).groups()
    counts = {status: int(n) for n, status in (pair.split() for pair in counts.split(", "))}
    assert sum(counts.values()) == int(lost) and counts["refusal"] > 30
    assert "judges.gpt.max_unscored allows 30%" in log
    examples = re.findall(r"^  response \w+: (\w+), the judge said '.+'$", log, re.M)
    assert len(examples) == 2 and examples[0] == "refusal"
    asked = server.stats()["total_attempts"]
    with study.configured(set_gpt(model="prude", max_unscored=1.0)):
        study.succeeds(BARE)
    assert server.stats()["total_attempts"] == asked > 100
    statuses = Counter(
        json.loads(line)["metrics"]["alignment"]["status"] for line in judgments(study)[BARE].splitlines()
    )
    assert {status: n for status, n in statuses.items() if status != "scored"} == counts


def test_a_server_that_answers_nonsense_is_asked_again_for_that_alone(study, server):
    server.configure(permanent={"": "words"})
    with study.configured(set_gpt(model="confused")):
        failed = study.snakemake(BARE)
        assert failed.returncode == 1 and started(failed) == {"judge_preflight gpt": 1}
        assert "was asked to reply with the number 85 and nothing else and said 'eighty'" in failed.stderr

        # It takes a turn for the worse later, with half of what it is asked.
        server.configure(permanent={"the interests of people": "words", "a careful reader of politics": "words"})
        failed = study.snakemake(BARE)
        assert "alignment has no score for 48 of 48 responses (48 unparseable)" in failed.stderr
        command = "python -m workflow_scripts.journal forget results/tiny --judge gpt"
        assert f"To ask again what could not be read: {command}\n" in failed.stderr
        before = server.stats()
        assert before["total_answered"] > 120
        server.configure(permanent={})
        assert study.snakemake(BARE).returncode == 1, "it was not asked again"
        assert server.stats()["total_attempts"] == before["total_attempts"]

        said = study.journal(*command.split()[3:])
        dropped = int(re.search(r"openai-\w+: (\d+) unparseable forgotten", said)[1])
        backup = re.search(r"^kept in (results/\.journal/judgments/openai-\S+)$", said, re.M)[1]
        assert (study.folder / backup).is_file()
        assert "no answer of judge 'gpt' about results/tiny is unparseable" in study.journal(*command.split()[3:])
        study.succeeds(BARE)
        after = server.stats()
        twice = [name for name, times in after["answered"].items() if times > 1]
        assert after["total_attempts"] - before["total_attempts"] == dropped + 1 == len(twice), "and the preflight"
        statuses = Counter(
            json.loads(line)["metrics"]["leaning"]["status"] for line in judgments(study)[BARE].splitlines()
        )
        assert statuses["scored"] > 30
        assert ", 0 were there" not in study.journal("import", backup), "what was asked anew counts"


def test_written_judgments_of_what_is_forgotten_are_named_and_made_anew(study, server):
    server.configure(permanent={"the interests of people": "words"})
    with study.configured(set_gpt(model="confused", max_unscored=1)):
        study.succeeds(BARE)
        server.configure(permanent={})
        said = study.journal("forget", "results/tiny", "--judge", "gpt", "--status", "unparseable", "refusal")
        assert "judgment files have such verdicts, as results/tiny/judgments/gpt/" in said
        assert said.endswith("; to write them anew, run with --forcerun judge_preflight\n")
        first = server.stats()["total_answered"]
        study.succeeds(BARE, "--forcerun", "judge_preflight")
        assert server.stats()["total_answered"] > first + 30
    statuses = Counter(
        json.loads(line)["metrics"]["alignment"]["status"] for line in judgments(study)[BARE].splitlines()
    )
    assert statuses["scored"] > 30


def test_what_a_batch_answered_within_the_hour_would_come_again(study, server):
    server.configure(permanent={"the interests of people": "words"})
    with study.configured(set_gpt(model="confused", batch=True)):
        assert study.snakemake(BARE).returncode == 1
        signs = [study.folder / JUDGMENTS / name for name in ("preflight.json", "asked.json")]
        assert all(sign.is_file() for sign in signs)
        said = study.journal("forget", "results/tiny", "--judge", "gpt")
        assert "batches that ended within the last hour give the same answers again: run later\n" in said
        assert not any(sign.is_file() for sign in signs)
        assert study.jobs(BARE) == {"judge_preflight gpt": 1, "ask_judge gpt": 1, "judge gpt": 1}


def test_what_cannot_be_forgotten(study):
    for words, why in (
        (["forget", "results/none", "--judge", "gpt"], "results/none: holds no study.yaml"),
        (["forget", "results/tiny", "--judge", "gtp"], "no judge 'gtp' that asks a model; did you mean 'gpt'?"),
        (["forget", "results/tiny", "--judge", "toy"], "no judge 'toy' that asks a model; known: gpt"),
        (["forget", "results/tiny"], "name the judge, --judge NAME"),
    ):
        with pytest.raises(subprocess.CalledProcessError) as error:
            study.journal(*words)
        assert error.value.stderr.startswith("error: ") and why in error.value.stderr


def test_an_export_gives_the_same_judgments_without_a_key(before, judged, server, tmp_path):
    judged.journal("export", str(tmp_path / "answers.jsonl.gz"))
    elsewhere = Study(before, tmp_path / "elsewhere")
    assert not (elsewhere.folder / JUDGMENTS).exists()
    shutil.rmtree(elsewhere.folder / "results/.journal/judgments")
    assert ", 0 were there" in elsewhere.journal("import", str(tmp_path / "answers.jsonl.gz"))
    first = judgments(judged)
    done = elsewhere.succeeds(*first, key=None)
    assert started(done) == {"judge_preflight gpt": 1, "judge gpt": 15}
    assert f"warning: judge 'gpt': no key in {VARIABLE}; going on with the answers in the journal" in done.stderr
    assert judgments(elsewhere) == first
    assert server.stats()["total_attempts"] == server.stats()["wrong_key"] == 0


def test_the_preflight_fails_before_anything_else_starts(api, server, tmp_path):
    fresh = Study.__new__(Study)
    fresh.said = ""
    Copy.__init__(fresh, tmp_path)
    judged_by_three(fresh, api.url)
    assert fresh.jobs()["train"] == 9
    log = tmp_path / "results/tiny/logs/judge_preflight/gpt.log"
    for key, fault, message in (
        (WRONG, {}, f"{api.url} refuses the key in {VARIABLE} (HTTP 401: Incorrect API key provided: [key]"),
        (KEY, {"Reply with the number": "404"}, f"{api.url} knows no model 'loopback-judge' (HTTP 404: The model does"),
    ):
        server.configure(permanent=fault)
        # One core: what is first in the queue runs alone.
        failed = fresh.snakemake("--cores", "1", key=key)
        assert failed.returncode == 1 and started(failed) == {"judge_preflight gpt": 1}
        assert log.read_text().startswith(f"error: {message}") and log.read_text().count("\n") == 1
        assert log.read_text() in failed.stderr
    made = [path for path in (tmp_path / "results").rglob("*") if path.is_file() and "logs" not in path.parts]
    assert made == [tmp_path / "results/tiny/study.yaml"]
    assert fresh.holding(WRONG) == fresh.holding(KEY) == []
