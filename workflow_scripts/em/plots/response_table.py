"""Example responses as a table figure: wrapped, and cut only with a note that says so."""

from collections.abc import Iterator
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import Rectangle

from workflow_scripts.em.plots.style import pretty
from workflow_scripts.em.plots.text import POINTS, wrap
from workflow_scripts.em.stats.examples import score_text

SIZE = 6.5
LINE = SIZE * 1.32 / POINTS
PAD = 0.06
HEADS = {"baseline": "baseline", "last": "last checkpoint"}

Block = tuple[float, str, list[list[tuple[str, str]]]]  # height, background, columns of (line, weight)


def draw(rows: list[dict], width: float, most: int) -> Figure:
    """Draw example rows (see em.stats.examples), `width` inches wide, showing `most` characters of a response (0: all).

    Each question is a heading, each organism a line with its two responses side by side below.
    """
    blocks = list(_blocks(rows, width, most))
    height = sum(block[0] for block in blocks) + 0.04
    # "none" would be forgotten at the first saving.
    figure = Figure(figsize=(width, height), layout=PlaceHolderLayoutEngine(True, True))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    top = 0.02
    for block in blocks:
        _draw_block(axis, block, top, width)
        top += block[0]
    return figure


def _blocks(rows: list[dict], width: float, most: int) -> Iterator[Block]:
    for _, same in groupby(rows, key=lambda row: (row["question_set"], row["question_id"])):
        group = list(same)
        question = group[0]["question"] or pretty(group[0]["question_id"])
        yield _block([[(line, "bold") for line in wrap(question, width - 2 * PAD, SIZE, "bold")]], "#dfe6ec")
        for organism, pair in groupby(group, key=lambda row: row["organism"]):
            name = wrap(pretty(organism), width - 2 * PAD, SIZE, "bold")
            yield _block([[(line, "bold") for line in name]], "#f3f3f3")
            yield _block([_cell(row, width / 2 - 2 * PAD, most) for row in pair], "white")


def _block(columns: list[list[tuple[str, str]]], background: str) -> Block:
    return max(len(column) for column in columns) * LINE + 2 * PAD, background, columns


def _cell(row: dict, inches: float, most: int) -> list[tuple[str, str]]:
    head = f"{HEADS[row['which']]} ({pretty(row['stage'])}, step {row['step']}): {score_text(row)}"
    text = row["response"].strip()
    if most and len(text) > most:
        left = len(text) - most
        text = f"{text[:most].rstrip()} ... [{left} more characters in the CSV and HTML]"
    lines = [(line, "italic") for line in wrap(head, inches, SIZE)]
    return lines + [(line, "normal") for line in wrap(text, inches, SIZE)]


def _draw_block(axis: Axes, block: Block, top: float, width: float) -> None:
    height, background, columns = block
    axis.add_patch(
        Rectangle((0.01, top), width - 0.02, height, facecolor=background, edgecolor="#b5b5b5", linewidth=0.5)
    )
    for place, column in enumerate(columns):
        left = place * width / len(columns)
        if place:
            axis.plot([left, left], [top, top + height], color="#b5b5b5", linewidth=0.5)
        for number, (line, weight) in enumerate(column):
            style = {"fontweight": "bold"} if weight == "bold" else {}
            style |= {"color": "#44525e"} if weight == "italic" else {}
            axis.text(left + PAD, top + PAD + (number + 0.8) * LINE, line, fontsize=SIZE, va="baseline", **style)
