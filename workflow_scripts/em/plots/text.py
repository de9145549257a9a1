"""Text that fits: widths measured from the font, wrapping, and a legend under the axes."""

from functools import lru_cache
from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font, LoadFlags

POINTS = 72
MISSING = "\N{REPLACEMENT CHARACTER}"


@lru_cache
def _font(family: str, weight: str) -> FT2Font:
    return get_font(findfont(FontProperties(family=family, weight=weight)))


@lru_cache(maxsize=65536)
def _advance(character: str, family: str, weight: str) -> float:
    """Advance width of a character at size 1, in points."""
    font = _font(family, weight)
    font.set_size(100, POINTS)
    return font.load_char(ord(character), flags=LoadFlags.NO_HINTING).linearHoriAdvance / 65536 / 100


def drawable(text: str, weight: str = "normal") -> str:
    """The text with every character the font has no shape for (control characters too) replaced."""
    font = _font("DejaVu Sans", weight)
    return "".join(c if c.isprintable() and font.get_char_index(ord(c)) else MISSING for c in text)


def width(text: str, size: float, family: str = "DejaVu Sans", weight: str = "normal") -> float:
    """Width of one line of text in inches, without kerning."""
    return sum(_advance(character, family, weight) for character in text) * size / POINTS


def wrap(text: str, inches: float, size: float, weight: str = "normal") -> list[str]:
    """Break text into lines at most `inches` wide; line breaks stay, a word too long for a line is cut."""
    lines = []
    for paragraph in text.expandtabs(4).splitlines() or [""]:
        line = ""
        for word in drawable(paragraph, weight).split(" "):
            joined = f"{line} {word}" if line else word
            if width(joined, size, weight=weight) <= inches:
                line = joined
                continue
            if line:
                lines.append(line)
            while word and width(word, size, weight=weight) > inches:
                kept = max(1, _fitting(word, inches, size, weight))
                lines.append(word[:kept])
                word = word[kept:]
            line = word
        lines.append(line)
    return lines


def _fitting(word: str, inches: float, size: float, weight: str) -> int:
    """How many of the word's characters fit."""
    total = 0.0
    for place, character in enumerate(word):
        total += width(character, size, weight=weight)
        if total > inches:
            return place
    return len(word)


def wrapped(text: str, inches: float, size: float) -> str:
    """`wrap` as one string."""
    return "\n".join(wrap(text, inches, size))


def _columns(labels: list[str], n: int) -> list[list[str]]:
    """Labels as a legend of n columns has them: filled one after the other, the first ones with one more."""
    least, more = divmod(len(labels), n)
    starts = [place * least + min(place, more) for place in range(n + 1)]
    return [labels[start:end] for start, end in pairwise(starts)]


def _across(labels: list[str], n: int, size: float, handle: float) -> float:
    """Width in inches of a legend of n columns."""
    parts = _columns(labels, n)
    return sum(handle + max(width(line, size) for label in part for line in label.splitlines()) for part in parts)


def legend_below(figure: Figure, handles: list, labels: list[str], size: float = 6.5) -> None:
    """Put one legend under all axes, in as many columns as fit; the figure grows by the legend's height."""
    handle = 6 * size / POINTS  # the handle, its gap and the column gap
    space = figure.get_figwidth() - 0.15
    labels = [wrapped(label, space - handle, size) for label in labels]
    columns = next(n for n in range(len(labels), 0, -1) if n == 1 or _across(labels, n, size, handle) <= space)
    lines = max(sum(label.count("\n") + 1 for label in part) for part in _columns(labels, columns))
    figure.set_figheight(figure.get_figheight() + 0.12 + lines * 1.75 * size / POINTS)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, fontsize=size, columnspacing=1.2, handlelength=2.2
    )
