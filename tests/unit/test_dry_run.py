"""What a dry run prints is read: jobs, why they would run, and which params changed."""

import subprocess
from pathlib import Path

import pytest

from workflow_scripts.em.dry_run import ABSENT, CODE, FOLLOWS, PARAMS, DryJob, dry_run, grouped, parse, reasons
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.param_changes import changed
from workflow_scripts.em.plan_tables import told

# As Snakemake 9.27 prints them.
SCORES = """[Sun Nov 22 05:32:44 2026]
rule scores:
    input: results/s/a.jsonl, results/s/b.jsonl
    output: results/s/scores/{name}.csv, results/s/scores/{name}.json
    log: results/s/logs/scores/{name}.log
    jobid: {id}
    reason: {reason}
    wildcards: organism={name}, text=a=b
    resources: tmpdir=/tmp
Shell command: python -m workflow_scripts.scores --out results/s/scores/{name}.csv > log 2>&1

"""
STATS = "Job stats:\njob       count\n------  -------\nscores        {}\nall           1\ntotal         {}\n\n"
ALL = "rule all:\n    input: results/s/scores/o.csv\n    jobid: 0\n    reason: {0}: results/s/scores/o.csv\n\n"
UPDATED = "Input files updated by another job"
CHANGED = (
    "Params have changed since last execution: Union of exclusive params before and now across all output: "
    "before: {} now: {} "
)
OLD, NEW = "'0123456789abcdef'", "'fedcba9876543210'"


def printed(*said: str) -> str:
    """What a dry run prints whose jobs have these reasons."""
    blocks = [SCORES.format(name=f"o{i}", id=i, reason=reason) for i, reason in enumerate(said, 1)]
    stats = STATS.format(len(said), len(said) + 1)
    return "Building DAG of jobs...\n" + stats + "".join(blocks) + ALL.format(UPDATED) + stats


def test_a_dry_run_is_read():
    first, second = parse(printed("Missing output files: results/s/scores/o1.csv", f"{UPDATED}: results/s/a.jsonl"))
    assert (first.rule, first.stage) == ("scores", "scores")
    assert first.inputs == ("results/s/a.jsonl", "results/s/b.jsonl")
    assert first.outputs == ("results/s/scores/o1.csv", "results/s/scores/o1.json")
    assert first.wildcards == {"organism": "o1", "text": "a=b"}
    assert first.reasons == {"not there": "results/s/scores/o1.csv"} and list(second.reasons) == [FOLLOWS]
    done = "Building DAG of jobs...\nNothing to be done (all requested files are present and up to date).\n"
    assert parse(done) == []


@pytest.mark.parametrize("broken", [("    jobid: 1", "\tjobid: 1"), ("rule scores:", "Job 1: scoring")])
def test_a_dry_run_in_another_form_is_not_half_read(broken):
    text = printed("Forced execution")
    assert len(parse(text)) == 1
    with pytest.raises(UserError, match="another form"):
        parse(text.replace(*broken, 1))


def test_options_of_the_run_are_handed_on(monkeypatch):
    def ran(command, **_):
        asked.append(command[command.index("-n") :])
        return subprocess.CompletedProcess(command, 0, printed("Forced execution"), "")

    asked = []
    monkeypatch.setattr(subprocess, "run", ran)
    assert len(dry_run([Path("s.yaml")], ["results/s/a", "--sdm", "conda"])) == 1
    # The files last: else a target would be one.
    assert asked == [["-n", "-p", "--nocolor", "results/s/a", "--sdm", "conda", "--configfile", "s.yaml"]]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Code has changed since last execution", ["command changed"]),
        (f"Updated input files: a, b; {CHANGED.format('x; y', 'z')}", ["input changed", PARAMS]),
        (CHANGED.format(OLD, NEW), [CODE]),
        (CHANGED.format(f"{OLD},{OLD}", "<nothing exclusive>"), [CODE]),
        (CHANGED.format(f"{OLD},'30'", f"{NEW},'40'"), [PARAMS]),
        ("Incomplete output files: a; Set of input files has changed since last execution",
         ["left half done", "other inputs"]),
        ("The moon is full", ["The moon is full"]),
    ],
)  # fmt: skip
def test_reasons(said, found):
    assert list(reasons(said)) == found


def test_rows_of_one_rule_stand_together():
    said = (("figure", PARAMS), ("page", FOLLOWS), ("figure", FOLLOWS), ("page", FOLLOWS), ("latex", ABSENT))
    rows = grouped([DryJob(rule, rule, (), ("o",), {}, {why: ""}) for rule, why in said])
    assert [(row["rule"], row["jobs"], row["why"]) for row in rows] == [
        ("figure", 1, [PARAMS]),
        ("figure", 1, [FOLLOWS]),
        ("page", 2, [FOLLOWS]),
        ("latex", 1, [ABSENT]),
    ]


def test_jobs_are_grouped_and_changed_params_shown():
    missing = f"Missing output files: x; {UPDATED}: y"
    said = [missing, missing, f"{UPDATED}: y"]
    said += [CHANGED.format(f"{OLD},'{before}'", f"{NEW},'{'4' * 500}'") for before in (30, 20, 30, 10, 0)]
    rows = grouped(parse(printed(*said)))
    assert [(row["jobs"], row["why"]) for row in rows] == [(2, ["not there"]), (1, [FOLLOWS]), (5, [PARAMS])]
    assert rows[0]["files"] == ["results/s/scores/o1.csv", "results/s/scores/o2.csv"]
    # each change of the row once
    assert [change[:6] for change in rows[2]["changed"]] == ["30 -> ", "20 -> ", "10 -> ", "0 -> 4"]
    assert max(map(len, rows[2]["changed"])) < 200 and rows[0]["changed"] == []
    (text,) = told({"to_run": rows, "problems": []})
    assert "8 jobs: 2 make what is not there, 1 only follow from others, 5 stale by themselves" in text
    assert "jobs: all make what is not there" in next(told({"to_run": rows[:1], "problems": []}))
    assert "scores: 20 ->" in text and "scores: 0 ->" not in text and "scores: 1 other changes" in text
    assert "nothing to do" in next(told({"to_run": [], "problems": []}))


@pytest.mark.parametrize(
    ("before", "now", "told_as"),
    [
        ('\'{"a":{"x":30.0,"y":1},"b":2}\'', f"'{{\"a\":{{\"x\":25.0,\"y\":1}},\"b\":2}}',{NEW}", "a.x: 30.0 -> 25.0"),
        ('\'{"a":1}\'', '\'{"a":1,"b":[2]}\'', "b: (not set) -> [2]"),
        ('\'{"a":1,"b":null,"c":{"d":1,"e":2}}\'', '\'{"a":null,"c":{"d":1}}\'',
         "a: 1 -> null; b: null -> (not set); c.e: 2 -> (not set)"),
        ("'--steps 3'", NEW, '["--steps 3"] -> (not set)'),
        ("'--path old'", "'--path new'", "--path old -> --path new"),
        ("'1','2'", "'3'", '["1", "2"] -> ["3"]'),
        ("<TBD>, it's", "'3'", "<TBD>, it's -> 3"),
        ('\'{"a":"x now: y","b":1}\'', '\'{"a":"x now: z","b":1}\'', "a: x now: y -> x now: z"),
        ("<nothing exclusive>", NEW, ""),
    ],
)  # fmt: skip
def test_params_that_differ_are_told_by_key(before, now, told_as):
    assert changed(reasons(CHANGED.format(before, now)).get(PARAMS, "")) == told_as
