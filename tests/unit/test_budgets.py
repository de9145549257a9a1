"""EM rate against the number of trained weights: which organisms are compared, the table's rows, the figure."""

import json
import math
from copy import deepcopy

import matplotlib
import pytest

from tests.unit.test_figures import check_texts, scores
from workflow_scripts import budgets
from workflow_scripts.em.budgets import budget_runs
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.errors import NothingToDraw, UserError
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plots import em_by_budget, style
from workflow_scripts.em.stats.budgets import budget_rows
from workflow_scripts.em.stats.counts import count
from workflow_scripts.em.stats.definitions import NAMED
from workflow_scripts.em.stats.rates import rate_rows, recipe_rows
from workflow_scripts.em.stats.tables import cell

LORA = {"r": 2, "alpha": 4}


def masked(raw: dict, **budgets: int | None) -> dict:
    """The raw config with an organism for each budget, all of them copies of `bad`."""
    found = deepcopy(raw)
    for name, budget in budgets.items():
        found["recipes"][f"to_{name}"] = found["recipes"]["constant"] | {"lora": LORA | {"budget": budget}}
        found["organisms"][name] = deepcopy(raw["organisms"]["bad"])
        found["organisms"][name]["stages"][0]["recipe"] = f"to_{name}"
    return found


def named(raw: dict) -> dict[str, set[str]]:
    """Series -> its organisms."""
    found: dict[str, set[str]] = {}
    for run in budget_runs(Plan(load_config(raw, []))):
        found.setdefault(run["series"], set()).add(run["organism"])
    return found


def test_a_series_is_what_differs_in_the_budget_alone(raw):
    assert named(raw) == {}
    both = masked(raw, small=10, large=100)
    assert named(both) == {"toy · bad": {"bad", "small", "large"}}
    runs = {run["organism"]: run for run in budget_runs(Plan(load_config(both, [])))}
    assert runs["small"]["step"] == 4 and runs["small"]["stage"] == "em"
    assert [runs[name]["budget"] for name in ("small", "large", "bad")] == [10, 100, None]
    folder = "results/tiny/organisms/small/seed-1/em/to-4"
    assert runs["small"]["segments"] == {0: folder.replace("seed-1", "seed-0"), 1: folder}


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"learning_rate": 0.5}},
        {"recipe": {"lora": {"r": 4, "alpha": 4, "budget": 100}}},
        {"stage": {"training_set": "good"}},
        {"stage": {"checkpoints": {"steps": [2]}}},
    ],
    ids=["learning rate", "rank", "rows", "steps"],
)
def test_what_differs_in_more_is_another_series(raw, change):
    both = masked(raw, small=10, other=100)
    both["recipes"]["to_other"] |= change.get("recipe", {})
    both["organisms"]["other"]["stages"][0] |= change.get("stage", {})
    series = named(both)
    assert {"other"} in series.values() and {"bad", "small"} in series.values()
    assert len(series) == 2  # two series never share a name


def test_what_is_not_evaluated_is_in_no_series(raw):
    both = masked(raw, small=10, unseen=100)
    both["organisms"]["unseen"]["stages"][0]["evaluate"] = False
    assert named(both) == {"toy · bad": {"bad", "small"}}


# --- the table

RUNS = [
    {"series": "toy · bad", "base": "toy", "training_set": "bad", "organism": name, "stage": "em", "step": 20}
    | {"budget": budget, "trained_parameters": weights}
    for name, budget, weights in (("whole", None, 5000), ("large", 1000, 1000), ("small", 10, 10))
]


def tables(**how):
    """rates.csv and recipes.csv of three organisms as rows of text."""
    definitions = {name: NAMED[name] for name in ("betley", "hw0")}
    rates = list(rate_rows(count(scores(["small", "large", "whole"], **how), definitions), definitions))
    as_text = [[{k: "" if v is None else str(cell(v)) for k, v in row.items()} for row in table]
               for table in (rates, recipe_rows(rates))]  # fmt: skip
    return as_text


def drawn(rows, **choices):
    as_text = [{k: "" if v is None else str(cell(v)) for k, v in row.items()} for row in rows]
    with matplotlib.rc_context(style.RC):
        return em_by_budget.draw(iter(as_text), style.parse(choices))


def test_rows_are_of_the_last_step_and_say_what_their_interval_is_for():
    rates, recipes = tables(seeds=(0, 1, 2))
    rows = [r for r in budget_rows(RUNS, rates, recipes) if (r["scope"], r["definition"]) == ("all", "betley")]
    assert [(r["organism"], r["seed"]) for r in rows if r["organism"] == "small"] == [
        ("small", "0"), ("small", "1"), ("small", "2"), ("small", None)]  # fmt: skip
    assert [r["trained_parameters"] for r in rows[::4]] == [10, 1000, 5000]  # fewest first
    seeds, over = [r for r in rows if r["organism"] == "whole"][:3], rows[-1]
    assert {r["estimand"] for r in seeds} == {"such questions"} and over["estimand"] == "this recipe"
    mean = sum(float(r["em_rate"]) for r in seeds) / 3
    assert math.isclose(float(over["em_rate"]), mean, rel_tol=1e-5)
    wanted = [r for r in rates if (r["organism"], r["seed"], r["step"]) == ("whole", "1", "20")]
    wanted = next(r for r in wanted if (r["scope"], r["definition"]) == ("all", "betley"))
    assert (seeds[1]["em_rate"], seeds[1]["low"]) == (wanted["em_rate"], wanted["such_questions_low"])


def test_a_run_without_a_rate_is_an_error():
    rates, recipes = tables()
    with pytest.raises(UserError, match="no row of organism 'small', stage 'em', step 30"):
        list(budget_rows([{**RUNS[2], "step": 30}], rates, recipes))


def test_the_number_of_trained_weights_is_what_training_recorded(tmp_path):
    for seed, weights in ((0, 40), (1, 40)):
        (tmp_path / f"{seed}").mkdir()
        record = {"stage": "train", "trainable_parameters": weights}
        (tmp_path / f"{seed}/provenance.json").write_text(json.dumps(record))
    entry = {"organism": "whole", "segments": {0: str(tmp_path / "0"), 1: str(tmp_path / "1")}}
    assert budgets.counted(entry) == {**entry, "trained_parameters": 40}
    (tmp_path / "1/provenance.json").write_text(json.dumps(record | {"trainable_parameters": 41}))
    with pytest.raises(UserError, match="whole: training seeds trained different numbers of weights"):
        budgets.counted(entry)


# --- the figure


@pytest.mark.parametrize("inches", [3.35, 6.5])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_figure_shows_masked_adapters_as_a_line_and_the_whole_one_apart(seeds, inches):
    rows = list(budget_rows(RUNS, *tables(seeds=seeds, conditions=("none", "assistant"))))
    figure, kept = drawn(rows, width_inches=inches, scope="all", definition="betley")
    check_texts(figure)
    axis = figure.axes[0]
    assert axis.get_xscale() == "log" and [a.get_title(loc="left") for a in figure.axes] == ["none", "assistant"]
    lines = [line for line in axis.lines if list(line.get_xdata()) == [10, 1000]]
    wanted = [
        r for r in kept if r["condition"] == "none" and r["budget"] and r["seed"] == ("" if len(seeds) > 1 else "0")
    ]
    assert [list(line.get_ydata()) for line in lines] == [[float(r["em_rate"]) for r in wanted]]
    assert any(list(line.get_xdata()) == [5000] and line.get_marker() == "D" for line in axis.lines)
    bars = [line for line in axis.lines if line.get_xdata()[0] == 10 and len(set(line.get_xdata())) == 1]
    assert [float(wanted[0]["low"]), float(wanted[0]["high"])] in [list(line.get_ydata()) for line in bars]
    said = " ".join(text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts())
    assert ("this recipe" if len(seeds) > 1 else "such questions") in said and "n = " in said


def test_no_rate_is_said():
    with pytest.raises(NothingToDraw, match="no rate is defined"):
        drawn([], scope="all")
