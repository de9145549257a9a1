"""How a running study looks on a terminal: the run's jobs, what the running ones say, and EM rates so far."""

import time
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from workflow_scripts.em.progress import span
from workflow_scripts.em.progress_rates import Rates, Standing
from workflow_scripts.em.progress_run import Job, Run

TAIL = 2048  # bytes of a log's end that are read
FRAME = 16  # lines of all but the tables' rows
BAR = 80  # columns


def view(study: str, run: Run, rates: Rates, height: int, seconds: float) -> RenderableType:
    """All of it in about so many lines, however many jobs and organisms there are; `seconds`: as `Rates.standings`."""
    rows = max(6, height - FRAME)
    at_work = min(len(run.running), rows // 3)
    judged = max(1, min(len(rates), (rows - at_work) // 2))
    parts: list[RenderableType] = [_head(study, run)]
    if run.about:
        parts += [_jobs(run), Text(), _rules(run, rows - at_work - judged), Text()]
    if at_work:
        parts += [_running(run, at_work), Text()]
    return Group(*parts, _rates(rates, judged, seconds, run.about["t"] if run.goes_on else 0.0))


def _totals(run: Run) -> tuple[int, ...]:
    """All jobs, done, running, failed."""
    return tuple(map(sum, zip(*map(run.counted, run.seconds), strict=True)))


def _head(study: str, run: Run) -> Text:
    if run.about is None:
        return Text(f"{study}: no run was seen here yet; one shows when Snakemake begins its jobs")
    every, done, *_ = _totals(run)
    if run.goes_on:
        where = f"process {run.about['pid']} on {run.about['host']}"
        return Text.assemble((study, "bold"), ": ", (f"running for {span(run.passed)}", "bold cyan"), f" ({where})")
    if done == every:
        return Text.assemble((study, "bold"), ": ", (f"finished in {span(run.passed)}", "bold green"))
    how = f"ended after {span(run.passed)}" if run.ended else "was killed"
    return Text.assemble((study, "bold"), ": ", (f"{how}, {every - done} of {every} jobs are not done", "bold red"))


def _jobs(run: Run) -> RenderableType:
    every, done, running, failed = _totals(run)
    counts = [f"{done} of {every} jobs", failed and f"{failed} failed"]
    if run.goes_on:
        counts[1:1] = [f"{running} running", f"{every - done - running - failed} waiting"]
    filled = BAR * done // every
    lines = [Text.assemble(("━" * filled, "green"), ("─" * (BAR - filled), "dim"))]
    lines.append(Text(", ".join(filter(None, counts))))
    return Group(*lines, *([Text(_left(run), style="dim")] if run.goes_on else []))


def _left(run: Run) -> str:
    left = run.left()
    if left is None:
        return "time left: not known before a job has ended"
    names = ", ".join(left.without[:2]) + (f" and {len(left.without) - 2} more" if len(left.without) > 2 else "")
    if left.seconds >= 1:
        about, without = ("at least", f", without {names}") if names else ("about", "")
        return f"{about} {span(left.seconds)} left: an estimate, from this run's jobs{without}"
    if names:
        return f"time left: not known, no job of {names} has ended yet"
    return "time left: little; the last jobs take longer than those before"


def _rules(run: Run, most: int) -> RenderableType:
    """The rules at work, then those that wait, then those that are done; of each kind the most jobs first."""
    counted = {rule: run.counted(rule) for rule in run.seconds}
    order = {rule: (-running, done == every, -every) for rule, (every, done, running, _) in counted.items()}
    table = _table("rule", "done", "of", "running", "failed", "a job takes")
    for rule in sorted(order, key=order.__getitem__)[:most]:
        every, done, running, failed = counted[rule]
        usual = span(run.usual(rule)) if done else "-"
        cells = (rule, f"{done}", f"{every}", f"{running or ''}", f"{failed or ''}", usual)
        table.add_row(*cells, style="red" if failed else "dim" if done == every else "")
    return _with_more(table, len(order) - most, "rules")


def _running(run: Run, most: int) -> RenderableType:
    table = _table("job", "for", "says")
    table.columns[2].justify = "left"
    for job in sorted(run.running.values(), key=lambda job: job.since)[:most]:
        table.add_row(_named(job), span(time.time() - job.since), Text(_says(job), style="cyan"))
    return _with_more(table, len(run.running) - most, "running jobs")


def _named(job: Job) -> str:
    """A job by its rule and its log file, which is called by what the rule's wildcards are."""
    _, _, about = (job.log or "").partition("/logs/")
    return f"{job.rule} {about.partition('/')[2].removesuffix('.log')}".strip()


def _says(job: Job) -> str:
    """The last line of a job's log."""
    try:
        with open(Path(job.log or ""), "rb") as log:
            log.seek(max(0, log.seek(0, 2) - TAIL))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    texts = ("".join(filter(str.isprintable, line.rpartition("\r")[2])).strip() for line in reversed(lines))
    return next(filter(None, texts), "")


def _rates(rates: Rates, most: int, seconds: float, began: float) -> RenderableType:
    """Dim what was judged before the run `began`."""
    if not rates.plan.config.organisms:
        return Text("EM rates: of published tables alone; they are in statistics/rates.csv")
    if not rates.judge:
        return Text("EM rates: no judge of this study gives alignment")
    if not len(rates):
        return Text("EM rates: nothing is judged yet", style="dim")
    found = rates.standings(most, seconds)
    asked = {(row["condition"], row["question_set"]) for at in found if (row := at.latest)}
    about = f"judge {rates.judge}"
    if len(asked) == 1:
        about += ", condition {}, question set {}".format(*next(iter(asked)))
    table = _table("organism", "seed", "checkpoint", "step 0", "EM rate", "95% interval", "events")
    for at in found:
        table.add_row(*_cells(at, several=len(asked) > 1), style="dim" if at.when < began else "")
    scope = rates.scope.replace("_", "-")
    title = Text.assemble(("EM rate so far", "bold"), f" by {rates.definition!r} on {scope} questions")
    return Group(title, Text(about), _with_more(table, len(rates) - most, "organisms"))


def _cells(at: Standing, several: bool) -> tuple[str, ...]:
    row = at.latest or {}
    low, high = row.get("such_questions_low"), row.get("such_questions_high")
    between = "" if low is None or high is None else f"{100 * low:.0f}-{100 * high:.0f}%"
    events = f"{row['n_events']} of {row['n_denominator']}" if row else ""
    checkpoint = f"{at.stage} {at.step}" + (f" of {at.steps}" if at.step < at.steps else "")
    name = f"{at.organism} ({row['condition']}, {row['question_set']})" if row and several else at.organism
    return name, f"{at.seed}", checkpoint, _percent(at.first), _percent(at.latest), between, events


def _percent(row: dict | None) -> str:
    return "-" if row is None or row["em_rate"] is None else f"{100 * row['em_rate']:.1f}%"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True, overflow="ellipsis")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True, overflow="ellipsis")
    return table


def _with_more(table: Table, more: int, what: str) -> RenderableType:
    return Group(table, Text(f"and {more} {what} more", style="dim")) if more > 0 else table
