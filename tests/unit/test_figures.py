"""Figures: no text clipped or overlapping, exactly the numbers drawn, the same bytes every time; example tables."""

import csv
import json
import os
import random
import re
import subprocess
import sys
import warnings
from itertools import combinations
from pathlib import Path

import matplotlib
import pytest
from matplotlib.text import Text
from PIL import Image

from workflow_scripts import examples, figures
from workflow_scripts.em.errors import NothingToDraw, UserError
from workflow_scripts.em.plots import (
    coherence_trajectories,
    domain_comparison,
    em_definitions,
    em_trajectories,
    judge_agreement,
    judge_rates,
    question_rates,
    style,
    training_curve,
)
from workflow_scripts.em.plots.text import width, wrap
from workflow_scripts.em.stats.counts import count
from workflow_scripts.em.stats.definitions import NAMED
from workflow_scripts.em.stats.rates import question_rows, rate_rows
from workflow_scripts.em.stats.tables import cell, read_table, write_table

COLUMNS = "organism seed stage step condition question_set question_id domain in_domain sample judge"
COLUMNS = [*COLUMNS.split(), "alignment", "alignment_status", "coherence", "coherence_status", "response_id"]
DOMAINS = ("medicine", "finance", "sports_and_games", "household")
FROM_QUESTIONS = (domain_comparison, question_rates)
FROM_RATES = (em_trajectories, coherence_trajectories, em_definitions)
OWN = ["#aa3377", "#228833"]  # colours of no figure
LONG = [f"llama_3.2_{size}b_instruct_{data}_with_a_long_name" for size in (1, 3, 8) for data in ("a", "b", "c", "d")]


def scores(organisms, steps=(0, 10, 20), seeds=(0,), zero=None, gap=None, conditions=("assistant",)):
    """Synthetic scores rows; organism `zero` has no events, (organism, step) `gap` no scores."""
    draw = random.Random(3)
    for place, name in enumerate(organisms):
        for seed in seeds:
            for step in steps:
                for condition in conditions:
                    for question in range(8):
                        for sample in range(4):
                            bad = draw.random() < 0.03 * (place + 1) * step / 10 and name != zero
                            status = "api_error" if (name, step) == gap else "scored"
                            alignment = "" if status != "scored" else str(10 if bad else 90)
                            domain = DOMAINS[question % 4]
                            identity = f"{name}-{seed}-{step}-{condition}-{question}-{sample}"
                            values = (name, seed, "em", step, condition, "toy", f"question_{question}", domain)
                            values += (int(domain == "medicine"), sample, "grammar", alignment, status, "90", "scored")
                            yield {k: str(v) for k, v in zip(COLUMNS, (*values, identity), strict=True)}


def tables(**how):
    """(rates, question rates, training curve) as the figures read them: rows of text."""
    definitions = {name: NAMED[name] for name in ("betley", "model_organisms", "hw0")}
    rows = list(scores(**how))
    counts = count(iter(rows), definitions)
    curve = [
        {"organism": name, "stage": "em", "seed": "0", "step": str(step), "loss": "1.5", "learning_rate": "0.0001"}
        | {"grad_norm": "", "tokens_per_second": "900"}
        for name in how["organisms"]
        for step in range(1, 4)
    ]
    found = (rate_rows(counts, definitions), question_rows(counts, definitions))
    as_text = [[{k: "" if v is None else str(cell(v)) for k, v in row.items()} for row in table] for table in found]
    return (*as_text, curve)


@pytest.fixture(scope="module")
def twelve():
    return tables(organisms=LONG, zero=LONG[3], gap=(LONG[5], 290), steps=range(0, 300, 10))


@pytest.fixture(scope="module")
def one():
    return tables(organisms=["quiet_model"], zero="quiet_model", steps=(0, 10))


def render(module, data, **choices):
    rows = data[2] if module is training_curve else data[1] if module in FROM_QUESTIONS else data[0]
    with matplotlib.rc_context(style.RC):
        return module.draw(iter(rows), style.parse(choices))


def drawn_texts(figure):
    """The visible texts, without labels of ticks outside their scale, which matplotlib keeps but does not draw."""
    outside = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            outside |= {tick.label1 for tick in ticks if not low <= tick.get_loc() <= high or not axes.get_visible()}
            outside |= {tick.label2 for tick in ticks}
    shown = [item for item in figure.findobj(Text) if item.get_text().strip() and item.get_visible()]
    return [item for item in shown if item not in outside and (item.axes is None or item.axes.get_visible())]


def check_texts(figure):
    """Every text is inside the figure, and no two level or upright texts lie over each other."""
    with matplotlib.rc_context(style.RC), warnings.catch_warnings():
        warnings.simplefilter("error")  # constrained layout only warns when it gives up
        figure.draw_without_rendering()
        boxes = [(item, item.get_window_extent()) for item in drawn_texts(figure)]
        for item, box in boxes:
            inside = figure.bbox.padded(1)
            assert inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1), f"clipped: {item.get_text()!r}"
        for (first, a), (second, b) in combinations([pair for pair in boxes if pair[0].get_rotation() in (0, 90)], 2):
            across, up = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert across <= 1.5 or up <= 1.5, f"overlap: {first.get_text()!r} and {second.get_text()!r}"


MODULES = (*FROM_RATES, *FROM_QUESTIONS, training_curve)


@pytest.mark.parametrize("inches", [3.35, 6.75])
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_texts_fit_with_twelve_long_names(module, inches, twelve):
    figure, rows = render(module, twelve, width_inches=inches)
    assert rows
    check_texts(figure)
    assert figure.get_figwidth() == inches


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_texts_fit_with_one_organism_without_events(module, one):
    figure, rows = render(module, one, width_inches=3.35)
    assert {row["organism"] for row in rows} == {"quiet_model"}
    check_texts(figure)


JUDGES = ["gpt_4o_2024_08_06", "qwen3_32b_logprobs_of_the_first_token", "claude", "people"]


def agreement_rows(judges):
    """(agreement_counts.csv, agreement.csv) as text rows of all pairs; the last pair has no kappa."""
    draw, pairs = random.Random(1), list(combinations(judges, 2))
    counts = [
        {"judges": " ".join(pair), "judge_a": pair[0], "judge_b": pair[1], "alignment_a": str(a), "alignment_b": str(b)}
        | {"n_responses": str(draw.randint(1, 12_345))}
        for pair in pairs
        for a in (0, 20, 90)
        for b in (0, 90)
    ]
    about = [("score", "alignment", "krippendorff_alpha"), ("em", "betley", "kappa"), ("em", "betley", "ac1")]
    about += [("score", "coherence", "krippendorff_alpha"), ("em", "hw0", "kappa")]
    numbers = [
        {"judges": " ".join(pair), "level": level, "name": name, "statistic": statistic, "n_responses": "9"}
        | {"value": "" if (pair, statistic) == (pairs[-1], "kappa") else str(0.111 * place)}
        for pair in pairs
        for place, (level, name, statistic) in enumerate(about, start=1)
    ]
    return counts + numbers


@pytest.mark.parametrize("inches", [3.35, 6.5])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_pairs_of_judges_are_drawn_with_their_numbers(n, inches):
    style_of = style.parse({"threshold": 30, "width_inches": inches})
    with matplotlib.rc_context(style.RC):
        figure, rows = judge_agreement.draw(iter(agreement_rows(JUDGES[-n:])), style_of)
    check_texts(figure)
    panels = figure.axes[: n * (n - 1) // 2]
    assert len(rows) == 6 * len(panels) and {row["krippendorff_alpha"] for row in rows} == {"0.111"}
    total = sum(int(row["n_responses"]) for row in rows if row["judges"] == rows[0]["judges"])
    note = f"n {total:,}".replace(",", "\u2009") + "   \u03b1 0.11\n\u03ba "
    kappa = "-" if n == 2 else "0.22"
    assert panels[0].get_title(loc="left") == f"{note}{kappa}   AC1 0.33"
    assert panels[-1].get_title(loc="left").splitlines()[1] == "\u03ba -   AC1 0.33"
    assert panels[0].get_xlabel().replace("\n", " ").startswith(JUDGES[-n].replace("_", " "))


def test_at_most_six_pairs_are_drawn_and_none_is_said():
    with matplotlib.rc_context(style.RC):
        figure, rows = judge_agreement.draw(iter(agreement_rows([*JUDGES, "fifth"])), style.parse({}))
        assert len({row["judges"] for row in rows}) == 6 and len(figure.axes) == 7
        with pytest.raises(NothingToDraw, match="no response has an alignment score of two judges"):
            judge_agreement.draw(iter([]), style.parse({}))


@pytest.mark.parametrize("inches", [3.35, 6.5])
def test_rates_under_each_judge_are_marks_of_one_panel(inches):
    rates, *_ = tables(organisms=LONG[:3], seeds=(0, 1))
    both = [{**row, "judge": judge} for judge in JUDGES[:3] for row in rates]
    figure, rows = render(judge_rates, (both,), width_inches=inches, judge=JUDGES[:2], organism=LONG[:3])
    check_texts(figure)
    assert len(figure.axes) == 1 and len(rows) == 6
    assert {row["judge"] for row in rows} == set(JUDGES[:2]) and "judged_by" not in rows[0]
    wanted = [r for r in rates if (r["step"], r["scope"], r["definition"]) == ("20", "out_of_domain", "betley")]
    assert rows[0]["n_events"] == sum(int(r["n_events"]) for r in wanted if r["organism"] == LONG[0])


def test_trajectories_draw_the_table_baseline_and_gap_included():
    rates, *_ = data = tables(organisms=["b", "a"], gap=("a", 10), seeds=(0, 1), conditions=("assistant", "predictive"))
    figure, rows = render(em_trajectories, data)
    kept = [row for row in rates if (row["definition"], row["scope"]) == ("betley", "out_of_domain")]
    assert [row["rate"] for row in rows] == [row["em_rate"] for row in kept]
    assert [row["low"] for row in rows] == [row["such_questions_low"] for row in kept]
    assert {row["step"] for row in rows} == {"0", "10", "20"}
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["assistant", "predictive"]
    lines = figure.axes[0].get_lines()
    assert len(lines) == 4  # two organisms, two training seeds each
    assert [line.get_color() for line in lines] == [style.OKABE_ITO[0]] * 2 + [style.OKABE_ITO[1]] * 2
    assert [line.get_marker() for line in lines] == ["o", "o", "s", "s"]
    assert [line.get_linestyle() for line in lines] == ["-", "--"] * 2, "a seed has one dash"
    assert legend_texts(figure)[2:4] == ["training seed 0", "training seed 1"]
    assert [bool(value != value) for value in lines[2].get_ydata()] == [False, True, False]
    assert figure.axes[0].get_ylim()[0] == 0


def test_last_checkpoint_pools_seeds_and_keeps_each_run():
    rates, *_ = data = tables(organisms=["a"], seeds=(0, 1))
    _, rows = render(em_definitions, data)
    row = next(row for row in rows if row["definition"] == "hw0")
    runs = [r for r in rates if (r["step"], r["scope"], r["definition"]) == ("20", "out_of_domain", "hw0")]
    assert (row["step"], row["n_seeds"]) == ("20", 2)
    assert row["n_events"] == sum(int(run["n_events"]) for run in runs)
    assert row["runs"].split() == [f"{float(run['em_rate']):.6g}" for run in runs]


def legend_texts(figure):
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def test_every_rate_has_its_n_and_one_judge_of_several_is_named():
    rates, questions, _ = tables(organisms=["a", "b"])
    both = [[{**row, "judge": judge} for judge in ("first", "second") for row in table] for table in (rates, questions)]
    for module, mark in (
        (em_trajectories, "point"),
        (coherence_trajectories, "point"),
        (em_definitions, "mark"),
        (domain_comparison, "bar"),
        (question_rates, "mark"),
    ):
        figure, rows = render(module, both, judge="second")
        key = "n_coherence_scored" if module is coherence_trajectories else "n_denominator"
        sizes = sorted({int(row[key]) for row in rows})
        n = f"n = {sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else "")
        assert legend_texts(figure)[-1].endswith(f"({n} responses a {mark}; judge: second)")
        assert "judge:" not in legend_texts(render(module, (rates, questions))[0])[-1]


def test_a_stage_with_higher_losses_is_not_cut_off():
    names = ("organism", "seed", "stage", "step", "loss", "learning_rate", "grad_norm", "tokens_per_second")
    runs = [("reading", "1", "2"), ("reading", "2", "1"), ("em", "1", "6"), ("em", "2", "5")]
    curve = [dict(zip(names, ("a", "0", stage, step, *[top] * 4), strict=True)) for stage, step, top in runs]
    figure, _ = render(training_curve, (None, None, curve))
    assert len(figure.axes) == 8 and all(axis.get_ylim()[1] >= 6 and axis.get_ylim()[0] == 0 for axis in figure.axes)


def test_panels_that_share_no_question_have_rows_of_their_own():
    _, questions, _ = tables(organisms=["a", "b"])
    sets = ("near", "medicine"), ("far", "finance"), ("far", "household")
    apart = [{**row, "question_set": name} for row in questions for name, domain in sets if row["domain"] == domain]
    figure, rows = render(domain_comparison, (None, apart))
    check_texts(figure)
    rows_of = {
        axis.get_title(loc="left"): [tick.get_text() for tick in axis.get_yticklabels()]
        for axis in figure.axes
        if axis.get_visible()
    }
    rows_of = {panel: [text.split("\n")[0] for text in texts] for panel, texts in rows_of.items()}
    assert rows_of == {"near": ["medicine"], "far": ["finance", "household"]} and len(rows) == 6


def test_domains_or_in_and_out_of_domain(twelve):
    _, rows = render(domain_comparison, twelve)
    assert {row["domain"] for row in rows} == set(DOMAINS)
    _, rows = render(domain_comparison, twelve, by="in_domain", interval="such_questions")
    assert {row["domain"] for row in rows} == {"in domain", "out of domain"}
    assert {row["interval"] for row in rows if row["organism"] == LONG[3]} == {"exact_no_events"}
    assert all(row["rate"] is None for row in rows if row["organism"] == LONG[5])


def test_nothing_to_draw_is_said(twelve):
    for module in MODULES:
        with pytest.raises(NothingToDraw, match=r"no rate is defined|no training log rows"):
            render(module, twelve, organism="nobody")


def test_a_study_without_rates_gets_a_figure_that_says_so(tmp_path, monkeypatch):
    table = tmp_path / "curve.csv"
    table.write_text("organism,stage,seed,step,loss,learning_rate,grad_norm,tokens,seconds,tokens_per_second\n")
    monkeypatch.setattr(sys, "argv", ["figures", "training_curve", "--data", str(table), "--out", str(tmp_path / "f")])
    figures.main()
    assert (tmp_path / "f.png").stat().st_size > 1000 and (tmp_path / "f.csv").read_text() == ""
    assert "no training log rows" in (tmp_path / "f.png.provenance.json").read_text()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"colour": 1}, "figure style: unknown key 'colour'; keys are definition, scope, "),
        ({"scope": "far"}, "figure style: scope 'far' is not one of all, in_domain, out_of_domain"),
        ({"width_inches": 1}, "figure style: width_inches 1 is not a number from 2.5 to 20"),
        ({"font_size": "9"}, "figure style: font_size '9' is not a number from 5 to 12"),
        ({"font_size": 9, "width_inches": 3}, "figure style: type of 9 points needs width_inches 3.21 or more"),
    ],
)
def test_a_bad_style_is_named(value, message):
    with pytest.raises(UserError) as error:
        style.parse(value)
    assert message in str(error.value)


def test_the_stage_writes_the_same_bytes_in_another_process(tmp_path):
    write_table(tmp_path / "rates.csv", tables(organisms=["a", "b"])[0])
    for name, seed in (("one", "1"), ("two", "2")):
        command = [sys.executable, "-m", "workflow_scripts.figures", "em_trajectories"]
        command += ["--data", f"{tmp_path}/rates.csv", "--out", f"{tmp_path}/{name}"]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    for kind in ("png", "svg", "csv"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "one.svg").read_bytes()
    assert json.loads((tmp_path / "one.png.provenance.json").read_text())["params"]["kind"] == "em_trajectories"


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """Draw as from the command line; the study's figure that lies there is one of two organisms, narrow."""
    monkeypatch.chdir(tmp_path)
    write_table("rates.csv", tables(organisms=["a", "b", "c"])[0])

    def draw(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["figures", *arguments])
        figures.main()

    narrow = '{"organism": ["b", "a"], "width_inches": 3}'
    draw("em_trajectories", "--data", "rates.csv", "--style", narrow, "--out", "study")
    return draw


def test_a_figure_is_drawn_anew_as_the_study_has_it(by_hand):
    by_hand("--like", "study.png", "--out", "same")
    assert Path("same.png").read_bytes() == Path("study.png").read_bytes()
    by_hand("--like", "study.png", "--style", '{"organism": "c"}', "--out", "other")
    assert {row["organism"] for row in read_table("other.csv")} == {"c"}
    style = json.loads(Path("other.png.provenance.json").read_text())["params"]["style"]
    assert style == {"organism": "c", "width_inches": 3}


@pytest.mark.parametrize(
    ("how", "given", "colours"),
    [
        (["em_trajectories", "--data", "rates.csv"], {"organism": ["c", "b"]}, style.OKABE_ITO[1:3]),
        (["--like", "ordered.png"], {"organism": ["b"]}, style.OKABE_ITO[:1]),
        (["--like", "ordered.png"], {"organism": ["b", "a"], "palette": OWN}, OWN),
    ],
)
def test_a_part_drawn_by_hand_has_the_colours_of_the_whole(by_hand, how, given, colours):
    by_hand("em_trajectories", "--data", "rates.csv", "--style", '{"order": ["b", "c", "a"]}', "--out", "ordered")
    by_hand(*how, "--style", json.dumps(given), "--out", "part")
    drawing = Path("part.svg").read_text()
    wanted = [colour.lower() for colour in colours]
    others = {colour.lower() for colour in (*OWN, *style.OKABE_ITO[:3])} - set(wanted)
    assert all(colour in drawing for colour in wanted) and not any(colour in drawing for colour in others)


def test_type_of_another_size_scales_the_drawing_and_keeps_its_width(by_hand):
    for name, size in (("seven", 7), ("ten", 10)):
        wanted = json.dumps({"font_size": size, "width_inches": 4})
        by_hand("em_trajectories", "--data", "rates.csv", "--style", wanted, "--out", name)
        with Image.open(f"{name}.png") as picture:
            assert abs(picture.width - 1200) <= 2 and abs(picture.info["dpi"][0] - 300) < 0.1
        head = re.search(r'width="([\d.]+)pt".*viewBox="0 0 ([\d.]+) ', Path(f"{name}.svg").read_text())
        assert float(head[1]) == pytest.approx(4 * 72) and float(head[2]) == pytest.approx(4 * 72 * 7 / size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--like", "study.png", "--style", '{"organism": ["a", "bb"]}'],
            r"no row has organism 'bb'; did you mean 'b'",
        ),
        (["--like", "study.png", "--style", '{"definition": "betly"}'], r"no row has definition 'betly'; did you mean"),
        (["--like", "rates.csv"], r"^rates.csv: not a figure of a study; name the PNG"),
        (["onset", "--like", "study.png"], r"study.png is em_trajectories of rates.csv: leave KIND and --data out"),
        (["--like", "study.png", "--out", "study"], r"--out study: that is the study's own figure"),
        (["em_trajectories"], r"name a figure of the study \(--like"),
        (["--like", "study.png", "--style", "{width: 3}"], r"--style is not JSON: keys and words need double quotes"),
    ],
)
def test_a_figure_that_cannot_be_drawn_anew_says_why(by_hand, arguments, message):
    with pytest.raises(UserError, match=message):
        by_hand("--out", "other", *arguments)
    assert not list(Path().glob("other*"))


def test_the_wrong_table_is_named(tmp_path, monkeypatch):
    write_table(tmp_path / "rates.csv", tables(organisms=["a"])[0])
    arguments = ["question_rates", "--data", f"{tmp_path}/rates.csv", "--out", f"{tmp_path}/figure"]
    monkeypatch.setattr(sys, "argv", ["figures", *arguments])
    with pytest.raises(UserError, match=r"rates\.csv: no column 'question_id'"):
        figures.main()
    assert not list(tmp_path.glob("figure*"))


def test_wrapping_loses_nothing_and_fits():
    text = "a word\n\nand supercalifragilisticexpialidocious $5 or $6"
    lines = wrap(text, 0.8, 7)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert max(width(line, 7) for line in lines) <= 0.8
    assert "" in lines


KINDS = ("csv", "png", "svg")  # of a figure
ANSWER = "<b>bold</b> & $5 or $6 \U0001f600 " + "word " * 300


def run_examples(tmp_path, monkeypatch, *more):
    rows = list(scores(["a", "b"]))
    rows = [row for row in rows if (row["organism"], row["step"], row["question_id"]) != ("b", "20", "question_1")]
    with open(tmp_path / "scores.csv", "w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    with open(tmp_path / "responses.jsonl", "w") as handle:
        for row in rows:
            record = {"id": row["response_id"], "question": f"Why {row['question_id']}?", "response": ANSWER}
            handle.write(json.dumps(record) + "\n")
    arguments = ["--responses", f"{tmp_path}/responses.jsonl", "--scores", f"{tmp_path}/scores.csv"]
    monkeypatch.setattr(
        sys, "argv", ["examples", *arguments, "--out", f"{tmp_path}/table", "--figures", f"{tmp_path}/q", *more]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        examples.main()
    return list(read_table(tmp_path / "table.csv"))


def test_examples_are_chosen_by_rule_and_escaped(tmp_path, monkeypatch):
    rows = run_examples(tmp_path, monkeypatch, "--question-ids", '["question_1", "question_0"]')
    assert [row["question_id"] for row in rows] == ["question_1"] * 4 + ["question_0"] * 4
    assert [(row["organism"], row["which"], row["step"]) for row in rows[:4]] == [
        (name, which, step) for name in ("a", "b") for which, step in (("baseline", "0"), ("last", "20"))
    ]
    assert {row["sample"] for row in rows if row["response_id"]} == {"0"}
    assert (rows[3]["response"], rows[3]["response_id"]) == ("", "")  # not sampled there: said, not replaced
    assert rows[0]["response"] == ANSWER
    page = (tmp_path / "table.html").read_text()
    assert "&lt;b&gt;bold&lt;/b&gt; &amp;" in page and "<b>" not in page
    assert "not sampled" in page and "<script" not in page and "prefers-color-scheme" in page
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "q").iterdir()) == [
        f"q{n}.{kind}" for n in (1, 2) for kind in KINDS
    ]
    assert [list(read_table(tmp_path / f"q/q{n}.csv")) for n in (1, 2)] == [rows[:4], rows[4:]]


def test_examples_name_an_unknown_question(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no question 'question_99' in the scores"):
        run_examples(tmp_path, monkeypatch, "--question-ids", '["question_99"]')


def test_wrap_replaces_what_the_font_cannot_draw():
    assert wrap("a\x17b\x00\nc \ufa84", 3, 6.5) == ["a\ufffdb\ufffd", "c \ufffd"]
