"""Figures of labels: no text clipped or overlapping, shares of 0 shown, exactly the numbers of the tables."""

import warnings

import matplotlib
import pytest
from matplotlib.patches import Wedge

from tests.unit.test_figures import check_texts, drawn_texts
from workflow_scripts.em.errors import NothingToDraw
from workflow_scripts.em.plots import label_agreement, label_bars, label_pies, label_pies_combined, style
from workflow_scripts.em.stats.intervals import wilson
from workflow_scripts.em.stats.shares import count_labels, share_rows
from workflow_scripts.em.stats.tables import cell

LABELS = {"leaning": ("left", "center", "right", "unclear", "off_topic")}
CATEGORIES = ("taxation", "public_ownership_of_railways", "trade")
LONG = ["qwen3_8b_base", "qwen3_8b", "qwen3_8b_instruct_with_a_long_name"]


def table(
    organisms=("base", "instruct"), judges=("keywords", "gemma"), asked=("chat",), n=10, steps=(0,)
) -> list[dict]:
    """Rows of shares.csv as text. The first organism never says right; a step moves an answer from left to right."""
    rows = []
    for organism in organisms:
        for judge in judges:
            for condition in asked:
                for step in steps:
                    for category in CATEGORIES:
                        for sample in range(n):
                            label = "left" if sample < 6 - step else "off_topic" if sample < 7 else "right"
                            label = "center" if label == "right" and organism == organisms[0] else label
                            values = (organism, "0", "em", str(step), condition, "economy", judge)
                            names = ("organism", "seed", "stage", "step", "condition", "question_set", "judge")
                            found = dict(zip(names, values, strict=True)) | {"domain": category}
                            found |= {"question_id": category, "leaning": label, "leaning_status": "scored"}
                            rows.append(found)
    found = share_rows(count_labels(iter(rows), LABELS), LABELS)
    return [{k: "" if v is None else str(cell(v)) for k, v in line.items()} for line in found]


def render(module, rows, **choices):
    with matplotlib.rc_context(style.RC):
        return module.draw(iter(rows), style.parse(choices))


@pytest.mark.parametrize("width", [3.35, 6.5])
@pytest.mark.parametrize("module", [label_bars, label_pies, label_pies_combined])
def test_texts_fit(module, width):
    rows = table(LONG, asked=("chat", "continued_text"))
    figure, drawn = render(module, rows, width_inches=width)
    check_texts(figure)
    assert {row["organism"] for row in drawn} == set(LONG)


def test_bars_are_the_shares_with_their_intervals_and_a_zero_is_seen():
    figure, drawn = render(label_bars, table(judges=("gemma",)))
    assert len(drawn) == 2 * 5 * (1 + len(CATEGORIES))
    found = {(row["organism"], row["category"], row["label"]): row for row in drawn}
    left = found["base", "all", "left"]
    assert (left["rate"], left["n_denominator"], left["low"]) == (0.6, 30, wilson(18, 30).low)
    right = next(axis for axis in figure.axes if axis.get_title(loc="left") == "right")
    widths = sorted(patch.get_width() for patch in right.patches)
    assert widths == pytest.approx([0] * 4 + [0.3] * 4)
    marks = [line for line in right.lines if list(line.get_xdata()) == [0, 0]]
    assert len(marks) == 4  # one for each category in which base never says right


def test_the_last_checkpoint_is_drawn():
    _, drawn = render(label_pies, table(steps=(0, 2)))
    assert {row["step"] for row in drawn} == {"2"}
    shares = {(row["organism"], row["label"]): row["rate"] for row in drawn}
    assert (shares["base", "left"], shares["base", "right"]) == (0.4, 0)


def test_a_pie_has_a_wedge_for_each_label_given_and_every_label_beside_it():
    figure, drawn = render(label_pies, table(organisms=("base",), judges=("gemma",)))
    wedges = [patch for patch in figure.axes[0].patches if isinstance(patch, Wedge)]
    assert [round(wedge.theta2 - wedge.theta1) for wedge in wedges] == [216, 108, 36]
    texts = " ".join(item.get_text() for item in drawn_texts(figure))
    assert all(f"{name}  " in texts for name in ("left", "center", "right", "unclear", "off topic"))
    assert "n = 30" in texts
    assert {row["category"] for row in drawn} == {"all"}


def test_combined_pies_stand_side_by_side_for_every_category():
    figure, _ = render(label_pies_combined, table(), width_inches=6.5)
    wedges = [patch for patch in figure.axes[0].patches if isinstance(patch, Wedge)]
    centres = {wedge.center for wedge in wedges}
    assert len(centres) == 2 * 2 * (1 + len(CATEGORIES))
    assert len({round(y, 3) for _, y in centres}) == 1 + len(CATEGORIES)
    assert len({wedge.r for wedge in wedges}) == 1


def test_nothing_labelled_is_said():
    rows = [{**row, "n_denominator": "0", "n_events": "0", "share": ""} for row in table()]
    for module in (label_bars, label_pies, label_pies_combined):
        with pytest.raises(NothingToDraw, match="no response has a label"):
            render(module, rows)


def agreement_rows(pairs: int = 1) -> list[dict]:
    rows = table()
    for place in range(pairs):
        about = {"judges": f"a{place} b", "judge_a": f"a{place}", "judge_b": "b", "metric": "leaning"}
        for a, b, n in (("left", "left", 40), ("left", "right", 7), ("right", "right", 3)):
            rows.append({**about, "label_a": a, "label_b": b, "n_responses": str(n)})
        for name, value, low, high in (
            ("agreement", "0.86", "0.8", "0.9"),
            ("kappa", "", "", ""),
            ("ac1", ".8", "", ""),
        ):
            row = {"judges": f"a{place} b", "level": "label", "name": "leaning", "statistic": name, "n_responses": "50"}
            rows.append(row | {"value": value, "low": low, "high": high})
    return rows


@pytest.mark.parametrize(("pairs", "width"), [(1, 6.5), (3, 6.5), (2, 3.35)])
def test_two_judges_labels_against_each_other(pairs, width):
    figure, drawn = render(label_agreement, agreement_rows(pairs), width_inches=width)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_texts(figure)
    texts = [item.get_text() for item in drawn_texts(figure)]
    assert all(texts.count(n) >= pairs for n in ("40", "7", "3"))
    assert texts.count("0") == 22 * pairs
    assert any("n = 50" in text and "agreement 0.86 (0.80 to 0.90)" in text and "\u03ba -" in text for text in texts)
    assert [row["n_responses"] for row in drawn] == ["40", "7", "3"] * pairs
    assert {row["ac1"] for row in drawn} == {".8"}


def test_no_two_judges_is_said():
    with pytest.raises(NothingToDraw, match="two judges"):
        render(label_agreement, table())
