"""YAML that people write, parsed in one place: a key that stands twice is refused, of which YAML keeps the last."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import why

# The same in C, where PyYAML was built with it: a study of a thousand organisms is a megabyte.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"  # of `<<`, of which each adds its keys


def parse_yaml(text: str, path: str | Path) -> Any:
    """What a YAML text holds; `path` is named in messages.

    Raises UserError, in one line, with the place of what cannot be parsed or of the keys that stand twice.
    """
    try:
        loader = LOADER(text)
        node = loader.get_single_node()
        if twice := list(_twice(node, "", set())):
            raise UserError("; ".join(f"{path}:{place}" for place in twice) + "; rename one, or take one out")
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}{_place(text, error)}") from None


def _twice(node: yaml.Node | None, at: str, seen: set[int]) -> Iterator[str]:
    """`line: message` of every key that its mapping holds already; `seen` has nodes that were looked at."""
    if id(node) in seen:  # by an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _twice(item, f"{at}[{i}]", seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name = f"{at}.{key.value}".removeprefix(".")
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                line, same = key.start_mark.line + 1, (key.tag, key.value)
                if same in lines:
                    yield f"{line}: {name} is written twice (first in line {lines[same]})"
                lines.setdefault(same, line)
            yield from _twice(value, name, seen)


def _place(text: str, error: Exception) -> str:
    try:
        list(yaml.parse(text, yaml.SafeLoader))
    except yaml.YAMLError as found:
        error = found  # not C's: it says better what it met, and where
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    if mark is None:
        return f": not valid YAML ({why(error)})"
    begins = f", in what begins in line {context.line + 1}" if context and context.line != mark.line else ""
    return f":{mark.line + 1}: not valid YAML ({error.problem}, column {mark.column + 1}{begins})"
