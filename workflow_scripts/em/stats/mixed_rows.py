"""The full model of each contrast: a logistic mixed model with question and training seed crossed, as a table."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats

from workflow_scripts.em.stats.contrast_cells import SHARES, Cell, Design, designs
from workflow_scripts.em.stats.intervals import LEVEL
from workflow_scripts.em.stats.mixed import fit

EFFECTS = ("question", "seed", "question_by_side", "seed_by_side")
Row = tuple[str, str, str, Cell]  # side, training seed, question, cell


def mixed_rows(rows: Iterable[dict], contrasts: list[dict]) -> list[dict]:
    """One row a contrast from the rows of question_rates.csv; `contrasts` as in `designs`.

    The log odds ratio is of a against b, for a question and seed of average random effects; its 95% interval is
    t on K-1 degrees of freedom (K questions) for the same runs asked in two ways, S-1 for paired training seeds, and
    S_a + S_b - 2 for two recipes.
    """
    return [_row(entry, found) for entry, found in designs(rows, contrasts)]


def _row(entry: dict, design: Design) -> dict:
    data, seeds = _data(design)
    questions = len({question for _, _, question, _ in data})
    reason = _reason(entry["measure"], data, seeds, questions, design.one_model)
    found = {} if reason else _fitted(data, seeds, questions, design)
    estimand = "this recipe"
    if design.one_model:
        estimand = "such questions" if max(seeds) == 1 else "such questions, these runs"
    counted = entry["measure"] in SHARES
    return {
        "contrast": entry["name"],
        "hypothesis": entry["hypothesis"] or entry["name"],
        **{key: entry[key] for key in ("measure", "definition", "scope")},
        "estimand": "" if reason else estimand,
        "n_questions": questions,
        "n_seeds_a": seeds[0],
        "n_seeds_b": seeds[1],
        **{f"n_{at}": sum(cell.n for side, _, _, cell in data if side == at) for at in "ab"},
        **{
            f"n_events_{at}": sum(cell.events for side, _, _, cell in data if side == at) if counted else None
            for at in "ab"
        },
        **{name: found.get(name) for name in ("log_odds_ratio", "log_odds_ratio_low", "log_odds_ratio_high", "df")},
        **{name: found.get(name) for name in ("odds_ratio", "odds_ratio_low", "odds_ratio_high")},
        **{f"sd_{name}": found.get(f"sd_{name}") for name in EFFECTS},
        "status": reason or found["status"],
    }


def _data(design: Design) -> tuple[list[Row], tuple[int, int]]:
    """The cells of questions that both sides have, of paired seeds only those that both have; seeds of each side."""
    a, b = design.cells_a, design.cells_b
    if design.paired:
        a, b = ({seed: side[seed] for seed in side if a.get(seed) and b.get(seed)} for side in (a, b))
    both = {q for found in a.values() for q in found} & {q for found in b.values() for q in found}
    data = [
        (name, seed, question, cell)
        for name, side in (("a", a), ("b", b))
        for seed, found in side.items()
        for question, cell in found.items()
        if question in both
    ]
    return data, tuple(len({seed for side, seed, _, _ in data if side == at}) for at in "ab")


def _reason(measure: str, data: list[Row], seeds: tuple[int, int], questions: int, one_model: bool) -> str:
    """Why there is no fit; empty when there is one."""
    if measure not in SHARES:
        return "not estimable: a mean score has no odds"
    if questions < 2:
        return f"not estimable: {questions} questions with counted responses on both sides, and two are needed"
    if not one_model and min(seeds) < 2:
        return "this run only: one training seed says nothing of a recipe"
    for name in "ab":
        found = [cell for side, _, _, cell in data if side == name]
        events = sum(cell.events for cell in found)
        if events in (0, sum(cell.n for cell in found)):
            return f"not estimable: {'no' if events == 0 else 'only'} events in {name}, so the odds ratio has no bound"
    return ""


def _fitted(data: list[Row], seeds: tuple[int, int], questions: int, design: Design) -> dict[str, Any]:
    groups: dict[str, list] = {"question": [question for _, _, question, _ in data]}
    if max(seeds) > 1:
        groups["seed"] = [seed if design.paired else (side, seed) for side, seed, _, _ in data]
    groups["question_by_side"] = [(side, question) for side, _, question, _ in data]
    if design.paired and not design.one_model:
        groups["seed_by_side"] = [(side, seed) for side, seed, _, _ in data]
    sides = [0.5 if side == "a" else -0.5 for side, _, _, _ in data]
    found = fit([cell.events for *_, cell in data], [cell.n for *_, cell in data], sides, groups)
    sds = {f"sd_{name}": sd for name, sd in found.sds.items()}
    if not found.converged:
        return {"status": "not estimable: the fit did not converge"}
    df = questions - 1 if design.one_model else seeds[0] - 1 if design.paired else sum(seeds) - 2
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * found.error
    ends = {"": found.effect, "_low": found.effect - half, "_high": found.effect + half}
    logs = {f"log_odds_ratio{end}": value for end, value in ends.items()}
    return (
        logs
        | {f"odds_ratio{end}": float(np.exp(value)) for end, value in ends.items()}
        | sds
        | {
            "df": df,
            "status": "fitted",
        }
    )
