"""What figures of projections share: the rows at each direction's layer, and what a legend says."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from workflow_scripts.em.layers import middle
from workflow_scripts.em.plots.panels import facet_of, facets, on_page
from workflow_scripts.em.plots.style import select, unique

ASKED = ("reading", "stage", "condition", "question_set", "judge")
FACETS = ("direction", *ASKED)


def chosen(rows: Iterable[dict], style: dict, *keys: str) -> list[dict]:
    """The rows a figure is about, of every layer. A table without judges is not chosen from by judge."""
    rows = list(rows)
    judged = any("judge" in row for row in rows)
    return select(rows, style if judged else {**style, "judge": None}, *keys)


def shown_layers(rows: list[dict], style: dict) -> dict[str, str]:
    """The layer at which each direction is shown: that of the style, else the middle one of those in the table."""
    found = {}
    for (direction,) in unique(rows, "direction"):
        layers = sorted({int(row["layer"]) for row in rows if row["direction"] == direction})
        found[direction] = str((style["layers"] or {}).get(direction, middle(layers)))
    return found


def at_layer(rows: list[dict], layers: dict[str, str]) -> list[dict]:
    """The rows at each direction's layer."""
    return [row for row in rows if row["layer"] == layers[row["direction"]]]


def panels_of(rows: list[dict]) -> dict[tuple[str, ...], str]:
    """Panels as of `facets` over FACETS, those of one direction together."""
    found = facets(rows, FACETS)
    directions = list(dict.fromkeys(facet[0] for facet in found))
    return dict(sorted(found.items(), key=lambda item: directions.index(item[0][0])))


def of_facet(rows: list[dict], facet: tuple) -> list[dict]:
    """The rows of a panel of `panels_of`."""
    return [row for row in rows if facet_of(row, FACETS) == facet]


def label_steps(figure: Figure) -> None:
    """Say below the lowest panels that their axis is of steps."""
    for axis in figure.axes:
        if axis.get_visible() and axis.xaxis.get_tick_params()["labelbottom"]:
            axis.set_xlabel("Training step")


def fitting(lines: list[list], columns: int, height: float) -> int:
    """How many blocks of panels (each a list) fit a page when each begins a new row; the first does in any case."""
    return on_page(-(-len(line) // columns) * height for line in lines)


def left_out(drawn: int, found: int, table: str = "projections") -> list[str]:
    """What a legend says where not all blocks fit a page."""
    return [f"the first {drawn} of {found} blocks are drawn; {table}.csv has all"] if drawn < found else []
