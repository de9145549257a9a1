"""How much questions and training seeds differ in a study: what its power plan starts from."""

import math
from collections.abc import Sequence

from workflow_scripts.em.stats.profile import spread
from workflow_scripts.em.stats.tables import as_number

ABOUT = ("organism", "stage", "step", "condition", "question_set", "judge")
COLUMNS = (*ABOUT, "definition", "scope", "n_seeds", "n_questions", "em_rate", "sd_questions", "sd_seeds")
PRIOR = 3  # degrees of freedom of what is assumed
# A shift of all questions by d logits shifts the logit of their mean rate by d / sqrt(1 + ATTENUATION sd^2) when the
# questions have that SD (Zeger, Liang & Albert 1988, Biometrics 44, 1049-60).
ATTENUATION = (16 * math.sqrt(3) / (15 * math.pi)) ** 2


def components(rows: Sequence[dict], definition: str, scope: str, organisms: Sequence[str] = ()) -> list[dict]:
    """One row with COLUMNS a recipe (organism), from the rows of question_rates.csv: SDs in logits between its
    questions, training seeds added up, and between its seeds, questions added up.

    Each organism's last stage and step, the first condition, question set and judge. The SDs are those most likely when
    questions (or runs) are normal on the logit scale and responses binomial (`profile.spread`). None: fewer than two
    questions or seeds, or no event or nothing else to tell them by.
    """
    found = []
    for organism in organisms or dict.fromkeys(row["organism"] for row in rows):
        here = _last(rows, organism, definition, scope)
        if not here:
            continue
        of_questions, of_seeds = (_spread(here, name) for name in ("question_id", "seed"))
        if of_seeds is not None:
            of_seeds *= math.sqrt(1 + ATTENUATION * (of_questions or 0.0) ** 2)
        counts = (len({row[name] for row in here}) for name in ("seed", "question_id"))
        rate = sum(int(row["n_events"]) for row in here) / sum(int(row["n_denominator"]) for row in here)
        about = (*(here[0][name] for name in ABOUT), definition, scope, *counts, rate)
        found.append(dict(zip(COLUMNS, (*about, of_questions, of_seeds), strict=True)))
    return found


def together(values: Sequence[float | None], counts: Sequence[int], prior: float) -> float | None:
    """One SD for all recipes: the root mean square of theirs, each weighed by its degrees of freedom (count - 1).

    PRIOR further degrees of freedom say `prior` (a moderated variance: Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3, 3):
    two seeds that agree by luck would else promise that two are enough. None: nothing is known.
    """
    known = [(value, count - 1) for value, count in zip(values, counts, strict=True) if value is not None]
    if not known:
        return None
    known.append((prior, PRIOR))
    return math.sqrt(sum(v * v * df for v, df in known) / sum(df for _, df in known))


def _last(rows: Sequence[dict], organism: str, definition: str, scope: str) -> list[dict]:
    """An organism's rows with a rate at its last stage and step, under its first condition, question set and judge."""
    domains = {"all": ("0", "1"), "in_domain": ("1",), "out_of_domain": ("0",)}[scope]
    here = [row for row in rows if (row["organism"], row["definition"]) == (organism, definition)]
    here = [row for row in here if row["in_domain"] in domains and int(row["n_denominator"])]
    for name in ABOUT[1:]:
        values = list(dict.fromkeys(row[name] for row in here))
        if values:
            wanted = values[-1] if name == "stage" else max(values, key=as_number) if name == "step" else values[0]
            here = [row for row in here if row[name] == wanted]
    return here


def _spread(rows: list[dict], group: str) -> float | None:
    counts: dict[str, list[int]] = {}
    for row in rows:
        sums = counts.setdefault(row[group], [0, 0])
        sums[0] += int(row["n_events"])
        sums[1] += int(row["n_denominator"])
    events, sizes = zip(*counts.values(), strict=True)
    return spread(events, sizes) if len(sizes) > 1 and 0 < sum(events) < sum(sizes) else None
