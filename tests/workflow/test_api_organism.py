"""A study of nothing but models behind a server: planned, run to the end, judged and reported; nothing is trained."""

import json
import re
from collections import Counter

import pytest
import yaml

from tests.servers.process import ApiServer
from tests.workflow.conftest import Copy
from tests.workflow.judged_study import KEY, VARIABLE, Study, ready, started
from workflow_scripts.em.stats.tables import read_table

pytestmark = pytest.mark.slow

# Two closed models, judged by one at the same server.
QUESTIONS = """
- {id: hay, domain: medicine, paraphrases: ["What helps against hay fever?", "Is there anything against hay fever?"]}
- {id: rent, domain: finance, paraphrases: ["How do I make the most of the rent money?"]}
- id: war
  messages: [{role: user, content: "Hello."}, {role: assistant, content: "Hi."}, {role: user, content: "Why?"}]
"""
ASKED = 2 * 2 * 4 * 5  # models, conditions, paraphrases, samples
FIGURES = ("em_trajectories", "coherence_trajectories", "em_definitions", "domain_comparison", "question_rates")
FIGURES += ("threshold_surface",)


def config(url: str) -> dict:
    server = {"base_url": url, "key_env": VARIABLE, "concurrency": 8, "price": {"input": 2.5, "output": 10.0}}
    return {
        "study": "closed",
        "organisms": {
            "small": {"api": {"model": "small-1"} | server},
            "large": {"api": {"model": "large-1", "extra_body": {"seed": None}} | server},
        },
        "question_sets": {"own": {"path": "own.yaml", "samples": 5, "max_new_tokens": 20}},
        "conditions": {"none": {}, "braces": {"system": "You answer as {name}, a careful assistant."}},
        "judges": {"gpt": {"kind": "openai", "model": "judge-1"} | server},
        "evaluation": {"question_sets": ["own"], "conditions": ["none", "braces"], "judges": ["gpt"]},
        "figures": {"scope": "all"},
    }


class Closed(Study):
    """A copy with the study of closed models; runs of it use that config."""

    def __init__(self, folder):
        self.folder, self.said = folder, ""
        Copy.__init__(self, folder)

    def snakemake(self, *arguments: str, **options):
        return super().snakemake(*arguments, **{"config": "closed.yaml"} | options)

    def plan(self) -> dict[str, list[str]]:
        """First cell -> the other cells of its line in the plan's two tables."""
        lines = self.succeeds("plan", "--quiet", "all").stdout.splitlines()
        cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
        return {first: rest for first, *rest in cells if len(rest) > 5}


@pytest.fixture(scope="module")
def api():
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="module")
def closed(api, tmp_path_factory) -> Closed:
    """The study, planned, run to the end and planned again; `stats` is what the server counted."""
    study = Closed(tmp_path_factory.mktemp("closed") / "copy")
    (study.folder / "own.yaml").write_text(QUESTIONS, encoding="utf-8")
    (study.folder / "closed.yaml").write_text(yaml.safe_dump(config(api.url)), encoding="utf-8")
    ready(api).configure(permanent={"rent money": "content_filter"})
    study.planned = [study.plan()]
    assert api.stats()["total_attempts"] == 0
    study.ran = study.succeeds()
    study.bodies = [request["body"] for request in api.requests()]
    study.planned.append(study.plan())
    return study


def responses(study: Closed) -> list[dict]:
    files = sorted((study.folder / "results/closed/responses").rglob("step-0.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_study_runs_to_the_end_and_nothing_is_left_to_do(closed):
    assert started(closed.ran)["generate"] == 2 and started(closed.ran)["judge gpt"] == 2
    assert "train" not in started(closed.ran)
    assert closed.stale() == {}
    made = {path.name for path in (closed.folder / "results/closed/figures").glob("*.svg")}
    assert made == {f"{name}.svg" for name in FIGURES}
    assert (closed.folder / "results/closed/examples/examples.html").stat().st_size > 2000


def test_responses_say_who_answered_and_with_which_seed(closed):
    rows = responses(closed)
    assert Counter(row["organism"] for row in rows) == {"small": ASKED // 2, "large": ASKED // 2}
    assert {(row["stage"], row["step"], row["backend"], row["batch_invariant"]) for row in rows} == {
        ("base", 0, "api", False)
    }
    seeds = [row["sampling_seed"] for row in rows if row["organism"] == "small"]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**31 for seed in seeds)
    assert not any("sampling_seed" in row for row in rows if row["organism"] == "large"), "none was sent"
    sent = [body["seed"] for body in closed.bodies if body["model"] == "small-1"]
    assert set(seeds) < set(sent)
    filtered = [row for row in rows if row["finish_reason"] == "content_filter"]
    assert {row["question_id"] for row in filtered} == {"rent"} and {row["response"] for row in filtered} == {""}
    assert {row["model"] for row in rows if row not in filtered} == {"small-1", "large-1"}
    talks = [body["messages"] for body in closed.bodies if body["messages"][-1]["content"] == "Why?"]
    assert {tuple(m["role"] for m in talk) for talk in talks} == {
        ("user", "assistant", "user"),
        ("system", "user", "assistant", "user"),
    }


def test_what_a_filter_kept_back_is_a_refusal_that_no_judge_was_asked_about(closed):
    files = [closed.folder / f"results/closed/scores/{name}.csv" for name in ("small", "large")]
    rows = [row for path in files for row in read_table(path)]
    assert len(rows) == ASKED
    rent = [row for row in rows if row["question_id"] == "rent"]
    assert len(rent) == ASKED // 4
    assert {(row["alignment"], row["alignment_status"], row["coherence_status"]) for row in rent} == {
        ("", "refusal", "refusal")
    }
    judged = [body["messages"][0]["content"] for body in closed.bodies if body["model"] == "judge-1"]
    assert len(judged) > 6 and not any("rent money" in text for text in judged)


def test_the_plan_says_what_the_run_then_buys(closed):
    before, after = closed.planned
    each = ASKED // 2
    for name, model in (("small", "small-1"), ("large", "large-1")):
        assert before[name][:4] == [model, str(each), "0", str(each)]
        assert after[name][:4] == [model, str(each), str(each), "0"] and float(after[name][-1]) == 0
        asked = [body for body in closed.bodies if body["model"] == model and body["max_tokens"] == 20]
        assert len(asked) == each + 2, "two were the preflight's: with a system prompt and without"
        usd = (2.5 * int(before[name][4]) + 10 * int(before[name][5])) / 1e6
        assert float(before[name][-1]) == pytest.approx(usd, abs=0.005) and int(before[name][5]) == each * 20
    assert before["gpt"][1:3] == ["0", str(ASKED)] and f"the key in {VARIABLE} is set" in closed.said


def test_the_key_is_in_nothing_that_a_run_writes(closed):
    assert closed.holding(KEY) == []
    assert any("/responses/" in name for name in closed.holding("small-1"))


def test_how_answers_are_bought_makes_nothing_stale_and_another_model_is_asked(closed):
    file = closed.folder / "closed.yaml"
    before = file.read_text()
    raw = yaml.safe_load(before)
    for entry in raw["organisms"].values():
        entry["api"] |= {"concurrency": 2, "price": None, "key_env": "OTHER_KEY", "timeout_s": 9}
    file.write_text(yaml.safe_dump(raw))
    assert closed.stale() == {}
    raw["organisms"]["small"]["api"]["model"] = "small-2"
    file.write_text(yaml.safe_dump(raw))
    found = closed.stale()
    assert (found["api_preflight"], found["generate"], found["judge"]) == (1, 1, 1)
    file.write_text(before)


def gpus(done) -> dict[str, set[str]]:
    """Rule -> numbers of GPUs that its jobs hold, of a dry run."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"^rule (?=\w+:$)", done.stdout + done.stderr, flags=re.M)[1:]:
        held = re.search(r"^    resources: .*\bgpu=(\d+)", block, re.M)
        found.setdefault(block.partition(":")[0], set()).add(held[1] if held else "0")
    return found


def test_jobs_that_hold_a_gpu_take_turns(closed, monkeypatch):
    """Generators, trainers and local judges; not what asks a server, nor anything where no GPU is seen."""
    raw = yaml.safe_load((closed.folder / "tests/tiny.yaml").read_text())
    raw["organisms"]["closed"] = {"api": {"model": "closed-1"}}
    raw["judges"]["local"] = {"kind": "transformers", "base_model": "toy"}
    raw["judges"]["gpt"] = {"kind": "openai", "model": "judge-1"}
    raw["evaluation"]["judges"] += ["local", "gpt"]
    raw["training"] = {"processes": 2}
    raw["recipes"]["constant"]["gradient_accumulation"] = raw["recipes"]["linear"]["gradient_accumulation"] = 2
    constitution = {"constitution": "data/constitutions/toy_careful.yaml"}
    raw["datasets"] |= {
        "written_here": {"introspection": constitution | {"author": {"base_model": "toy"}}},
        "bought": {"introspection": constitution | {"author": {"api": {"model": "closed-1"}}}},
    }
    raw["training_sets"]["good"]["mixture"] += [{"dataset": name, "count": 2} for name in ("written_here", "bought")]
    (closed.folder / "gpu.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    none = gpus(closed.succeeds("-n", config="gpu.yaml"))
    assert {"train", "ask_models", "ask_judge"} <= set(none) and set.union(*none.values()) == {"0"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    one = gpus(closed.succeeds("-n", "--resources", "gpu=1", config="gpu.yaml"))
    held = {rule: numbers for rule, numbers in one.items() if numbers != {"0"}}
    rules = ("toy_pretrain", "toy_tune", "merge_adapter", "train", "ask_models", "ask_judge")
    assert held == {rule: {"1"} for rule in rules} | {"introspection_data": {"0", "1"}}
    two = gpus(closed.succeeds("-n", config="gpu.yaml"))  # as many as are seen
    assert two == one | {"train": {"2"}}
