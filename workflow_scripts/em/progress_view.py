"""How a running study looks on a terminal: how far it is, what running jobs say, EM rates so far, and its rules."""

import time
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from workflow_scripts.em.progress import span
from workflow_scripts.em.progress_lines import GAP, Row, fitting, one_line, table, wrapped
from workflow_scripts.em.progress_rates import Rates, Standing
from workflow_scripts.em.progress_run import TARGETS, Job, Run

TAIL = 2048  # bytes of a log's end that are read
BAR = 80  # columns at most
SAYS = 50  # columns that are enough for what a job says
ABOUT_RATES = 3  # lines before the rates, mostly


def view(console: Console, study: str, run: Run, rates: Rates, seconds: float) -> Group:
    """All of it in fewer lines than the console has, however many jobs there are; `seconds`: as `Rates.standings`."""
    parts = [_head(console, study, run)]
    room = console.height - 1 - len(parts[0])
    kept = min(len(_rules(run, console.width)) + 1, room * 4 // 15)  # for the rules
    if run.running:
        # An empty line goes before each part.
        most = max(room // 3, room - kept - 1 - ABOUT_RATES - len(rates)) - 1
        parts.append(_running(run, console.width, most))
        room -= 1 + len(parts[-1])
    parts.append(_rates(console, rates, room - kept - 1, seconds, run.about["t"] if run.about and run.goes_on else 0.0))
    room -= 1 + len(parts[-1])
    parts.append(_rules(run, console.width, room - 1))
    return Group(*parts[0], *(line for part in parts[1:] if part for line in [Text(), *part]))


# --- how far the run is


def _head(console: Console, study: str, run: Run) -> list[Text]:
    if run.about is None:
        return wrapped(Text(f"{study}: no run was seen here yet; one shows when Snakemake begins its jobs"), console)
    every, done, running, failed = map(sum, zip(*map(run.counted, run.seconds), strict=True))
    if run.goes_on:
        where = f" (process {run.about['pid']} on {run.about['host']})"
        title = Text.assemble((study, "bold"), ": ", (f"running for {span(run.passed)}", "bold cyan"), where)
    elif done == every:
        title = Text.assemble((study, "bold"), ": ", (f"finished in {span(run.passed)}", "bold green"))
    else:
        how = f"ended after {span(run.passed)}" if run.ended else "was killed"
        told = f"{how}, {every - done} of {every} jobs are not done"
        title = Text.assemble((study, "bold"), ": ", (told, "bold red"))
    columns = min(BAR, console.width)
    filled = columns * done // every
    bar = Text.assemble(("━" * filled, "green"), ("─" * (columns - filled), "dim"))
    counts = [f"{done} of {every} jobs", failed and f"{failed} failed"]
    if run.goes_on:
        counts[1:1] = [f"{running} running", f"{every - done - running - failed} waiting"]
    lines = [title, bar, Text(", ".join(filter(None, counts))), *([Text(_left(run))] if run.goes_on else [])]
    return [part for line in lines for part in wrapped(line, console)]


def _left(run: Run) -> str:
    left = run.left()
    if left is None:
        return "time left: not known before a job has begun"
    if left.seconds < 1 and left.without:
        return f"time left: not known, no job of {_some(left.without)} has ended yet, nor in an earlier run here"
    if left.seconds < 1:
        return "time left: little; the last jobs take longer than those before"
    earlier = f"for {_some(left.earlier)}, from earlier runs" if left.own else "from earlier runs"
    sources = (["from this run's jobs"] if left.own else []) + ([earlier] if left.earlier else [])
    about, without = ("at least", f", without {_some(left.without)}") if left.without else ("about", "")
    return f"{about} {span(left.seconds)} left: an estimate, {' and, '.join(sources)}{without}"


def _some(rules: list[str]) -> str:
    return " and ".join(rules) if len(rules) < 3 else f"{rules[0]} and {len(rules) - 1} more rules"


# --- its running jobs


def _running(run: Run, width: int, most: int) -> list[Text]:
    """In about so many lines, the first begun first; what a job says beside it or, with no room for that, beneath."""
    jobs = sorted(run.running.values(), key=lambda job: job.since)
    shown = jobs[: max(1, most)]
    rows = [Row((_named(job), span(time.time() - job.since), _takes(run, job.rule))) for job in shown]
    head, *lines = table(("job", "for", "usual"), rows, width)
    says, room = [_says(job) for job in shown], width - len(head.plain) - GAP
    blocks = [[line] for line in lines]
    if any(says) and room >= min(SAYS, max(map(len, says))):
        gap = " " * GAP
        blocks = [[line + one_line(gap + said, room + GAP, "cyan")] for line, said in zip(lines, says, strict=True)]
        head += Text(f"{gap}says", style="bold")
    elif any(says):
        for block, said in zip(blocks, says, strict=True):
            block += [one_line(f"  {said}", width, "cyan")] if said else []
    left = len(jobs) - len(shown)
    return [head, *fitting(blocks, most - 1, lambda n: Text(f"and {n + left} more", style="dim"))]


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


def _takes(run: Run, rule: str) -> str:
    """What a rule's job takes; `~`: by earlier runs; empty: not known."""
    usual = run.usual(rule)
    return "" if usual is None else f"{'' if run.seconds.get(rule) else '~'}{span(usual)}"


# --- EM rates


def _rates(console: Console, rates: Rates, most: int, seconds: float, began: float) -> list[Text]:
    """In about so many lines; dim what was judged before the run `began`."""
    if not rates.plan.config.organisms:
        return wrapped(Text("EM rates: of published tables alone; they are in statistics/rates.csv"), console)
    if not rates.judge:
        return wrapped(Text("EM rates: no judge of this study gives alignment"), console)
    if not len(rates):
        return [Text("EM rates: nothing is judged yet", style="dim")]
    few = most - ABOUT_RATES
    found = rates.standings(max(1, few - (len(rates) > few)), seconds)
    asked = {(row["condition"], row["question_set"]) for at in found if (row := at.latest)}
    about = f" by {rates.definition!r} on {rates.scope.replace('_', '-')} questions, judge {rates.judge}"
    if len(asked) == 1:
        about += ", condition {}, question set {}".format(*next(iter(asked)))
    heads = ("organism", "seed", "checkpoint", "step 0", "EM rate", "95% interval", "events")
    rows = [Row(_cells(at, several=len(asked) > 1), "dim" if at.when < began else "") for at in found]
    lines = wrapped(Text.assemble(("EM rate so far", "bold"), about), console)
    lines += table(heads, rows, console.width, spare=("events", "step 0"))
    left = len(rates) - len(found)
    return lines + ([Text(f"and {left} organisms more", style="dim")] if left else [])


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


# --- the run's rules


def _rules(run: Run, width: int, most: float = float("inf")) -> list[Text]:
    """In about so many lines: rules at work, then those that failed, wait and are done, of each the most jobs first.

    Rules that wait with their one job share a line.
    """
    counted = {rule: run.counted(rule) for rule in run.seconds if rule not in TARGETS}
    single = [rule for rule, counts in counted.items() if counts == (1, 0, 0, 0)]
    single = single if len(single) > 1 else []
    order = {
        rule: (-running, not failed, done == every, -every)
        for rule, (every, done, running, failed) in counted.items()
        if rule not in single
    }
    rules, rows = sorted(order, key=order.__getitem__), []
    for rule in rules:
        every, done, running, failed = counted[rule]
        cells = (rule, f"{done}", f"{every}", f"{running or ''}", f"{failed or ''}", _takes(run, rule))
        rows.append(Row(cells, "red" if failed else "dim" if done == every else ""))

    def more(count: int) -> Text:
        left = rules[-count:]
        what = "done" if all(counted[rule][1] == counted[rule][0] for rule in left) else "more"
        return one_line(f"and {count} {what}: {', '.join(left)}", width, "dim")

    heads = ("rule", "done", "of", "running", "failed", "a job takes")
    lines = table(heads, rows, width)
    found = lines[:1] + fitting([[line] for line in lines[1:]], most - 1 - bool(single), more)
    waiting = f"and {len(single)} rules not begun, of one job each: {', '.join(single)}"
    return found + ([one_line(waiting, width)] if single else [])
