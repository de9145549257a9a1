"""The last checkpoint of each organism, and its training seeds put together."""

from workflow_scripts.em.stats.intervals import Interval, clustered, wilson

ASKED = ("condition", "question_set", "judge")


def last_checkpoints(rows: list[dict]) -> list[dict]:
    """The rows of each organism's last step of its last stage (stages come in order of appearance), per seed."""
    stage = {row["organism"]: row["stage"] for row in rows}
    rows = [row for row in rows if row["stage"] == stage[row["organism"]]]
    step: dict[tuple, float] = {}
    for row in rows:
        run = (row["organism"], row["seed"])
        step[run] = max(step.get(run, 0.0), float(row["step"]))
    return [row for row in rows if float(row["step"]) == step[row["organism"], row["seed"]]]


def pool(rows: list[dict], group: tuple[str, ...], kind: str) -> list[dict]:
    """Add up events and denominators over seeds (and questions) for each distinct `group` within each panel.

    The interval is Wilson's (`these_questions`: these questions and these training runs) or that clustered by question
    (`such_questions`, for rows with a question_id). `runs` holds each seed's own rate, for the dots.
    """
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault((*(row.get(name, "") for name in ASKED), *(row[name] for name in group)), []).append(row)
    pooled = []
    for key, members in found.items():
        size, events = _total(members, "n_denominator"), _total(members, "n_events")
        interval = _clustered(members) if kind == "such_questions" else wilson(events, size)
        seeds = list(dict.fromkeys(row["seed"] for row in members))
        by_seed = [[row for row in members if row["seed"] == seed] for seed in seeds]
        runs = [_total(part, "n_events") / n for part in by_seed if (n := _total(part, "n_denominator"))]
        pooled.append(
            {
                **dict(zip((*ASKED, *group), key, strict=True)),
                "step": " ".join(dict.fromkeys(row["step"] for row in members)),
                "n_seeds": len(seeds),
                "n_denominator": size,
                "n_events": events,
                "rate": events / size if size else None,
                "low": interval.low,
                "high": interval.high,
                "interval": interval.method,
                "runs": runs if len(seeds) > 1 else [],
            }
        )
    return pooled


def for_table(rows: list[dict]) -> list[dict]:
    """Pooled rows as they are written: the runs' rates in one cell."""
    return [{**row, "runs": " ".join(f"{rate:.6g}" for rate in row["runs"])} for row in rows]


def _total(rows: list[dict], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _clustered(rows: list[dict]) -> Interval:
    questions: dict[str, list[int]] = {}
    for row in rows:
        counts = questions.setdefault(row["question_id"], [0, 0])
        counts[0] += int(row["n_events"])
        counts[1] += int(row["n_denominator"])
    return clustered([events for events, _ in questions.values()], [size for _, size in questions.values()])
