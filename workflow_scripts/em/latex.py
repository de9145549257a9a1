"""LaTeX tables for papers: booktabs, everything escaped, one column description a column."""

from collections.abc import Sequence
from typing import NamedTuple

PAGE = 40  # rows that fit a page; a longer table may break across pages
HEAD = "% Made by emtrace. In the preamble: \\usepackage{array,booktabs,longtable}\n"
ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "\N{MINUS SIGN}": "$-$",
    **{character: f"\\{character}" for character in "{}$&#%_"},
    **{character: f"{{{character}}}" for character in "[]*"},  # after `\\` they would be its options
}


class Column(NamedTuple):
    """Heading, and how the column is set: l, r, or a share of the text's width that lines are broken to."""

    heading: str
    how: str | float = "l"


def escape(text: str) -> str:
    """Text as LaTeX prints it: nothing in it is a command, and it stays on one line of the file."""
    return "".join(ESCAPES.get(character, character) for character in " ".join(text.split()))


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], caption: str, label: str) -> str:
    """A whole table environment from plain texts; one of more than PAGE rows is a longtable."""
    ragged = ">{\\raggedright\\arraybackslash}"
    spec = "".join(c.how if isinstance(c.how, str) else f"{ragged}p{{{c.how:g}\\linewidth}}" for c in columns)
    head = " & ".join(escape(column.heading) for column in columns) + " \\\\"
    body = [" & ".join(map(escape, row)) + " \\\\" for row in rows]
    named = f"\\caption{{{escape(caption)}}}\\label{{tab:{label}}}"
    if len(rows) > PAGE:
        opening = [f"\\begin{{longtable}}{{{spec}}}", f"{named} \\\\", "\\toprule", head, "\\midrule", "\\endfirsthead"]
        opening += ["\\toprule", head, "\\midrule", "\\endhead", "\\bottomrule", "\\endfoot"]
        lines = ["{\\footnotesize\\setlength{\\tabcolsep}{3pt}", *opening, *body, "\\end{longtable}}"]
    else:
        opening = [
            "\\begin{table}[htbp]",
            "\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
            named,
            f"\\begin{{tabular}}{{{spec}}}",
        ]
        lines = [*opening, "\\toprule", head, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", "\\end{table}"]
    return HEAD + "\n".join(lines) + "\n"
