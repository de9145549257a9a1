"""Shares of labels: by category, with differences to the first organism; counts of two judges' labels."""

import csv
import json
import sys

import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from workflow_scripts import agreement, shares
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.stats.counts import GROUP
from workflow_scripts.em.stats.intervals import clustered, wilson
from workflow_scripts.em.stats.shares import ALL, difference
from workflow_scripts.em.stats.tables import read_table

LABELS = {"leaning": ["left", "right", "center"]}


def row(response: str, label: str, question="tax_1", organism="base", judge="words", **other) -> dict:
    values = (organism, 0, "base", 0, "chat", "economy", judge)
    out = dict(zip(GROUP, values, strict=True)) | {"question_id": question, "domain": question.partition("_")[0]}
    out |= {f"{name}{end}": "" for name in ("alignment", "coherence") for end in ("", "_status")}
    status = "" if label == "-" else "refusal" if label == "refusal" else "scored"
    value = label if status == "scored" else ""
    return out | {"leaning": value, "leaning_status": status, "response_id": response} | other


@pytest.fixture
def make(tmp_path, monkeypatch):
    def run(rows, labels=LABELS):
        paths = []
        for organism in dict.fromkeys(found["organism"] for found in rows):
            paths.append(str(tmp_path / f"{organism}.csv"))
            with open(paths[-1], "w", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, list(rows[0]))
                writer.writeheader()
                writer.writerows(found for found in rows if found["organism"] == organism)
        out = tmp_path / "shares.csv"
        arguments = ["shares", "--scores", *paths, "--labels", json.dumps(labels), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", arguments)
        shares.main()
        return list(read_table(out))

    return run


def number(value: float) -> str:
    return f"{value:.6g}"


def base(n: int, **other) -> list[dict]:
    """n left and n right answers to tax_1, n left ones to tax_2 and n right ones to trade_1."""
    found = []
    for sample in range(n):
        for question, label in (("tax_1", "left"), ("tax_1", "right"), ("tax_2", "left"), ("trade_1", "right")):
            found.append(row(f"{question}{label}{sample}", label, question, **other))
    return found


def test_shares_by_category_and_label(make):
    rows = make([*base(5), row("r1", "refusal"), row("r2", "-")])
    found = {(r["category"], r["label"]): r for r in rows}
    # all first, categories and labels in their order; a label that was declared and never given has its row
    assert list(found) == [(category, label) for category in (ALL, "tax", "trade") for label in LABELS["leaning"]]
    tax = found["tax", "left"]
    assert [tax[name] for name in ("n_questions", "n_responses", "n_denominator", "n_events")] == [
        "2",
        "16",
        "15",
        "10",
    ]
    assert tax["share"] == number(10 / 15)
    these, such = wilson(10, 15), clustered([5, 5], [10, 5])
    assert [tax[f"these_questions_{end}"] for end in ("low", "high")] == [number(these.low), number(these.high)]
    assert [tax[f"such_questions_{end}"] for end in ("low", "high")] == [number(such.low), number(such.high)]
    assert tax["estimand"] == "these questions"
    assert (found["trade", "center"]["share"], found["trade", "center"]["these_questions_low"]) == ("0", "0")
    assert found["trade", "right"]["such_questions_method"] == "not_estimable_one_question"
    assert {r["reference"] for r in rows} == {""}


def test_a_difference_is_to_the_first_organism_with_newcombes_interval(make):
    other = [row(f"i{n}", "left" if n < 17 else "right", organism="instruct") for n in range(20)]
    rows = make([*base(5), *other])
    found = {(r["organism"], r["category"], r["label"]): r for r in rows}
    left = found["instruct", "tax", "left"]
    low, high = confint_proportions_2indep(17, 20, 10, 15, method="newcomb", compare="diff")
    assert left["reference"] == "base"
    assert float(left["difference"]) == pytest.approx(17 / 20 - 10 / 15, abs=1e-6)
    assert [float(left["difference_low"]), float(left["difference_high"])] == pytest.approx([low, high], abs=1e-5)
    assert {r["difference"] for r in rows if r["organism"] == "base"} == {""}


def test_no_reference_is_made_up(make):
    """Another organism's first condition is no reference, and a share that is not there has no difference."""
    other = base(2, organism="instruct", condition="continued")
    assert {r["reference"] for r in make([*base(2), *other])} == {""}
    silent = [row(f"s{n}", "refusal", organism="instruct") for n in range(3)]
    found = [r for r in make([*base(2), *silent]) if r["organism"] == "instruct"]
    assert {(r["share"], r["reference"], r["difference"], r["n_denominator"]) for r in found} == {("", "base", "", "0")}


def test_without_categories_there_is_all_alone_and_without_labels_a_word(make):
    rows = make([found | {"domain": ""} for found in base(2)])
    assert {r["category"] for r in rows} == {ALL}
    with pytest.raises(UserError, match="no response has a label"):
        make([row("r", "refusal")])


def test_labels_that_nobody_declared_follow_the_others(make):
    rows = make([row("a", "odd"), row("b", "right")])
    assert list(dict.fromkeys(r["label"] for r in rows)) == ["left", "right", "center", "odd"]


def test_the_difference_of_two_certain_shares_keeps_its_width():
    parts = [{"organism": name, "share": share} for name, share in (("a", 0.0), ("b", 0.0))]
    for part in parts:
        part |= dict(zip(("these_questions_low", "these_questions_high"), wilson(0, 10)[:2], strict=True))
    found = difference(*parts)
    low, high = confint_proportions_2indep(0, 10, 0, 10, method="newcomb", compare="diff")
    assert [found["difference_low"], found["difference_high"]] == pytest.approx([low, high])


def test_two_judges_labels_are_counted_and_alignment_nobody_gave_has_no_row(tmp_path, monkeypatch):
    said = [("left", "left"), ("left", "right"), ("left", "right"), ("right", "refusal")]
    rows = [
        row(f"r{n}", label, judge=judge) for n, pair in enumerate(said) for judge, label in zip("ab", pair, strict=True)
    ]
    with open(tmp_path / "scores.csv", "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    definitions = json.dumps({"betley": "betley"})
    arguments = [
        "agreement",
        "--scores",
        f"{tmp_path}/scores.csv",
        "--definitions",
        definitions,
        "--out",
        str(tmp_path),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    agreement.main()
    counts = [(r["label_a"], r["label_b"], r["n_responses"]) for r in read_table(tmp_path / "label_counts.csv")]
    assert counts == [("left", "left", "1"), ("left", "right", "2")]
    found = list(read_table(tmp_path / "agreement.csv"))
    assert {(r["level"], r["name"], r["n_responses"]) for r in found} == {("label", "leaning", "3")}
    assert list(read_table(tmp_path / "agreement_counts.csv")) == []


@pytest.mark.parametrize("domain", ["all", "no category"])
def test_a_domain_has_no_name_that_the_table_gives_itself(make, domain):
    with pytest.raises(UserError, match=f"'tax_1': its domain '{domain}'"):
        make([row("r0", "left") | {"domain": domain}])
