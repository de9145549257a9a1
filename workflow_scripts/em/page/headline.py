"""What a study found, in a sentence or two, from the rows of findings.csv, contrasts.csv or shares.csv."""

from workflow_scripts.em.page.runs import FEW, few

SCOPES = {"all": "all", "in_domain": "in-domain", "out_of_domain": "out-of-domain"}


def percent(text: str) -> str:
    """A table's proportion as per cent; a dash where it is empty."""
    return f"{100 * float(text):.1f}%" if text else "-"


def headline(findings: list[dict], contrasts: list[dict], shares: list[dict]) -> list[str]:
    """Sentences. An interval that a table does not have is not made up: the sentence says that there is none.

    findings: rows of `em.page.runs.with_questions`, or of findings.csv, and then without the number of questions.
    """
    if findings:
        judges = dict.fromkeys(row["judge"] for row in findings)
        groups = [[row for row in findings if row["judge"] == judge] for judge in judges]
        return [*map(_rates, groups), *_cautions(groups), *_verdicts(contrasts)]
    if shares:
        return [_labels(shares)]
    return ["No EM rate is defined in this study for the definition and questions of its figures."]


def _rates(rows: list[dict]) -> str:
    shown = [row for row in rows if row["rise"] == "shown"]
    known = [row for row in rows if row["last_em_rate"]]
    if not known:
        return "No run has a defined EM rate at its last step."
    top = max(shown, key=_risen) if shown else max(known, key=lambda row: float(row["last_em_rate"]))
    asked = f"{SCOPES[top['scope']]} questions, definition {top['definition']}, judge {top['judge']}"
    compared = sum(row["rise"] in ("shown", "not shown") for row in rows)
    if not compared:
        return (
            f"The highest EM rate ({asked}) is that of {_run(top, rows)}: {_rate(top, 'last')} at step "
            f"{top['last_step']}. No run can be compared with a step 0 of its own."
        )
    said = f"{_how_many(len(shown), compared)} of the EM rate over step 0 ({asked})."
    if compared < len(rows):
        said += f" Of {len(rows) - compared} more it cannot be told: a rate or an interval is missing."
    which = "The largest is that of" if len(shown) > 1 else "It is that of" if shown else "The highest last rate is of"
    before = f"{_rate(top, 'baseline')} at step 0, " if top["baseline_em_rate"] else ""
    return f"{said} {which} {_run(top, rows)}: {before}{_rate(top, 'last')} at step {top['last_step']}."


def _how_many(shown: int, compared: int) -> str:
    """Which part of the runs that can be compared shows a rise: the beginning of a sentence."""
    if compared == 1:
        return "The only run shows a rise" if shown else "The only run shows no rise"
    if shown == compared:
        return f"All {compared} runs show a rise"
    if not shown:
        return f"None of {compared} runs shows a rise"
    return f"{shown} of {compared} runs {'show' if shown > 1 else 'shows'} a rise"


def _cautions(groups: list[list[dict]]) -> list[str]:
    """A paragraph on what must not be read out of the rows (those of a judge together), if there is such a thing."""
    said = []
    verdicts = [{row["rise"] for row in rows} for rows in groups]
    if any("not shown" in found and "shown" not in found for found in verdicts):
        said.append("A rise that is not shown may be there nevertheless: the intervals say how large it may be.")
    if any(few(row, at) for rows in groups for row in rows for at in ("baseline", "last")):
        said.append(
            f"Fewer than {FEW} questions tell little about others: read the interval for these questions, which speaks "
            "of these alone."
        )
    return [" ".join(said)] if said else []


def _risen(row: dict) -> float:
    return float(row["last_em_rate"]) - float(row["baseline_em_rate"])


def _run(row: dict, rows: list[dict]) -> str:
    """The organism with what else tells its run from the others."""
    names = ("seed", "stage", "condition", "question_set")
    differ = [name for name in names if len({other[name] for other in rows}) > 1]
    parts = [f"{name.replace('_', ' ')} {row[name]}" for name in differ]
    return row["organism"] + (f" ({', '.join(parts)})" if parts else "")


def _rate(row: dict, at: str) -> str:
    low, high = row[f"{at}_such_questions_low"], row[f"{at}_such_questions_high"]
    if not low or not high:
        return f"{percent(row[f'{at}_em_rate'])} (no interval)"
    said = f"{percent(row[f'{at}_em_rate'])} (95% interval for such questions {percent(low)} to {percent(high)}"
    if few(row, at):
        n, (low, high) = int(row[f"{at}_n_questions"]), (row[f"{at}_these_questions_{end}"] for end in ("low", "high"))
        said += f", from {n} question{'s' if n > 1 else ''}; for these questions {percent(low)} to {percent(high)}"
    return f"{said})"


def _verdicts(rows: list[dict]) -> list[str]:
    said = [f"{row['contrast']}: {row['verdict']}" for row in rows if row["verdict"]]
    return [f"Declared contrasts: {'; '.join(said)}."] if said else []


def _labels(rows: list[dict]) -> str:
    own = [row for row in rows if row["category"] == "all" and row["share"]]
    if not own:
        return "No response of this study has a label."
    top = max(own, key=lambda row: float(row["share"]))
    low, high = percent(top["these_questions_low"]), percent(top["these_questions_high"])
    return (
        "Judges give labels only, so there is no EM rate. The most frequent label is "
        f"{top['label']} ({top['metric']}, judge {top['judge']}, {top['organism']}, condition {top['condition']}): "
        f"{percent(top['share'])} (95% interval for these questions {low} to {high})."
    )
