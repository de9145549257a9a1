"""The commands of the docs, as a reader types them, and the files that their pages say to write."""

import re
import subprocess
import textwrap
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.docs_exceptions import NOT_RUN, RUN_ELSEWHERE, STAND_INS

ROOT = Path(__file__).parents[1]
SHELLS = ("bash", "sh", "console")
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"<!-- file: (\S+) -->\n( *)```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
# Quoted words, and comments, which begin a word.
COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*")|(?:^|[ \t]+)#.*$""", re.MULTILINE)
CONTINUED = re.compile(r"\s*\\\n\s*")


class Command(NamedTuple):
    """A command of a page: where it stands, and its text without comments, all lines that `\\` joins in one."""

    page: str
    line: int
    text: str

    @property
    def skipped(self) -> bool:
        return self.text in NOT_RUN or bool(re.fullmatch(RUN_ELSEWHERE, self.text))


def pages() -> list[str]:
    """Every page, as a path from the repository."""
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("studies/**/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def files(page: str) -> dict[str, str]:
    """Files that the page says to write (`<!-- file: NAME -->` before a block): name -> text."""
    found = FILE.findall((ROOT / page).read_text(encoding="utf-8"))
    return {name: textwrap.dedent(text) for name, _, text in found}


@cache
def commands(page: str) -> tuple[Command, ...]:
    """All commands of a page's shell blocks, in order; what is the reader's own is replaced by its stand-in."""
    text, found = (ROOT / page).read_text(encoding="utf-8"), []
    for block in BLOCK.finditer(text):
        if block[2] in SHELLS:
            first = text.count("\n", 0, block.start(3)) + 1
            found += [Command(page, first + at, told) for at, told in _split(_typed(block))]
    return tuple(found)


def _typed(block: re.Match) -> list[str]:
    """The lines of a block that are typed; of a console those after a prompt."""
    lines = textwrap.dedent(block[3]).splitlines()
    if block[2] == "console":
        return [line[2:] if line.startswith(("$ ", "> ")) else "" for line in lines]
    return lines


def _split(lines: list[str]) -> list[tuple[int, str]]:
    """(number of the first line, whole command): a command goes on while the shell would wait for more."""
    found, begun = [], []
    for number, line in enumerate(lines):
        for pattern, stand_in in STAND_INS.items():
            line = re.sub(pattern, stand_in, line)
        begun.append(line)
        if _whole("\n".join(begun)) or number == len(lines) - 1:
            text = CONTINUED.sub(" ", _bare("\n".join(begun)).strip())
            found += [(number - len(begun) + 1, text)] if text else []
            begun = []
    return found


def _bare(text: str) -> str:
    """A text without comments."""
    return COMMENT.sub(lambda found: found[1] or "", text)


@cache
def _whole(text: str) -> bool:
    if _bare(text).endswith("\\"):
        return False
    checked = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
    return checked.returncode == 0 and not checked.stderr  # an open here-document is a warning
