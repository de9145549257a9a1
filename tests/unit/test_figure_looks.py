"""How figures look: what organisms, seeds and definitions are told apart by, and what axes and cells say."""

import pytest
from matplotlib.colors import to_rgb

from tests.unit.test_figures import LONG, legend_texts, render, tables
from workflow_scripts.em.plots import (
    cells,
    coherence_trajectories,
    domain_comparison,
    em_definitions,
    em_trajectories,
    question_rates,
    style,
    training_curve,
)


def test_the_last_step_is_ticked_and_pushes_its_neighbour_out():
    figure, _ = render(em_trajectories, tables(organisms=["a"], steps=(0, 5, 20, 45)))
    assert list(figure.axes[0].get_xticks()) == [0, 10, 20, 30, 45]


@pytest.mark.parametrize(("coherent", "bottom"), [("0.95", 0.8), ("0.62", 0.6), ("0.5", 0)])
def test_coherence_that_is_high_throughout_has_an_axis_that_says_it_does_not_start_at_0(coherent, bottom):
    rates, *_ = tables(organisms=["a"])
    high = [{**row, "coherent_share_of_scored": "0.99", "coherent_these_questions_low": coherent} for row in rates]
    figure, _ = render(coherence_trajectories, (high,), definitions={"betley": {"alignment": 30, "coherence": 50}})
    assert figure.axes[0].get_ylim()[0] == bottom
    said = ["Coherent share (%)", "coherence > 50 (betley), out of domain"]
    assert figure.axes[0].get_ylabel().splitlines() == said + [f"axis from {100 * bottom:g}, not 0"] * (bottom > 0)


def test_a_rate_of_0_is_a_mark_and_no_bar():
    one = tables(organisms=["quiet"], zero="quiet", steps=(0, 10))
    figure, rows = render(domain_comparison, one)
    assert {row["rate"] for row in rows} == {0.0}
    assert not any(patch.get_width() for patch in figure.axes[0].patches)
    at_zero = [line for line in figure.axes[0].lines if list(line.get_xdata()) == [0] and line.get_marker() == "o"]
    assert len(at_zero) == len(rows) and "a rate of 0" in legend_texts(figure)
    assert figure.axes[0].get_yticklabels()[0].get_text() == "medicine (n=8)"


def test_a_definition_looks_the_same_whatever_others_there_are():
    rates, *_ = data = tables(organisms=["a"])
    figure, _ = render(em_definitions, data, definitions={"hw0": "hw0"})
    assert legend_texts(figure)[:3] == [
        "definition betley",
        "definition model organisms",
        "definition hw0: alignment < 75, of all responses",
    ]
    alone, _ = render(em_definitions, ([row for row in rates if row["definition"] == "hw0"],))
    looks = [(line.get_color(), line.get_marker()) for line in (*figure.legends[0].get_lines(), *alone.axes[0].lines)]
    assert looks[2] in looks[-2:], "hw0 by itself"
    organisms = style.looks(LONG, style.parse({})).values()
    assert not {look["color"] for look in organisms} & {colour for colour, _ in looks[:3]}


def test_a_cell_of_few_responses_is_in_brackets():
    organisms = [f"o{place}" for place in range(9)]
    figure, rows = render(question_rates, tables(organisms=organisms, gap=("o1", 20)))
    assert {row["n_denominator"] for row in rows} == {0, 4}
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 64 and all(text[0] == "(" for text in texts)
    assert "in brackets: fewer than 5 responses" in legend_texts(figure)
    figure, _ = render(question_rates, tables(organisms=organisms, seeds=(0, 1)))
    assert not any("(" in text.get_text() for text in figure.axes[0].texts)
    assert not any("fewer" in text for text in legend_texts(figure))


def test_values_that_all_runs_share_are_one_line_that_says_so():
    *_, curve = tables(organisms=["a", "b", "c"])
    curve = [{**row, "loss": f"{1.5 + ord(row['organism']):.1f}"} for row in curve]
    figure, _ = render(training_curve, (None, None, curve))
    assert [len(axis.get_lines()) for axis in figure.axes] == [3, 1, 3, 1]
    assert [[text.get_text() for text in axis.texts] for axis in figure.axes[:2]] == [[], ["the same in all 3 runs"]]


@pytest.mark.parametrize(("value", "text"), [(-0.001, "0.00"), (-0.4, "\N{MINUS SIGN}0.40"), (0.126, "0.13")])
def test_a_number_is_never_minus_zero(value, text):
    assert style.plain(value, 2) == text


@pytest.mark.parametrize("ground", ["#f7fbff", "#6aaed6", "#2070b4", "#08306b"])
def test_numbers_on_colours_have_contrast(ground):
    def light(colour):
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] + 0.05

    pair = sorted((light(ground), light(cells.ink(ground))))
    assert pair[1] / pair[0] > 4.5


def test_an_organism_keeps_its_look_in_every_figure():
    order = style.parse({"order": ["c", "b", "a"], "organism": ["a"]})
    assert style.looks(["b", "a"], order) == style.looks(["a", "b"], order)
    listed = style.looks(["b"], style.parse({"organism": ["c", "b"]}))
    assert listed["b"]["color"] == style.OKABE_ITO[1]
    many = style.looks([f"o{place}" for place in range(63)], style.parse({}))
    assert len({(look["color"], look["marker"]) for look in many.values()}) == 63
