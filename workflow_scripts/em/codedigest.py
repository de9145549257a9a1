"""Digest of the code a stage runs: the syntax trees of its import closure inside this repository.

Comments, formatting and docstrings do not count, and neither do modules the stage does not import, so a rule that
carries the digest as a param is stale exactly when the code behind it changed. What a file holds is kept by its content
(em/kept_digests.py): Snakemake asks at every start, on a cluster also in every job.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from workflow_scripts.em.kept_digests import Kept

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "workflow_scripts"
KEPT = Kept(__file__)


@cache
def code_digest(module: str) -> str:
    """Hex digest (16 characters) of `module` (dotted, inside this repository) and all it imports from here."""
    seen: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen[name], imports = _read(name)
            todo += imports
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:16]


@cache
def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    path = _path(module)
    if path is None:
        raise ValueError(f"no module {module} under {ROOT}")
    source = path.read_bytes()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def found() -> list:
        tree = ast.parse(source)
        code = hashlib.sha256("".join(_canonical(tree)).encode()).hexdigest()
        return [code, sorted(set(_imports(tree, package)))]

    code, names = KEPT.get(hashlib.sha256(package.encode() + b"\0" + source).hexdigest(), found)
    return code, tuple(name for name in names if _path(name))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Candidate module names: each import, what is named after `from x import`, and the parents' __init__."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            origin = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (origin, node.module) if part)
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            pieces = name.split(".")
            if pieces[0] == PACKAGE:
                yield from (".".join(pieces[: i + 1]) for i in range(len(pieces)))


def _canonical(node: object) -> Iterator[str]:
    """A dump without positions, docstrings and empty fields: ast.dump's own form differs between Python versions."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for field, value in ast.iter_fields(node):
            if field == "body" and isinstance(value, list) and _is_docstring(node, value):
                value = value[1:]
            if value not in (None, []):
                yield f" {field}="
                yield from _canonical(value)
        yield ")"
    elif isinstance(node, list):
        for item in node:
            yield from _canonical(item)
            yield ","
    else:
        yield repr(node)


def _is_docstring(node: ast.AST, body: list) -> bool:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, holders) and ast.get_docstring(node, clean=False) is not None and bool(body)
