"""Organisms by the two things in which they differ (`figures.groups`): the first makes panels, the second the lines."""

from workflow_scripts.em.errors import UserError


def grouped(rows: list[dict], style: dict) -> tuple[list[dict], dict]:
    """Rows whose `panel` is an organism's first thing and whose `organism` its second, and the style for them.

    Without groups both are returned as they are. Raises UserError for an organism that has no group.
    """
    groups = style["groups"]
    if not groups:
        return rows, style
    pairs = groups["of"]
    absent = {row["organism"] for row in rows} - set(pairs)
    if absent:
        raise UserError(f"figure style: groups lack organism {sorted(absent)[0]!r}")
    found = [{**row, "panel": pairs[row["organism"]][0], "organism": pairs[row["organism"]][1]} for row in rows]
    # Colours go by the order of organisms, in every figure.
    listed = style["order"] or (style["organism"] if isinstance(style["organism"], list) else pairs)
    order = list(dict.fromkeys(pairs[name][1] for name in listed if name in pairs))
    return found, {**style, "organism": order, "order": order}
