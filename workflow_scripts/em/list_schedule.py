"""When jobs that hold GPUs would run on so many of them: list scheduling."""

import heapq
from dataclasses import dataclass, field
from graphlib import TopologicalSorter


@dataclass
class Job:
    """A job that holds GPUs; `after` are the names of those it waits for."""

    rule: str
    seconds: float
    gpus: int = 1
    after: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Schedule:
    """Seconds from first start to last end on so many GPUs, and the share of their time that is used."""

    gpus: int
    seconds: float
    used: float


def schedule(jobs: dict[str, Job], gpus: int) -> Schedule:
    """List scheduling: whatever can start does, the longest way to the end first, as soon as GPUs are free.

    A job that wants more GPUs than are free lets others by. One that wants more than there are holds them all, and
    takes as much longer.
    """
    if not jobs:
        return Schedule(gpus, 0.0, 0.0)
    later: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for other in job.after:
            later[other].append(name)
    way = ways(jobs)
    held = {name: min(job.gpus, gpus) for name, job in jobs.items()}
    waits = {name: len(job.after) for name, job in jobs.items()}
    # By how many GPUs they want: of each only the first need be looked at.
    ready: dict[int, list[tuple[float, str]]] = {count: [] for count in held.values()}
    for name in (name for name, count in waits.items() if not count):
        heapq.heappush(ready[held[name]], (-way[name], name))
    running: list[tuple[float, str]] = []
    now, free, busy = 0.0, gpus, 0.0
    while any(ready.values()) or running:
        while fitting := [heap for count, heap in ready.items() if heap and count <= free]:
            _, name = heapq.heappop(min(fitting, key=lambda heap: heap[0]))
            work = jobs[name].seconds * jobs[name].gpus
            free, busy = free - held[name], busy + work
            heapq.heappush(running, (now + work / held[name], name))
        now, name = heapq.heappop(running)
        free += held[name]
        for other in later[name]:
            waits[other] -= 1
            if not waits[other]:
                heapq.heappush(ready[held[other]], (-way[other], other))
    return Schedule(gpus, now, busy / (now * gpus))


def ways(jobs: dict[str, Job]) -> dict[str, float]:
    """Name -> seconds from a job's start to the end of all that waits for it, on any number of GPUs."""
    found = {name: job.seconds for name, job in jobs.items()}
    order = TopologicalSorter({name: job.after for name, job in jobs.items()}).static_order()
    for name in reversed(list(order)):
        for other in jobs[name].after:
            found[other] = max(found[other], jobs[other].seconds + found[name])
    return found
