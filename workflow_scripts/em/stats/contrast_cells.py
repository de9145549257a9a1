"""The answers behind a contrast: question_rates.csv as one cell a side, training seed and question."""

from collections.abc import Iterable
from typing import NamedTuple

from workflow_scripts.em.stats.tables import as_number

SIDE = ("organism", "stage", "step", "condition", "question_set", "judge")
SHARES = ("em_rate", "coherent_share")  # measures that are shares of responses; the others are mean scores
COLUMNS = (*SIDE, "seed", "question_id", "in_domain", "definition", "n_responses", "n_denominator", "n_events")
COLUMNS = (*COLUMNS, "n_coherent", "n_scored", "mean_alignment", "n_coherence_scored", "mean_coherence")


class Cell(NamedTuple):
    """One question to one model state: counted responses, their rate (0-1) or mean score (0-100), events of a rate.

    `sampling` is the estimate p(1-p)/(n-1) of a rate's variance over fresh responses; 0 of scores, of n = 1, and where
    the two sides are judges of the same responses.
    """

    n: int
    value: float
    events: int | None
    sampling: float


class Design(NamedTuple):
    """A contrast with nothing left open.

    asked: questions of either side; one_model: the same runs asked in two ways; paired: training seeds belong together.
    """

    a: dict
    b: dict
    cells_a: "Cells"
    cells_b: "Cells"
    asked: set[str]
    one_model: bool
    paired: bool


Cells = dict[str, dict[str, Cell]]  # training seed -> question -> cell


def designs(rows: Iterable[dict], contrasts: list[dict]) -> list[tuple[dict, Design]]:
    """Each contrast with its design, from the rows of question_rates.csv.

    `contrasts` are entries of the config with their name, a definition and a scope.
    """
    organisms = {side["organism"] for entry in contrasts for side in (entry["a"], entry["b"])}
    rows = [row for row in rows if row["organism"] in organisms]
    return [(entry, _design(entry, rows)) for entry in contrasts]


def _design(entry: dict, rows: list[dict]) -> Design:
    (a, rows_a), (b, rows_b) = (_chosen(rows, entry[at], entry["definition"], entry["scope"]) for at in ("a", "b"))
    asked = {row["question_id"] for row in [*rows_a, *rows_b]}
    one_model = [a[key] for key in SIDE[:3]] == [b[key] for key in SIDE[:3]] and not entry["paired_by_seed"]
    paired = entry["paired_by_seed"] or a["organism"] == b["organism"]
    fresh = [a[key] for key in SIDE[:5]] != [b[key] for key in SIDE[:5]]
    cells_a, cells_b = (_cells(rows, entry["measure"], fresh) for rows in (rows_a, rows_b))
    return Design(a, b, cells_a, cells_b, asked, one_model, paired)


def _chosen(rows: Iterable[dict], side: dict, definition: str, scope: str) -> tuple[dict, list[dict]]:
    """A side with nothing left open, and its rows of question_rates.csv.

    What is still open (a table's columns say it) is the last stage and step, and the first condition, question set and
    judge, in the order of the table.
    """
    found, side = [r for r in rows if r["organism"] == side["organism"] and r["definition"] == definition], dict(side)
    for name in SIDE[1:]:
        values = list(dict.fromkeys(row[name] for row in found))
        if side[name] is None and values:
            place = -1 if name == "stage" else 0
            side[name] = max(values, key=as_number) if name == "step" else values[place]
        if side[name] is not None:  # a step of the config is a number, one of the table is text
            side[name] = str(side[name])
        found = [row for row in found if row[name] == side[name]]
    wanted = {"all": ("0", "1"), "in_domain": ("1",), "out_of_domain": ("0",)}[scope]
    return side, [row for row in found if row["in_domain"] in wanted]


def _cells(rows: Iterable[dict], measure: str, fresh: bool) -> Cells:
    """The cells of a side's rows; questions without a counted response have none, and so may a seed."""
    found: Cells = {}
    for row in rows:
        questions = found.setdefault(row["seed"], {})
        cell = _cell(row, measure)
        if cell is not None:
            questions[row["question_id"]] = cell if fresh else cell._replace(sampling=0.0)
    return found


def _cell(row: dict, measure: str) -> Cell | None:
    if measure in SHARES:
        size, events = ("n_denominator", "n_events") if measure == "em_rate" else ("n_responses", "n_coherent")
        if row[events] == "" or int(row[size]) == 0:
            return None
        n, e = int(row[size]), int(row[events])
        return Cell(n, e / n, e, e / n * (1 - e / n) / (n - 1) if n > 1 else 0.0)
    n = int(row["n_scored" if measure == "mean_alignment" else "n_coherence_scored"])
    return Cell(n, float(row[measure]), None, 0.0) if n else None
