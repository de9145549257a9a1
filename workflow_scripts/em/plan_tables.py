"""The tables of `plan`: what is ready, what would run and why, time, disk, and what is still to be bought."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from workflow_scripts.em.dry_run import ABSENT, FOLLOWS
from workflow_scripts.em.progress import span

UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}
HOUR = 3600
SHOWN = 3  # files that are named of a row, and changes
WIDE = 60
# Of what is asked of models, by key.
ASKED = {"asked": "asked", "model": "model", "calls": "calls", "in_journal": "in journal", "to_ask": "to ask"}
ASKED |= {"input_tokens": "input tokens", "output_tokens": "output tokens", "counted_by": "tokens by"}


def told(found: dict[str, Any]) -> Iterator[str]:
    """The tables, one after the other, of `found`: parts of it may be missing, where something else is."""
    if "to_run" in found:
        yield _jobs(found["to_run"])
    if "time" in found:
        yield _time(found["time"])
    if "disk" in found:
        yield _disk(found["disk"])
    # An empty table says that nothing is to be asked: not where it could not be made.
    if found.get("to_buy") or ("to_buy" in found and not found["problems"]):
        yield _buying(found["to_buy"])
    yield from (f"PROBLEM: {text}" for text in found["problems"])


def _jobs(rows: list[dict]) -> str:
    if not rows:
        return "jobs: nothing to do, everything is there and up to date"
    count = sum(row["jobs"] for row in rows)
    table = [[row["rule"], row["jobs"], ", ".join(row["why"]), _files(row)] for row in rows]
    text = tabulate([*table, ["together", count]], ["jobs of rule", "to run", "because", "makes"], intfmt=",")
    kinds = Counter({_kind(row["why"]): 0 for row in rows})
    for row in rows:
        kinds[_kind(row["why"])] += row["jobs"]
    lines = [f"{count} jobs: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}"]
    for row in rows:
        lines += [f"{row['rule']}: {text}" for text in row["changed"][:SHOWN]]
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
    named = [name if len(name) <= WIDE else f"...{name[-WIDE:]}" for name in row["files"][:shown]]
    more = len(row["files"]) - shown
    return "\n".join([*named[:-1], f"{named[-1]} and {more} more" if more > 0 else named[-1]]) if named else ""


def _time(time: dict[str, Any]) -> str:
    rows = [[row["rule"], row["jobs"], span(HOUR * row["hours"]), row["from"]] for row in time["rules"]]
    text = tabulate(rows, ["time of rule", "jobs", "together", "from"], disable_numparse=True) if rows else "time: none"
    slots = time["slots"]
    on = f"{slots['count']} {slots['of']}{'s' * (slots['count'] != 1)}"
    wall = f"wall time, simulated on {on}: {span(HOUR * time['hours'])}"
    lines = [f"GPU time: {span(HOUR * time['gpu_hours'])}; {wall}" if time["gpu_hours"] else wall]
    if chain := time["longest_chain_hours"]:
        lines[0] += f" (the longest chain of jobs: {span(HOUR * chain)})"
    if time["unknown"]:
        jobs = ", ".join(f"{count} {rule}" for rule, count in time["unknown"].items())
        lines.append(f"not counted, for no such job was recorded here: {jobs}")
    return "\n".join([text, *lines])


def _disk(disk: dict[str, Any]) -> str:
    rows = [[name, _size(size)] for name, size in disk["kinds"].items()]
    rows += [["together", _size(disk["bytes"])], ["free", _size(disk["free"])]]
    text = tabulate(rows, ["still to be written", "about"], colalign=("left", "right"), disable_numparse=True)
    return f"{text}\nNOT ENOUGH: free some, or keep fewer checkpoints" if no_room(disk) else text


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
        usd = "price unknown" if row["usd"] is None else f"{row['usd']:,.2f}"
        table.append([*(row[name] for name in ASKED), usd])
    prices = [row["usd"] for row in rows if row["usd"] is not None]
    total = f"still to pay: {sum(prices):,.2f} USD" + (" and what has no price" if len(prices) < len(rows) else "")
    return f"{tabulate(table, [*ASKED.values(), 'USD'], intfmt=',', floatfmt=',.2f')}\n{total}"
