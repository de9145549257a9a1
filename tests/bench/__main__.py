"""Run the benchmarks and rewrite their sections of docs/benchmarks.md. Most need a finished `make demo`."""

import argparse
import platform
import re
from datetime import date
from pathlib import Path

from tests.bench import (
    activations,
    chain,
    coverage,
    engine,
    generation,
    judging,
    memory,
    mixed_model,
    padding,
    scale,
    study,
    training,
)
from tests.bench.common import NOT_RUN
from workflow_scripts.em.files import atomic_file

DOC = Path("docs/benchmarks.md")
BENCHMARKS = {
    "chain": chain,
    "padding": padding,
    "training": training,
    "generation": generation,
    "engine": engine,
    "judging": judging,
    "activations": activations,
    "memory": memory,
    "study": study,
    "scale": scale,
    "coverage": coverage,
    "mixed_model": mixed_model,
}


def rewritten(text: str, name: str, report: str, where: str) -> str:
    """The document with a benchmark's section in place of its old one, under a mark with its name.

    `where` says when and on what it was measured. A benchmark that could not run leaves an old section alone.
    """
    head, *parts = re.split(r"^<!-- measured: (\w+) -->\n", text, flags=re.MULTILINE)
    sections = {name: part.strip() for name, part in zip(parts[::2], parts[1::2], strict=True)}
    title, _, found = report.strip().partition("\n\n")
    if not found.startswith(NOT_RUN):
        sections[name] = f"{title}\n\n{where}\n\n{found}"
    else:
        sections.setdefault(name, f"{title}\n\n{found}")
    ordered = [f"<!-- measured: {name} -->\n{sections[name]}\n" for name in BENCHMARKS if name in sections]
    return head + "\n".join(ordered)


def main() -> None:
    from torch.cuda import get_device_name, is_available

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS), help=f"which: {', '.join(BENCHMARKS)}")
    device = get_device_name() if is_available() else "CPU only"
    where = f"Measured {date.today()} with Python {platform.python_version()} on {platform.machine()}, {device}."
    for name in parser.parse_args().names:
        report = BENCHMARKS[name].report()
        print(report, flush=True)
        text = rewritten(DOC.read_text(encoding="utf-8"), name, report, where)
        with atomic_file(DOC) as handle:
            handle.write(text)


if __name__ == "__main__":
    main()
