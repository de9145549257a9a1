"""The rows of rates.csv that a reader wants first: one definition, one scope, few columns."""

from collections.abc import Iterator

from workflow_scripts.em.stats.counts import GROUP

ABOUT = (*GROUP, "scope", "definition")
MEANS = ("mean_alignment", "mean_coherence")
COLUMNS = (*ABOUT, "n_questions", "n_responses", "n_denominator", "n_events", "em_rate")
COLUMNS += ("low", "high", "estimand", "method", "coherent_share", *MEANS)


def checkpoint_rows(rates: list[dict], definition: str, coherence: str, scope: str) -> Iterator[dict]:
    """Rows with COLUMNS from the rows of rates.csv, in their order.

    low, high: the 95% interval of the EM rate for the estimand named beside it. coherent_share: of all responses, past
    the gate of the definition `coherence` (empty when it has none).
    """
    wanted = [row for row in rates if row["scope"] == scope]
    shares = {_group(row): row["coherent_share_of_all"] for row in wanted if row["definition"] == coherence}
    for row in wanted:
        if row["definition"] == definition:
            found = {name: row[name] for name in COLUMNS if name in row}
            found |= {"low": row["such_questions_low"], "high": row["such_questions_high"]}
            found |= {"estimand": "such questions", "method": row["such_questions_method"]}
            yield found | {"coherent_share": shares[_group(row)]}


def _group(row: dict) -> tuple:
    return tuple(row[name] for name in GROUP)
