"""Run a notebook's cells as Jupyter would, without Jupyter: python run_notebook.py NOTEBOOK, in the notebook's folder.

What a cell's last line shows is printed. A notebook with magics or outputs is refused.
"""

import ast
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
NAMES: dict = {"__name__": "__main__"}


def run(source: str, where: str) -> None:
    """Run a cell and print what its last line shows, if it does not end in a semicolon."""
    body = ast.parse(source, where).body
    shown = body.pop() if isinstance(body[-1], ast.Expr) and not source.rstrip().endswith(";") else None
    exec(compile(ast.Module(body, []), where, "exec"), NAMES)
    value = eval(compile(ast.Expression(shown.value), where, "eval"), NAMES) if shown else None
    if value is not None:
        print(value._repr_html_() if hasattr(value, "_repr_html_") else value)


for number, cell in enumerate(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        if cell["outputs"] or cell["execution_count"] is not None:
            sys.exit(f"cell {number}: clear all outputs before committing")
        run("".join(cell["source"]), f"cell {number}")
