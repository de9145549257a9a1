"""Write the table of docs/licences.md: the pinned packages with their licences, as the installed packages say them."""

import argparse
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_file
from workflow_scripts.em.provenance import run

LOCKS = {"envs/cpu.txt": "running", "envs/dev.txt": "tests", "envs/inspect.txt": "Inspect"}
MARK = "<!-- What follows is written by `make licences`. -->\n"
HOMES = ("repository", "source", "source code", "code", "github", "homepage", "home")


def pins(lock: Path) -> Iterator[tuple[str, str]]:
    """(package, version) of each line of a lock file."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([\w.-]+)==(\S+)", line):
            yield found[1], found[2]


def licence(package: metadata.Distribution) -> str:
    """A package's licence by its metadata, or by the first line of its licence file."""
    told = package.metadata
    kinds = [kind.split(" :: ")[-1] for kind in told.get_all("Classifier", []) if kind.startswith("License :: ")]
    field = (told["License"] or "").strip()
    if "\n" in field:  # the whole text
        field = ""
    files = (path for path in package.files or () if re.search(r"LICEN[CS]E|COPYING", path.name))
    return told["License-Expression"] or ", ".join(kinds) or field or _first_line(files) or "not said"


def _first_line(files: Iterator[metadata.PackagePath]) -> str:
    return next((line.strip() for path in files for line in path.read_text().splitlines() if line.strip()), "")


def home(package: metadata.Distribution) -> str:
    """A package's repository or home page; empty where it names none."""
    named = (entry.split(", ", 1) for entry in package.metadata.get_all("Project-URL", []))
    pages = {label.lower(): address for label, address in named}
    return next((pages[name] for name in HOMES if name in pages), package.metadata["Home-page"] or "")


def row(name: str, version: str, use: str) -> str:
    """A line of the table. Raises UserError when the package is not installed as pinned."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(f"{name} is not installed; `make licences` sets up what it needs") from None
    if found.version.partition("+")[0] != version:
        raise UserError(f"{name} {found.version} is installed, {version} is pinned; `make licences` sets it up")
    return f"| {name} | {version} | {licence(found)} | {use} | {home(found)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/licences.md"), help="page whose table is written")
    args = parser.parse_args()
    notes = args.out.read_text(encoding="utf-8").partition(MARK)[0]
    rows = [row(*pin, use) for lock, use in LOCKS.items() for pin in pins(Path(lock))]
    with atomic_file(args.out) as handle:
        handle.write(f"{notes}{MARK}\n| package | version | licence | for | home page |\n|---|---|---|---|---|\n")
        handle.writelines(rows)


if __name__ == "__main__":
    run(main)
