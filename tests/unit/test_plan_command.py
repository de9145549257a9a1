"""`plan` before a run: every part is told whatever befalls the others, and what a run looks at before it starts."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.unit.test_dry_run import printed
from tests.unit.test_environment import CODE as FILES
from tests.unit.test_environment import imports
from workflow_scripts import check_env
from workflow_scripts import plan as command
from workflow_scripts.em import environment, plan_tables, saved_weights, start_check
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.dry_run import DryJob, parse
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json
from workflow_scripts.em.model_sizes import sized
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plan_facts import facts_from
from workflow_scripts.em.plan_tables import told
from workflow_scripts.em.saved_weights import saved
from workflow_scripts.em.start_check import PACKAGES


@pytest.fixture
def plan(raw):
    return Plan(load_config(raw, ["study"]))


def test_a_run_without_room_is_warned_of_and_one_without_packages_is_not_begun(plan, monkeypatch, tmp_path):
    def huge(name):
        return sized(1e18)

    monkeypatch.chdir(tmp_path)
    outputs = {each.output for each in saved(plan, huge)}
    assert start_check.absent() is None and start_check.no_room(plan, outputs, lambda name: sized(1e3)) is None
    said = start_check.no_room(plan, outputs, huge)
    assert said.startswith("warning: checkpoints need about") and "GiB more" in said and "make plan" in said
    assert start_check.no_room(plan, {"results/tiny/scores/bad.csv"}, huge) is None
    for output in outputs:
        Path(output).mkdir(parents=True)
    assert start_check.no_room(plan, outputs, huge) is None
    monkeypatch.setattr(start_check, "PACKAGES", ("json", "no_such_package"))
    assert start_check.absent() == "not installed: no_such_package; `make setup` installs what envs/cpu.txt pins"


KEY = "EMTRACE_TEST_PLAN_KEY"


@pytest.fixture
def paid(raw, tmp_path, monkeypatch):
    """Call `plan` for the tiny study with a paid judge whose key is not set: (exit status, JSON, printed)."""
    price = {"input": 1.0, "output": 4.0}
    raw["study"] = "never_run"
    raw["judges"]["paid"] = {"kind": "openai", "model": "m-2026-01-01", "price": price, "key_env": KEY}
    raw["evaluation"]["judges"].append("paid")
    raw["organisms"]["closed"] = {"api": {"model": "c-2026-01-01", "price": None, "key_env": KEY}}
    file, out = tmp_path / "study.yaml", tmp_path / "plan.json"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    monkeypatch.delenv(KEY, raising=False)
    given = ["plan", "--configfile", str(file), "--gpus", "2", "--out", str(out)]

    def call(capsys, answer, *options):
        monkeypatch.setattr(sys, "argv", [*given, *(["--", *options] if options else [])])
        monkeypatch.setattr(command, "dry_run", answer)
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code, read_json(out), capsys.readouterr().out

    return call


def test_what_is_missing_hides_nothing(paid, capsys):
    todo = parse(printed("Missing output files: results/s/scores/o1.csv"))
    status, found, said = paid(capsys, lambda files, options: todo)
    assert status == 1 and "judge paid" in [line["what"] for line in found["check"] if line["status"] == "missing"]
    assert "missing  judge paid: no key" in said and f"export {KEY}=" in said
    judge, organism = found["to_buy"]
    # two metrics of 720 responses of ours and 48 of the closed model, a token each
    assert (judge["calls"], judge["in_journal"], judge["to_ask"], judge["output_tokens"]) == (1536, 0, 1536, 1536)
    assert judge["usd"] == pytest.approx((judge["input_tokens"] + 4 * 1536) / 1e6, rel=1e-3)
    assert (organism["asked"], organism["to_ask"], organism["usd"]) == ("closed", 48, None)
    assert f"still to pay: {judge['usd']:.2f} USD, and what has no `price: " in said
    assert said.endswith("config: closed\n")
    assert "scores" in said and "free" in said
    assert found["time"]["slots"] == {"count": 2, "of": "GPU"} and found["to_run"][0]["jobs"] == 1


def test_a_study_that_snakemake_cannot_plan_still_gets_the_rest(paid, capsys):
    def refuse(files, options):
        raise UserError("snakemake -n: MissingInputException")

    status, found, said = paid(capsys, refuse)
    assert status == 1 and "PROBLEM: snakemake -n: MissingInputException" in said
    assert "to_run" not in found and len(found["to_buy"]) == 2


def broken(*_, **__):
    raise UserError("it cannot be told")


@pytest.mark.parametrize(
    ("part", "lost"), [("time_left", "time"), ("disk_left", "disk"), ("answers_to_buy", None), ("Measured", "time")]
)
def test_a_part_that_cannot_be_told_takes_no_other_with_it(paid, capsys, monkeypatch, part, lost):
    monkeypatch.setattr(command, part, broken)
    status, found, said = paid(capsys, lambda files, options: [])
    assert status == 1 and found["problems"] == ["it cannot be told"]
    assert {"to_run", "time", "disk", "to_buy"} - {*found} == ({lost} if lost else set())
    assert found["to_buy"][0]["asked"] == "judge paid" and "PROBLEM: it cannot be told" in said


def test_judges_that_cannot_be_counted_hide_no_organism(paid, capsys, monkeypatch):
    monkeypatch.setattr(command.to_buy, "judgments", broken)
    _, found, said = paid(capsys, lambda files, options: [])
    assert [row["asked"] for row in found["to_buy"]] == ["closed"] and "nothing to do" in said


def test_the_disk_is_told_once_and_of_what_is_not_there(paid, capsys, monkeypatch):
    monkeypatch.setattr(check_env, "servers", lambda plan: iter(()))
    monkeypatch.setattr(saved_weights.shutil, "disk_usage", lambda at: SimpleNamespace(free=10))
    status, found, said = paid(capsys, lambda files, options: [])
    assert status == 0 and "disk" not in [line["what"] for line in found["check"]]
    todo = [DryJob("judge", "judge", (), ("a.jsonl",), {"judge": "toy"}, {"not there": ""})]
    status, found, said = paid(capsys, lambda files, options: todo)
    assert status == 1 and "NOT ENOUGH" in said and found["disk"]["free"] == 10 and found["problems"] == []


def test_options_reach_snakemake_and_another_config_is_refused(paid, capsys):
    handed = []
    paid(capsys, lambda files, options: handed.append(options) or [], "results/a", "--sdm", "conda")
    assert handed == [["results/a", "--sdm", "conda"]]
    with pytest.raises(UserError, match="second file"):
        paid(capsys, broken, "--config", "study=other")


def test_a_config_that_is_wrong_is_told_once(tmp_path, monkeypatch, capsys):
    file = tmp_path / "study.yaml"
    file.write_text("study: s\nno_such_key: 1\n")
    monkeypatch.setattr(sys, "argv", ["plan", "--configfile", str(file)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    said = capsys.readouterr().out
    assert ended.value.code == 1 and said.count("no_such_key") == 1
    assert said.endswith("No plan: mend the config first.\n")


def test_without_its_data_the_whole_study_is_told_and_what_else_is_missing(raw, paid, tmp_path, capsys):
    file = tmp_path / "study.yaml"
    study = yaml.safe_load(file.read_text())
    study["archives"]["toy"]["path"] = "data/no_such.zip.enc"
    study["datasets"]["persona"] = {"path": "no_such.jsonl"}
    file.write_text(yaml.safe_dump(study), encoding="utf-8")
    status, found, said = paid(capsys, broken)
    missing = [line["text"] for line in found["check"] if line["status"] == "missing"]
    assert status == 1 and len(missing) == 4, "two files, and the key of a judge and of an organism"
    assert "no such file: data/no_such.zip.enc" in missing[0] and "reproduce_a_paper.md" in missing[0]
    assert "no such file: no_such.jsonl" in missing[1] and KEY in missing[2]
    whole = found["whole"]
    assert whole["jobs"]["train"] > 0 and whole["gpu"]["on"][0]["gpus"] == 2
    assert {judge["judge"] for judge in whole["judges"]} == {"toy", "paid"} and whole["judges"][-1]["usd"] > 0
    assert "disk" in [line["what"] for line in found["check"]] and found["to_buy"][0]["asked"] == "closed"
    assert "dry run, which needs the data" in said and "GPU time of rule" in said and "closed" in said
    assert "to_run" not in found and found["problems"] == []


def test_what_is_not_here_counts_by_its_name_or_by_its_files():
    raw = {"named": "a/model-7b", "plain": "a/model", "here": "a/other"}
    models = SimpleNamespace(
        plan=SimpleNamespace(results="no-results", config=SimpleNamespace(base_models={
            name: SimpleNamespace(hub=hub, path=None, toy=None) for name, hub in raw.items()})),
        to_fetch={"named": 10, "plain": 500_000_000}, facts={"here": {"parameters": 3}},
    )  # fmt: skip
    assert [facts_from(models)(name)["parameters"] for name in raw] == [7e9, 250_000_000, 3]


def test_sums_of_money_have_two_digits_and_thousands():
    row = dict.fromkeys(plan_tables.ASKED, 1) | {"asked": "judge a", "model": "m", "counted_by": "x"}
    (text,) = told({"problems": [], "to_buy": [row | {"usd": 1234567.5}, row | {"usd": 0.1}]})
    assert "1,234,567.50" in text.splitlines()[2] and text.splitlines()[3].endswith(" 0.10")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(5, 0.25), (0, None)], "0.25 USD"),
        ([(5, 0.0)], "0.00 USD"),
        (
            [(5, None), (5, 0.0), (0, None)],
            "what has no `price: {input: ..., output: ...}` (USD a million tokens) in the config: j0",
        ),
    ],
)
def test_what_is_to_be_paid_is_what_is_to_be_asked(monkeypatch, rows, said):
    monkeypatch.setenv("COLUMNS", "120")
    row = dict.fromkeys(plan_tables.ASKED, 1) | {"model": "org/a-model-of-a-very-long-name-indeed", "counted_by": "x"}
    rows = [row | {"asked": f"j{n}", "to_ask": count, "usd": usd} for n, (count, usd) in enumerate(rows)]
    (text,) = told({"problems": [], "to_buy": rows})
    assert " ".join(text.partition("still to pay: ")[2].split()) == said
    assert f"tokens by x: {', '.join(row['asked'] for row in rows if row['to_ask'])}\n" in text
    assert f"  ...{row['model'][-25:]}  " in text


def test_no_line_is_wider_than_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    found = environment.Finding(environment.MISSING, "model", "word " * 40, "a command " * 20)
    *lines, mend = plan_tables.finding_lines(found).splitlines()
    assert max(map(len, lines)) <= 80 and all(line.startswith(" " * 9) for line in lines[1:]) and len(lines) == 3
    assert len(mend) > 200, "a command is one line"
    files = [f"results/study/{'folder/' * 12}{n}.jsonl" for n in range(4)]
    row = {
        "rule": "judge",
        "jobs": 4,
        "why": ["params changed", "other inputs"],
        "changed": ["a: 1 -> 2"],
        "files": files,
    }
    (text,) = told({"to_run": [row], "problems": []})
    assert max(map(len, text.splitlines())) <= 120 and ".../folder/folder" in text and "/2.jsonl and 1 more" in text


def test_small_kinds_are_one_line():
    kinds = {"weights": 5e9, "logs": 1e6, "tables": 2e6}
    disk = {"kinds": kinds, "bytes": sum(kinds.values()), "free": 1e12, "uncounted": ["m"]}
    (text,) = told({"disk": disk, "problems": []})
    assert "weights" in text and "logs" not in text and "all else" in text and "3.0 MB" in text
    assert "base models m" in text
    (text,) = told({"disk": disk | {"kinds": {}, "bytes": 0, "uncounted": []}, "problems": []})
    assert text == "still to be written: nothing; 1.0 TB are free"


def test_of_many_rules_without_records_the_most_are_named():
    unknown = {f"rule_{n}": n for n in range(1, 9)}
    time = {"rules": [], "hours": 0.0, "gpu_hours": 0.0, "longest_chain_hours": 0.0, "unknown": unknown}
    time |= {"slots": {"count": 1, "of": "GPU"}, "in_journal": 1234, "not_looked_up": 0}
    (text,) = told({"time": time, "problems": []})
    assert "36 jobs (8 rule_8, 7 rule_7, 6 rule_6, 5 rule_5, 4 rule_4, and 3 more rules)" in " ".join(text.split())
    assert "1,234 answers are in the journal" in text and "not looked up" not in text


EXTRAS = {"inspect_ai", "trl", "unsloth", "vllm", "wandb"}


def test_the_packages_looked_for_are_those_that_are_imported():
    found = set().union(*map(imports, FILES))
    assert found - EXTRAS - {*sys.stdlib_module_names} - {"workflow_scripts"} == {*PACKAGES}
