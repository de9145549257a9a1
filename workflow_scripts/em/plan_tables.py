"""The tables of `plan`: what is ready, what would run and why, time, disk, and what is still to be bought."""

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from workflow_scripts.em.dry_run import ABSENT, FOLLOWS
from workflow_scripts.em.environment import Finding
from workflow_scripts.em.gpu_schedule import LEFT_OUT
from workflow_scripts.em.progress import span

UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}
HOUR = 3600
SHOWN = 3  # files that are named of a row, and changes
WIDE, MODEL = 50, 28  # characters of a file's name, and of a model's
UNPLANNED = "No plan: mend the config first."
WHOLE = "What a run would do now is told by its dry run, which needs the data. The whole study, from nothing:"
NAMED = 5  # rules that are named of many
SMALL = 0.01  # the share of all bytes from which on a kind has a line of its own
COUNTED = ("organisms", "evaluations", "responses")
# Of what is asked of models, by key.
ASKED = {"asked": "asked", "model": "model", "calls": "calls", "in_journal": "in journal", "to_ask": "to ask"}
ASKED |= {"input_tokens": "tokens in", "output_tokens": "tokens out"}


def fitted(text: str, indent: int = 2) -> str:
    """Text as wide as the terminal, at most 120 characters: its lines go on `indent` further in; no word is broken."""
    width = min(120, shutil.get_terminal_size((100, 24)).columns)
    how = {"subsequent_indent": " " * indent, "break_long_words": False, "break_on_hyphens": False}
    return "\n".join(textwrap.fill(line, width, **how) if line else "" for line in text.splitlines())


def finding_lines(finding: Finding) -> str:
    """A finding as it is printed; its mend, which may be a command, in one line."""
    mend = f"\n{'':8} -> {finding.mend}" if finding.mend else ""
    return fitted(f"{finding.status:8} {finding.what}: {finding.text}", 9) + mend


def told(found: dict[str, Any]) -> Iterator[str]:
    """The tables, one after the other, of `found`: parts of it may be missing, where something else is."""
    if "whole" in found:
        yield from (WHOLE, *of_whole(found["whole"]))
    if "to_run" in found:
        yield _jobs(found["to_run"])
    if "time" in found:
        yield _time(found["time"])
    if "disk" in found:
        yield _disk(found["disk"])
    # An empty table says that nothing is to be asked: not where it could not be made.
    if found.get("to_buy") or ("to_buy" in found and not found["problems"]):
        yield _buying(found["to_buy"])
    yield from (fitted(f"PROBLEM: {text}") for text in found["problems"])


def _jobs(rows: list[dict]) -> str:
    if not rows:
        return "jobs: nothing to do, everything is there and up to date"
    count = sum(row["jobs"] for row in rows)
    table = [[row["rule"], row["jobs"], ",\n".join(row["why"]), _files(row)] for row in rows]
    text = tabulate([*table, ["together", count]], ["jobs of rule", "to run", "because", "makes"], intfmt=",")
    kinds = Counter({_kind(row["why"]): 0 for row in rows})
    for row in rows:
        kinds[_kind(row["why"])] += row["jobs"]
    parts = [f"{n:,} {kind}" for kind, n in kinds.items()] if len(kinds) > 1 else [f"all {next(iter(kinds))}"]
    lines = [f"{count:,} jobs: {', '.join(parts)}"]
    if any(row["changed"] for row in rows):
        lines.append("what changed, before -> now:")
    for row in rows:
        lines += [fitted(f"{row['rule']}: {text}", 4) for text in row["changed"][:SHOWN]]
        if (more := len(row["changed"]) - SHOWN) > 0:
            lines.append(f"{row['rule']}: {more} other changes")
    return "\n".join([text, *lines])


def _kind(why: list[str]) -> str:
    if why == [FOLLOWS]:
        return "only follow from others"
    return "make what is not there" if why == [ABSENT] else "stale by themselves"


def _files(row: dict) -> str:
    """One file of a row; of what is stale by itself some more."""
    shown = SHOWN if _kind(row["why"]) == "stale by themselves" else 1
    named = [_end(name) for name in row["files"][:shown]]
    more = len(row["files"]) - shown
    return "\n".join([*named[:-1], f"{named[-1]} and {more} more" if more > 0 else named[-1]]) if named else ""


def _end(name: str) -> str:
    """The last folders of a name that is too long, and always the file."""
    parts = name.split("/")
    while len(parts) > 1 and len("/".join(parts)) > WIDE:
        parts.pop(0)
    return "/".join(parts if "/".join(parts) == name else ["...", *parts])


def _time(time: dict[str, Any]) -> str:
    if not (time["rules"] or time["unknown"]):
        return "time: none"
    rows = [[row["rule"], row["jobs"], span(HOUR * row["hours"]), row["from"]] for row in time["rules"]]
    text = tabulate(rows, ["time of rule", "jobs", "together", "from"], disable_numparse=True) if rows else "time:"
    slots = time["slots"]
    on = f"{slots['count']} {slots['of']}{'s' * (slots['count'] != 1)}"
    wall = f"wall time, simulated on {on}: {span(HOUR * time['hours'])}"
    counted = ", of what is counted" if time["unknown"] else ""
    lines = [f"GPU time{counted}: {span(HOUR * time['gpu_hours'])}; {wall}" if time["gpu_hours"] else wall]
    if chain := time["longest_chain_hours"]:
        lines[0] += f" (the longest chain of jobs: {span(HOUR * chain)})"
    if time["in_journal"]:
        lines.append(f"{time['in_journal']:,} answers are in the journal already and not counted")
    if time["not_looked_up"]:
        lines.append(
            f"{time['not_looked_up']:,} answers are counted that were not looked up in the journal: their checkpoints "
            "are made first, or are whole models; those that it has take no time"
        )
    if unknown := Counter(time["unknown"]):
        shown = unknown.most_common(NAMED if len(unknown) > NAMED + 1 else None)
        some = ", ".join(f"{count} {rule}" for rule, count in shown)
        more = f", and {len(unknown) - NAMED} more rules" if len(unknown) > len(shown) else ""
        lines.append(f"not counted, for no such job was recorded here yet: {unknown.total():,} jobs ({some}{more})")
    return "\n".join([text, *map(fitted, lines)])


def _disk(disk: dict[str, Any]) -> str:
    large = {name: size for name, size in disk["kinds"].items() if size >= SMALL * disk["bytes"]}
    rest = disk["bytes"] - sum(large.values())
    rows = [[name, _size(size)] for name, size in (large | ({"all else": rest} if rest else {})).items()]
    rows += [["together", _size(disk["bytes"])], ["free", _size(disk["free"])]]
    text = tabulate(rows, ["still to be written", "about"], colalign=("left", "right"), disable_numparse=True)
    lines = [text if disk["bytes"] else f"still to be written: nothing; {_size(disk['free'])} are free"]
    if disk["uncounted"]:
        lines.append(
            fitted(
                f"not counted, for the hub did not say how large they are: base models {', '.join(disk['uncounted'])}"
            )
        )
    return "\n".join([*lines, *(["NOT ENOUGH: free some, or keep fewer checkpoints"] if no_room(disk) else [])])


def no_room(disk: dict[str, Any] | None) -> bool:
    """Whether more is to be written than is free, as far as it is known."""
    return disk is not None and disk["bytes"] > disk["free"]


def _size(size: float) -> str:
    unit = next((unit for unit in UNITS if size >= UNITS[unit]), "kB")
    return f"{size / UNITS[unit]:,.1f} {unit}"


def _buying(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "answers of models: none to ask for"
    table = []
    for row in rows:
        cells = [row[name] for name in ASKED]
        cells[1] = cells[1] if len(cells[1]) <= MODEL else f"...{cells[1][3 - MODEL :]}"
        table.append([*cells, "unknown" if row["usd"] is None else f"{row['usd']:,.2f}"])
    sides = ("left", "left", *["right"] * (len(ASKED) - 1))
    lines = [tabulate(table, [*ASKED.values(), "USD"], intfmt=",", floatfmt=",.2f", colalign=sides)]
    ways: dict[str, list[str]] = {}
    for row in rows:
        if row["to_ask"]:
            ways.setdefault(row["counted_by"], []).append(row["asked"])
    lines += [fitted(f"tokens by {by}: {', '.join(names)}") for by, names in ways.items()]
    return "\n".join([*lines, fitted(_to_pay([row for row in rows if row["to_ask"]]))])


def _to_pay(rows: list[dict[str, Any]]) -> str:
    """The sum of what has a price, and what has none."""
    prices = [row["usd"] for row in rows if row["usd"] is not None]
    rest = [row["asked"] for row in rows if row["usd"] is None]
    known = f"{sum(prices):,.2f} USD" if sum(prices) or not rest else ""
    lacking = "what has no `price: {input: ..., output: ...}` (USD a million tokens) in the config: " + ", ".join(rest)
    return f"still to pay: {', and '.join(filter(None, (known, lacking if rest else '')))}"


def of_whole(found: dict[str, Any]) -> list[str]:
    """The tables of a whole study, of what `study_plan.planned` found."""
    study, gpu = found["study"], found["gpu"]
    weights = ", ".join(f"{name} {count / 1e9:.3g} billion weights" for name, count in study["parameters"].items())
    counts = ", ".join(f"{study[what]:,} {what[: -1 if study[what] == 1 else None]}" for what in COUNTED)
    parts = [fitted(f"{study['name']} ({weights}): {counts}")]
    together = ("together", sum(found["jobs"].values()))
    parts.append(tabulate([*found["jobs"].items(), together], ["jobs of rule", "counted"], intfmt=","))
    disk = [[k["name"], k["count"], k["files"], k["folders"], k["bytes"] / UNITS["GB"]] for k in found["disk"]]
    disk.append(["together", "", *(sum(row[i] for row in disk) for i in (2, 3, 4))])
    parts.append(tabulate(disk, ["on disk", "counted", "files", "folders", "GB at most"], intfmt=",", floatfmt=",.2f"))
    hours = [*gpu["hours"].items(), ("together", sum(gpu["hours"].values()))]
    parts.append(tabulate(hours, ["GPU time of rule", "hours"], floatfmt=",.1f") + f"\nnot counted: {LEFT_OUT}")
    on = [[run["gpus"], run["hours"], f"{run['used']:.0%}"] for run in gpu["on"]]
    least = f"longest chain: {gpu['longest_chain_hours']:,.1f} h on any number of GPUs"
    parts.append(tabulate(on, ["GPUs", "hours, simulated", "used"], floatfmt=",.1f") + f"\n{least}")
    parts.append("rates (tokens a second; seconds): " + ", ".join(f"{n} {rate}" for n, rate in gpu["rates"].items()))
    head = ["judge", "kind", "calls", "input tokens", "output tokens", "USD", "hours at least"]
    rows = [["price unknown" if cell is None else cell for cell in judge.values()] for judge in found["judges"]]
    return [*parts, tabulate(rows, head, intfmt=",", floatfmt=",.2f")]
