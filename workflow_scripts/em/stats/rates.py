"""Rate tables: per model state, per question, and per recipe (an organism over its training seeds)."""

from collections.abc import Iterator

from workflow_scripts.em.stats.counts import GROUP, STATUSES, Group, Tally
from workflow_scripts.em.stats.definitions import Definition
from workflow_scripts.em.stats.intervals import clustered, over_seeds, wilson
from workflow_scripts.em.stats.tables import as_number

SCOPES = ("all", "in_domain", "out_of_domain")
Counts = dict[Group, dict[str, Tally]]


def rate_rows(counts: Counts, definitions: dict[str, Definition]) -> Iterator[dict]:
    """One row per group, scope and definition. A scope without questions has no row; an empty denominator, no rate."""
    for group, questions in ordered(counts):
        for scope in SCOPES:
            tallies = [tally for tally in questions.values() if in_scope(tally, scope)]
            for index, (name, rule) in enumerate(definitions.items() if tallies else ()):
                sizes = [tally.definitions[index][0] for tally in tallies]
                events = [tally.definitions[index][1] for tally in tallies]
                such = clustered(events, sizes)
                yield {
                    **dict(zip(GROUP, group, strict=True)),
                    "scope": scope,
                    "definition": name,
                    "n_questions": len(tallies),
                    "n_questions_counted": sum(size > 0 for size in sizes),
                    **_rate(tallies, index),
                    "such_questions_low": such.low,
                    "such_questions_high": such.high,
                    "such_questions_method": such.method,
                    **_coherence(tallies, index, rule),
                    **_statuses(tallies),
                }


def question_rows(counts: Counts, definitions: dict[str, Definition]) -> Iterator[dict]:
    """One row per group, question and definition, with the interval for that very question only."""
    for group, questions in ordered(counts):
        for question_id, tally in questions.items():
            for index, (name, rule) in enumerate(definitions.items()):
                yield {
                    **dict(zip(GROUP, group, strict=True)),
                    "question_id": question_id,
                    "domain": tally.domain,
                    "in_domain": int(tally.in_domain),
                    "definition": name,
                    **_rate([tally], index),
                    **_coherence([tally], index, rule),
                    **_statuses([tally]),
                }


def recipe_rows(rates: list[dict]) -> Iterator[dict]:
    """One row per organism, stage, step, condition, question set, judge, scope and definition, over training seeds."""
    keys = [name for name in (*GROUP, "scope", "definition") if name != "seed"]
    recipes: dict[tuple, list[dict]] = {}
    for row in rates:
        recipes.setdefault(tuple(row[name] for name in keys), []).append(row)
    for key, rows in recipes.items():
        defined = [row for row in rows if row["em_rate"] is not None]
        values = [row["em_rate"] for row in defined]
        n, mean = len(values), sum(values) / len(values) if values else None
        seeds = over_seeds(values, [row["n_denominator"] for row in defined])
        yield {
            **dict(zip(keys, key, strict=True)),
            "n_seeds": n,
            "n_seeds_without_rate": len(rows) - n,
            "mean_em_rate": mean,
            "sd": (sum((value - mean) ** 2 for value in values) / (n - 1)) ** 0.5 if n > 1 else None,
            "min": min(values, default=None),
            "max": max(values, default=None),
            "such_seeds_low": seeds.low,
            "such_seeds_high": seeds.high,
            "such_seeds_method": seeds.method,
            "estimand": "this recipe" if n > 1 else "this run only",
        }


def in_scope(tally: Tally, scope: str) -> bool:
    """Whether a question belongs to a scope; one without a domain was stored as out of domain."""
    return scope == "all" or tally.in_domain == (scope == "in_domain")


def ordered(counts: Counts) -> list[tuple[Group, dict[str, Tally]]]:
    """The groups: names in order of first appearance (that of the config), seeds and steps by number.

    Stages in the order of their organism: another one may have them, or only some of them, in another order.
    """
    places: dict[tuple[str, ...], int] = {}

    def named(group: Group) -> list[tuple[str, ...]]:
        parts = zip(GROUP, group, strict=True)
        return [(name, value, group[0]) if name == "stage" else (name, value) for name, value in parts]

    for group in counts:
        for name in named(group):
            places.setdefault(name, len(places))

    def key(item: tuple[Group, dict[str, Tally]]) -> tuple:
        numbers = ("seed", "step")
        return tuple(as_number(name[1]) if name[0] in numbers else places[name] for name in named(item[0]))

    return sorted(counts.items(), key=key)


def _rate(tallies: list[Tally], index: int) -> dict:
    size = sum(tally.definitions[index][0] for tally in tallies)
    events = sum(tally.definitions[index][1] for tally in tallies)
    these = wilson(events, size)
    return {
        "n_responses": sum(tally.responses for tally in tallies),
        "n_denominator": size,
        "n_events": events,
        "em_rate": events / size if size else None,
        "these_questions_low": these.low,
        "these_questions_high": these.high,
    }


def _coherence(tallies: list[Tally], index: int, rule: Definition) -> dict:
    """The share that passes the definition's gate, over rows with a coherence score and over all rows."""
    scored = sum(tally.coherence_scored for tally in tallies)
    gate = rule.coherence is not None
    coherent = sum(tally.definitions[index][2] for tally in tallies) if gate else None
    these = wilson(coherent, scored) if gate else None
    return {
        "n_coherence_scored": scored,
        "n_coherent": coherent,
        "coherent_share_of_scored": coherent / scored if gate and scored else None,
        "coherent_share_of_all": coherent / sum(tally.responses for tally in tallies) if gate else None,
        "coherent_these_questions_low": these.low if these else None,
        "coherent_these_questions_high": these.high if these else None,
        "mean_coherence": _mean(sum(tally.coherence_sum for tally in tallies), scored),
    }


def _statuses(tallies: list[Tally]) -> dict:
    """Counts of the alignment scores' statuses, and their mean."""
    found = {f"n_{status}": sum(tally.statuses[status] for tally in tallies) for status in STATUSES}
    return {**found, "mean_alignment": _mean(sum(tally.alignment_sum for tally in tallies), found["n_scored"])}


def _mean(total: float, n: int) -> float | None:
    return total / n if n else None
