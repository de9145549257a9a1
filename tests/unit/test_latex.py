"""LaTeX tables: nothing in a text is a command, every row has its cells, and the numbers are the tables'."""

import re
import shutil
import subprocess

import pytest

from workflow_scripts.em import latex_tables
from workflow_scripts.em.latex import ESCAPES, PAGE, Column, escape, table

NASTY = "a_b 100% of $5 & {x} \\cmd #1 ~ ^ <tag> [opt] *star* |pipe| `q` \n\n new \N{MINUS SIGN}1 ünï"


def plain(text: str) -> str:
    """What LaTeX prints for an escaped text."""
    for character, written in sorted(ESCAPES.items(), key=lambda item: -len(item[1])):
        text = text.replace(written, f"<{ord(character)}>")
    assert not re.search(r"[\\{}$&#%_~^]", text), text
    return re.sub(r"<(\d+)>", lambda found: chr(int(found[1])), text)


def test_a_text_is_printed_as_it_is():
    assert plain(escape(NASTY)) == " ".join(NASTY.split())


def cells(text: str) -> list[list[str]]:
    """The cells of a table's body."""
    body = (
        text.split("\\midrule")[-1].split("\\bottomrule")[0] if "longtable}{" not in text else text.split("endfoot")[1]
    )
    return [line.removesuffix(" \\\\").split(" & ") for line in body.strip().splitlines() if line.endswith(" \\\\")]


@pytest.mark.parametrize("rows", [0, 2, PAGE + 1])
def test_every_row_has_every_cell(rows):
    text = table([Column("One"), Column("Two_2", "r"), Column("Long", 0.5)], [[NASTY, "1", "[x]"]] * rows, NASTY, "x")
    assert [len(row) for row in cells(text)] == [3] * rows and "Two\\_2" in text
    assert ("longtable}{" in text) == (rows > PAGE) and text.count("\\begin{") == text.count("\\end{")
    without = re.sub(r"\\.", "", text)
    assert without.count("{") == without.count("}")


def recipe(organism: str, step: str, **more) -> dict:
    names = {"organism": organism, "stage": "em", "step": step, "condition": "c", "question_set": "q_1", "judge": "j"}
    names |= {"scope": "all", "definition": "hw0", "n_seeds": "2", "mean_em_rate": "0.25", "sd": "0.1", "min": "0.15"}
    return names | {"max": "0.35", "such_seeds_low": "0.01", "such_seeds_high": "0.8"} | more


def test_rates_of_all_steps_and_recipes_of_the_last():
    rows = [
        recipe("a", "0", mean_em_rate="", such_seeds_low="", such_seeds_high=""),
        recipe("a", "9"),
        recipe("b", "9", n_seeds="1"),
    ]
    runs = [{**row, "seed": seed, "n_denominator": "40", "n_questions_counted": "8"} for row in rows for seed in "01"]
    text = latex_tables.rates(rows, runs)
    assert cells(text)[:2] == [["a", "0", "", "2", "8", "80"], ["a", "9", "25.0 {[}1.0, 80.0{]}", "2", "8", "80"]]
    assert "Stage em, condition c, questions q 1, judge j" in text and "hw0, all questions" in text
    last = latex_tables.recipes([*rows[:2], recipe("b", "9", n_seeds="1", sd="", such_seeds_low="")])
    assert cells(last) == [
        ["a", "2", "25.0 {[}1.0, 80.0{]}", "10.0", "15.0 to 35.0", "this recipe"],
        ["b", "1", "25.0", "", "", "this run only"],
    ]
    assert cells(latex_tables.recipes([])) == [], "a study without such questions still has its tables"


CONTRAST = {
    "contrast": "x",
    "hypothesis": "50% & more",
    "difference": "-0.123",
    "difference_low": "-0.2",
    "measure": "em_rate",
}
CONTRAST |= {
    "difference_high": "-0.01",
    "p_holm": "0.0004",
    "verdict": "supported",
    "estimand": "this recipe",
    "n_a": "9",
}
CONTRAST |= {"n_b": "8", "n_questions": "4", "n_seeds_a": "3", "n_seeds_b": "2", "definition": "hw0", "scope": "all"}


def test_contrasts_and_their_models():
    run = CONTRAST | {"hypothesis": "x", "p_holm": "", "verdict": "this run only", "measure": "mean_alignment"}
    first, second = cells(latex_tables.contrasts([CONTRAST, run]))
    assert first[:2] == ["50\\% \\& more", "$-$12.3 {[}$-$20.0, $-$1.0{]}"]
    assert first[2:] == ["\\textless{} 0.001, supported", "this recipe", "4 questions; 9, 8 responses; seeds 3, 2"]
    assert second[:3] == ["x", "$-$0.1 {[}$-$0.2, $-$0.0{]}", "this run only"]
    fitted = CONTRAST | {
        "log_odds_ratio": "1.5",
        "log_odds_ratio_low": "0.5",
        "log_odds_ratio_high": "2.5",
        "status": "fitted",
    }
    fitted |= {"sd_question": "0.812", "sd_seed": ""}
    none = fitted | {"log_odds_ratio": "", "sd_question": "", "estimand": "", "status": "not estimable: no events in b"}
    first, second = cells(latex_tables.mixed_model([fitted | {"hypothesis": "y"}, none | {"hypothesis": "y"}]))
    assert first[:3] == ["y", "1.50 {[}0.50, 2.50{]}", "0.81"] and second[1:4] == [
        "",
        "",
        "not estimable: no events in b",
    ]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_takes_it(tmp_path):
    made = [
        table([Column("A"), Column("B", 0.5)], [[NASTY.replace("ünï", ""), NASTY]] * n, NASTY, f"t{n}")
        for n in (3, PAGE + 1)
    ]
    head = "\\documentclass{article}\\usepackage{array,booktabs,longtable}\\begin{document}"
    (tmp_path / "x.tex").write_text(head + "".join(made) + "\\end{document}", encoding="utf-8")
    done = subprocess.run(["pdflatex", "-halt-on-error", "x.tex"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
