"""EM rate against the number of trained weights, for organisms that differ in nothing else."""

from collections.abc import Iterable, Iterator
from typing import Any

from workflow_scripts.em.errors import UserError

ASKED = ("condition", "question_set", "judge", "scope", "definition")
COLUMNS = ("series", "base", "training_set", "organism", "seed", "stage", "step", *ASKED, "budget")
COLUMNS += (
    "trained_parameters",
    "n_seeds",
    "n_denominator",
    "n_events",
    "em_rate",
    "coherent_share_of_all",
    "estimand",
)
COLUMNS += ("low", "high", "method")


def budget_rows(runs: Iterable[dict[str, Any]], rates: Iterable[dict], recipes: Iterable[dict]) -> Iterator[dict]:
    """Rows of COLUMNS from those of rates.csv and recipes.csv, series by series, fewest trained weights first.

    `runs` are entries of `em.budgets.budget_runs`, with `trained_parameters` as their training recorded them. A row a
    training seed has the interval for such questions; an organism with several seeds also has a row with an empty seed,
    the mean over them with the interval for this recipe. Raises UserError when an organism has no rate at its step.
    """
    by_run: dict[tuple, list[dict]] = {}
    by_recipe: dict[tuple, list[dict]] = {}
    for row in rates:
        by_run.setdefault((row["organism"], row["stage"], row["step"]), []).append(row)
    for row in recipes:
        by_recipe.setdefault((row["organism"], row["stage"], row["step"]), []).append(row)
    for run in _ordered(list(runs)):
        key = (run["organism"], run["stage"], str(run["step"]))
        if key not in by_run:
            raise UserError(f"rates: no row of organism {key[0]!r}, stage {key[1]!r}, step {key[2]}")
        named = {name: run[name] for name in COLUMNS if name in run}
        for row in by_run[key]:
            kept = {name: row[name] for name in (*ASKED, "seed", "em_rate", "n_denominator", "n_events")}
            interval = {"low": row["such_questions_low"], "high": row["such_questions_high"]}
            interval |= {"estimand": "such questions", "method": row["such_questions_method"]}
            share = {"coherent_share_of_all": row["coherent_share_of_all"]}
            yield {**named, **kept, **share, **interval, "n_seeds": 1}
        for row in by_recipe.get(key, []):
            if int(row["n_seeds"]) > 1:
                yield {**named, **_recipe(row)}


def _recipe(row: dict) -> dict:
    """What the row of an organism over its training seeds adds."""
    counts = dict.fromkeys(("seed", "n_denominator", "n_events", "coherent_share_of_all"))
    interval = {"low": row["such_seeds_low"], "high": row["such_seeds_high"], "method": row["such_seeds_method"]}
    rate = {"n_seeds": row["n_seeds"], "em_rate": row["mean_em_rate"], "estimand": "this recipe"}
    return {**{name: row[name] for name in ASKED}, **counts, **rate, **interval}


def _ordered(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    series = list(dict.fromkeys(run["series"] for run in runs))
    return sorted(runs, key=lambda run: (series.index(run["series"]), run["trained_parameters"]))
