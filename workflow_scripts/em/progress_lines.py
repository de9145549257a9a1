"""Lines for a terminal that is so many columns wide: nothing is wider, and what is shortened shows it."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

GAP = 2  # columns


class Row(NamedTuple):
    """A table's row: its cells, and how it looks."""

    cells: Sequence[str]
    style: str = ""


def table(heads: Sequence[str], rows: Sequence[Row], width: int, spare: Iterable[str] = ()) -> list[Text]:
    """The head's line, then one of each row; the first column left, the others right. Empty columns are left out.

    Where it is too wide, those named `spare` are left out one after the other, then the first is shortened.
    """
    if not rows:
        return []
    all_rows = [Row(heads, "bold"), *rows]
    widths = [max(len(row.cells[n]) for row in all_rows) for n in range(len(heads))]
    kept = [n for n in range(len(heads)) if any(row.cells[n] for row in rows)]
    for name in spare:
        if sum(widths[n] + GAP for n in kept) - GAP > width:
            kept = [n for n in kept if heads[n] != name]
    first, others = kept[0], kept[1:]
    widths[first] = min(widths[first], width - sum(widths[n] + GAP for n in others))
    lines = []
    for cells, style in all_rows:
        texts = [shortened(cells[first], widths[first]).ljust(widths[first])]
        texts += [cells[n].rjust(widths[n]) for n in others]
        lines.append(one_line((" " * GAP).join(texts), width, style))
    return lines


def fitting(blocks: Sequence[Sequence[Text]], most: float, more: Callable[[int], Text]) -> list[Text]:
    """The first blocks in at most so many lines, at least one block; `more` tells how many are left out."""
    found: list[Text] = []
    for n, block in enumerate(blocks):
        if n and len(found) + len(block) + (n + 1 < len(blocks)) > most:
            return [*found, more(len(blocks) - n)]
        found += block
    return found


def shortened(text: str, width: int) -> str:
    """In its middle: names differ by how they begin and end."""
    if len(text) <= width:
        return text
    end = max(0, width - 1) // 2
    return f"{text[: max(0, width - 1 - end)]}…{text[len(text) - end :]}"


def one_line(text: str, width: int, style: str = "") -> Text:
    """Its end is cut off where it is too long."""
    found = Text(text, style=style, no_wrap=True)
    found.truncate(width, overflow="ellipsis")
    return found


def wrapped(text: Text, console: Console) -> list[Text]:
    """In as many lines as it takes."""
    return list(text.wrap(console, console.width))
