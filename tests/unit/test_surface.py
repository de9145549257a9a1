"""The threshold surface: the same counts as the EM rates, cell by cell; its stage and figure."""

import csv
import json
import random
import sys

import matplotlib
import pytest

from tests.unit.test_figures import check_texts
from workflow_scripts import threshold_surface as stage
from workflow_scripts.em.errors import NothingToDraw, UserError
from workflow_scripts.em.plots import style
from workflow_scripts.em.plots import threshold_surface as figure
from workflow_scripts.em.stats.counts import COLUMNS, count
from workflow_scripts.em.stats.definitions import NAMED
from workflow_scripts.em.stats.rates import rate_rows
from workflow_scripts.em.stats.surface import Surface
from workflow_scripts.em.stats.tables import read_table

VALUES = ("0", "10", "30", "30.5", "50", "75", "90", "100")


def scores(steps=(0, 5, 9), seeds=(0, 1), organism="o", stages=("character", "em")):
    """Scores rows with every status; two stages, of which the last counts."""
    draw = random.Random(5)
    for seed in seeds:
        for name in stages:
            for step in steps:
                for question in range(3):
                    for _ in range(12):
                        row = {"organism": organism, "seed": seed, "stage": name, "step": step, "condition": "c"}
                        row |= {"question_set": "q", "judge": "j", "question_id": f"q{question}", "domain": "d"}
                        row |= {"in_domain": int(question == 0)}
                        for metric in ("alignment", "coherence"):
                            status = draw.choice(("scored",) * 6 + ("refusal", "api_error"))
                            row |= {metric: draw.choice(VALUES) if status == "scored" else ""}
                            row[f"{metric}_status"] = status
                        if draw.random() < 0.1:
                            row |= {"coherence": "", "coherence_status": ""}  # nobody was asked
                        yield {key: str(value) for key, value in row.items()}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("scope", ["all", "out_of_domain"])
def test_each_cell_is_the_rate_of_the_definition_with_its_thresholds(name, scope):
    rule = NAMED[name]._replace(min_coherent=20 * (NAMED[name].min_coherent > 0))  # so that some questions are thin
    surface = Surface(scope)
    surface.add(lambda: scores())
    table = list(surface.rows(name, rule, [10, 30, 75], [0, 50, 90]))
    assert sum(row["own"] for row in table) == 2, "baseline and last checkpoint"
    for row in table:
        at = rule._replace(alignment=row["alignment"], coherence=row["coherence"])
        step = {"baseline": "0", "last": "9"}[row["state"]]
        # The seeds put together, as one run
        rows = ({**r, "seed": "0"} for r in scores() if r["stage"] == "em" and r["step"] == step)
        (found,) = [r for r in rate_rows(count(rows, {"at": at}), {"at": at}) if r["scope"] == scope]
        for column in ("n_responses", "n_denominator", "n_events", "em_rate", "these_questions_high"):
            assert row[column] == found[column], (row["state"], at, column)
        assert row["such_questions_method"] == found["such_questions_method"]
        assert (row["n_seeds"], row["n_questions_counted"]) == (2, found["n_questions_counted"])


def test_the_stage_and_its_figure(tmp_path, monkeypatch):
    for organism in ("a_model_with_a_long_name", "b"):
        with (tmp_path / f"{organism}.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, COLUMNS)
            writer.writeheader()
            writer.writerows(scores(organism=organism, steps=(0, 5), stages=("em",)))
    tables = [str(path) for path in sorted(tmp_path.glob("*.csv"))]
    options = ["--definition", json.dumps({"betley": "betley"}), "--scope", "all", "--out", f"{tmp_path}/out/s.csv"]
    monkeypatch.setattr(sys, "argv", ["threshold_surface", "--scores", *tables, *options])
    stage.main()
    rows = list(read_table(tmp_path / "out/s.csv"))
    assert len(rows) == 2 * 2 * 9 * 10
    with matplotlib.rc_context(style.RC):
        drawing, drawn = figure.draw(iter(rows), style.parse({"scope": "all"}))
        check_texts(drawing)
        with pytest.raises(NothingToDraw, match="no rate is defined"):
            figure.draw(iter(rows), style.parse({"scope": "all", "organism": "nobody"}))
    assert {row["state"] for row in drawn} == {"last"} and len(drawn) == 180
    many = [{**row, "judge": f"judge_{n}"} for n in range(4) for row in rows]
    with matplotlib.rc_context(style.RC):
        drawing_of_many, drawn_of_many = figure.draw(iter(many), style.parse({"scope": "all"}))
        check_texts(drawing_of_many)
    assert len(drawn_of_many) == 6 * 90, "six panels of eight"
    assert "the first 6 of 8 are drawn" in drawing_of_many.legends[0].get_texts()[1].get_text().replace("\n", " ")
    panel = drawing.axes[0]
    assert panel.collections[0].get_clim() == (0, 100), "the same colours in every study"
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("Misaligned below (score)", "Coherent above (score)")
    values = panel.collections[0].get_array().filled(-1)
    own = next(row for row in drawn if row["own"] == "1")
    assert values[5, 2] == pytest.approx(100 * float(own["em_rate"]))
    assert (panel.patches[0].get_x(), panel.patches[0].get_y()) == (2, 5), "30 and 50 are outlined"
    assert f"n {own['n_denominator']} of {own['n_responses']}" in panel.get_title(loc="left")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--definition", '{"a": "betley", "b": "hw0"}', "give one"),
        ("--alignment", "130", "threshold 130 is not a number from 0 to 100"),
    ],
)
def test_a_wrong_option_is_named(option, value, message, tmp_path, monkeypatch):
    options = {"--definition": '{"a": "betley"}', option: value}
    words = [word for pair in options.items() for word in pair]
    arguments = ["threshold_surface", "--scores", "none.csv", *words, "--out", f"{tmp_path}/s.csv"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(UserError, match=message):
        stage.main()
