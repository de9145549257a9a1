"""Contrasts declared in the config, as a table: the difference, its interval, p, Holm's p and what follows."""

import math
from collections.abc import Iterable

from workflow_scripts.em.stats.contrast_cells import SHARES, SIDE, Design, designs
from workflow_scripts.em.stats.contrast_designs import Outcome, over_questions, over_seeds

ALPHA = 0.05


def contrast_rows(rows: Iterable[dict], contrasts: list[dict]) -> list[dict]:
    """One row a contrast from the rows of question_rates.csv; `contrasts` as in `designs`.

    A mean is over questions, each of the same weight, and over training seeds. Holm's correction (Holm 1979, Scand. J.
    Stat. 6, 65-70) is over the contrasts that have a p.
    """
    table = [_row(entry, found) for entry, found in designs(rows, contrasts)]
    tested = [row for row in table if row["p"] is not None]
    if tested:
        from statsmodels.stats.multitest import multipletests

        for row, p in zip(tested, multipletests([row["p"] for row in tested], method="holm")[1], strict=True):
            row["p_holm"] = float(p)
    for row in table:
        row["verdict"] = _verdict(row)
    return table


def _row(entry: dict, found: Design) -> dict:
    sides = found.cells_a, found.cells_b
    out = over_questions(*sides) if found.one_model else over_seeds(*sides, found.paired)
    if nothing := _nothing(found, entry["scope"]):
        out = Outcome(out.design, note=nothing)
    most = 1.0 if entry["measure"] in SHARES else 100.0
    return {
        "contrast": entry["name"],
        "hypothesis": entry["hypothesis"] or entry["name"],
        **{key: entry[key] for key in ("expect", "measure", "definition", "scope")},
        **{f"{at}_{key}": side[key] for at, side in (("a", found.a), ("b", found.b)) for key in SIDE},
        "design": out.design,
        "estimand": out.estimand,
        "n_questions": out.questions,
        "n_questions_dropped": len(found.asked) - out.questions,
        "n_seeds_a": out.seeds[0],
        "n_seeds_b": out.seeds[1],
        "n_a": out.responses[0],
        "n_b": out.responses[1],
        "mean_a": _known(out.means[0]),
        "mean_b": _known(out.means[1]),
        "difference": _known(out.found.difference),
        # Few seeds make an interval wider than a difference can be.
        "difference_low": _known(max(out.found.low, -most)),
        "difference_high": _known(min(out.found.high, most)),
        "difference_method": out.method,
        "df": _known(out.found.df),
        "test": out.test,
        "p": _known(out.p),
        "p_holm": None,
        "p_t": _known(out.found.p) if out.test else None,
        "p_permutation": _known(out.chance.p),
        "permutation": "" if math.isnan(out.chance.p) else "exact" if out.chance.exact else "sampled",
        "p_permutation_min": _known(out.chance.smallest),
        "verdict": "",
        "note": out.note,
    }


def _nothing(found: Design, scope: str) -> str:
    """Why there are not two sides to compare, which only the table shows; empty when there are."""
    for side, cells in ((found.a, found.cells_a), (found.b, found.cells_b)):
        if not cells:
            named = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in side.items() if value is not None)
            return f"no rows of {named}{'' if scope == 'all' else f' ({scope} questions)'}"
    return "both sides are the same rows" if found.a == found.b else ""


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _verdict(row: dict) -> str:
    """What a contrast says of its hypothesis."""
    if row["estimand"] == "this run only":
        return "this run only"
    if row["p_holm"] is None:
        return "not estimable"
    if row["p_holm"] >= ALPHA:
        return "not supported"
    higher = "a_higher" if row["difference"] > 0 else "b_higher"
    return "supported" if row["expect"] in (higher, "differ") else "contradicted"
