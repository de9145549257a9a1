"""Code digests: quiet for comments, docstrings, layout and strangers; loud for every change of what a stage runs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.em import codedigest

ROOT = Path(__file__).parents[2]

FILES = {
    "__init__.py": "",
    "stage.py": '''
        """Docstring."""
        import json
        from workflow_scripts.em.direct import f as g

        RATE = 0.5  # a comment

        def main(a, b=1, *, c=None, **rest):
            """Docstring."""
            from workflow_scripts.em import inside
            if a == "text":
                return {"x": [g(b), 1], **rest}
            return None

        class Thing:
            """Docstring."""
            size: int = 3
        ''',
    "other.py": "from workflow_scripts.em.unused import N\n",
    "em/__init__.py": "",
    "em/direct.py": "from .relative import K\nimport workflow_scripts.em.dotted as d\nf = lambda x: x + K\n",
    "em/relative.py": "from .deep import *\nfrom ..top import T\nK = 1\n",
    "em/dotted.py": "from workflow_scripts.em.package import part\nN = 1\n",
    "em/inside.py": "def f():\n    from workflow_scripts.em.lazy import N\n    return N\n",
    "em/lazy.py": "N = 1\n",
    "em/deep.py": "N = 1\n",
    "em/package/__init__.py": "from workflow_scripts.em.package import sibling\n",
    "em/package/part.py": "N = 1\n",
    "em/package/sibling.py": "N = 1\n",
    "em/package/stranger.py": "N = 1\n",
    "em/unused.py": "N = 1\n",
    "top.py": "T = 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small copy of this repository's layout, and a function that digests a stage of it afresh."""
    monkeypatch.setattr(codedigest, "ROOT", tmp_path)
    for name, text in FILES.items():
        path = tmp_path / "workflow_scripts" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        lines = text.splitlines()
        path.write_text("\n".join(line.removeprefix("        ") for line in lines) + "\n", encoding="utf-8")

    def digest(stage: str = "stage") -> str:
        forget()
        return codedigest.code_digest(f"workflow_scripts.{stage}")

    yield tmp_path / "workflow_scripts", digest
    forget()


def forget() -> None:
    """What this process found; what is kept for the next stays."""
    for found in (codedigest.code_digest, codedigest._read, codedigest._path):
        found.cache_clear()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


QUIET = [
    ("stage.py", "# a comment", "# another"),
    ("stage.py", "RATE = 0.5  # a comment", "\n\n# more\nRATE = (\n    0.5\n)"),
    ("stage.py", '"""Docstring."""', '"""Another, on\n    two lines."""'),
    ("stage.py", '"text"', "'text'"),
    ("stage.py", "RATE = 0.5", "RATE = 5e-1"),
    ("stage.py", 'if a == "text":', 'if (a == "text"):'),
    ("em/relative.py", "K = 1", "K = 1  # one"),
    ("em/unused.py", "N = 1", "N = 2"),
    ("em/package/stranger.py", "N = 1", "N = 2"),
    ("other.py", "import N", "import N, N as M"),
]
LOUD = [
    ("stage.py", "0.5", "0.6"),
    ("stage.py", '"text"', '"texts"'),
    ("stage.py", '"text"', 'b"text"'),
    ("stage.py", "b=1", "b=True"),
    ("stage.py", "b=1", "b=1.0"),
    ("stage.py", "c=None", "c"),
    ("stage.py", "c=None", "c=..."),
    ("stage.py", "a == ", "a != "),
    ("stage.py", "return None", "return False"),
    ("stage.py", "size: int = 3", "size: str = 3"),
    ("stage.py", "class Thing", "class Things"),
    ("stage.py", "[g(b), 1]", "[1, g(b)]"),
    ("stage.py", "[g(b), 1]", "[g(b), *[1]]"),
    ("stage.py", "[g(b), 1]", "(g(b), 1)"),
    ("stage.py", '{"x": ', '{"y": '),
    ("stage.py", "f as g", "h as g"),
    ("stage.py", "import json", "import json as j"),
    ("stage.py", "def main", "@cache\ndef main"),
    ("em/direct.py", "x + K", "x - K"),
    ("em/relative.py", "K = 1", "K = 2"),
    ("em/deep.py", "N = 1", "N = 2"),
    ("em/dotted.py", "N = 1", "N = 2"),
    ("em/inside.py", "return N", "return -N"),
    ("em/lazy.py", "N = 1", "N = 2"),
    ("em/package/part.py", "N = 1", "N = 2"),
    ("em/package/sibling.py", "N = 1", "N = 2"),
    ("em/package/__init__.py", "import sibling", "import sibling as s"),
    ("top.py", "T = 1", "T = 2"),
]


@pytest.mark.parametrize(("name", "old", "new"), QUIET)
def test_quiet(package, name, old, new):
    folder, digest = package
    before = digest()
    edit(folder / name, old, new)
    assert digest() == before


@pytest.mark.parametrize(("name", "old", "new"), LOUD)
def test_loud(package, name, old, new):
    folder, digest = package
    before, other = digest(), digest("other")
    edit(folder / name, old, new)
    assert digest() != before
    assert digest("other") == other  # a stage that does not import it is not stale


def test_a_new_module_and_a_package_init_count(package):
    folder, digest = package
    before = digest()
    (folder / "em/__init__.py").write_text("VERSION = 2\n", encoding="utf-8")
    changed = digest()
    (folder / "em/new.py").write_text("N = 1\n", encoding="utf-8")
    assert before != changed == digest()
    edit(folder / "em/deep.py", "N = 1", "from workflow_scripts.em import new\nN = 1")
    assert digest() != changed


def test_touching_and_moving_the_checkout_change_nothing(package, tmp_path, monkeypatch):
    folder, digest = package
    before = digest()
    for path in folder.rglob("*.py"):
        path.touch()
    folder.parent.joinpath("moved").mkdir()
    folder.rename(tmp_path / "moved/workflow_scripts")
    monkeypatch.setattr(codedigest, "ROOT", tmp_path / "moved")
    assert digest() == before


def test_import_cycles_end_and_unknown_stages_are_named(package):
    folder, digest = package
    edit(folder / "em/deep.py", "N = 1", "import workflow_scripts.stage")
    assert digest()
    with pytest.raises(ValueError, match=r"no module workflow_scripts\.absent"):
        digest("absent")


# --- the rules


def rules() -> dict[str, str]:
    """Name -> text of every rule that runs a stage."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    parts = re.split(r"^rule (\w+):\n", text, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = {name: re.split(r"^(?=\S)", body, maxsplit=1, flags=re.MULTILINE)[0] for name, body in found.items()}
    return {name: body for name, body in found.items() if "    shell:" in body}


RULES = rules()


def options(module: str) -> tuple[set[str], set[str]]:
    """(all, required) long options of a stage, read from its source."""
    every, required = set(), set()
    tree = ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_bytes())
    # stages of one kind share the options made by one function of one of them
    for node in [node for node in tree.body if isinstance(node, ast.ImportFrom)]:
        if any(alias.name == "arguments" for alias in node.names):
            other = ast.parse(ROOT.joinpath(*node.module.split(".")).with_suffix(".py").read_bytes())
            functions = [found for found in other.body if isinstance(found, ast.FunctionDef)]
            tree.body += [found for found in functions if found.name == "arguments"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            every.add(node.args[0].value)
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            assert "help" in keywords, f"{module}: {node.args[0].value} has no help"
            if "required" in keywords and keywords["required"].value:
                required.add(node.args[0].value)
    return every, required


@pytest.mark.parametrize("name", RULES)
def test_a_rule_digests_the_stage_it_calls_and_passes_it_what_it_needs(name):
    body = RULES[name]
    called = re.findall(r"python -m ([\w.]+)", body)
    assert len(called) == (2 if name == "plan" else 1)
    # a stage that picks a module by name (figures) carries that module's digest beside its own
    digested = re.search(r'^        code=(?:lambda w: )?\[?code_digest\("([\w.]+)"\)', body, re.MULTILINE)
    # A check that is made again would train again all that hangs on it, so its code makes nothing stale;
    # what is only told has no output to be stale.
    assert name in ("training_check", "check_env") or (digested and digested.group(1) == called[0])
    assert all(f'code_digest("{module}")' in body for module in called[1:])
    shell = re.search(r"    shell:\n(.*)", body, re.DOTALL).group(1)
    given = set(re.findall(r"--[a-z][a-z-]*", shell))
    every, required = (set().union(*found) for found in zip(*map(options, called), strict=True))
    assert given <= every and required <= given
    # to the log alone, or to the terminal too where a person waits for it
    ends = ('> {log:q} 2>&1"', '2>&1 | tee {log:q} >&2"', '2>&1 | tee {log:q}"')
    assert shell.rstrip().endswith(ends), "the log holds what the stage says"


@pytest.mark.parametrize("page", ["README.md", *sorted(map(str, Path("docs").rglob("*.md")))])
def test_the_options_that_a_page_shows_are_there(page):
    """In passing too. That commands in blocks have all that they need is seen by running them (test_docs_commands)."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / page).read_text(encoding="utf-8"))
    commands = re.findall(r"python -m (workflow_scripts\.\w+)([^`\n#]*)", text)
    assert commands or page != "README.md"
    for module, words in commands:
        if f"<!-- file: {module.replace('.', '/')}.py -->" in text:  # the page has its reader write it
            continue
        every, _ = options(module)
        given = set(re.findall(r"--[a-z][a-z-]*", words))
        assert given <= every, f"{module}: no {given - every}"


def test_every_stage_is_digested_in_a_fresh_interpreter():
    """The time is printed, not asserted: it depends on who else uses the machine."""
    modules = sorted({module for body in RULES.values() for module in re.findall(r'code_digest\("([\w.]+)"\)', body)})
    assert len(modules) >= 14
    code = (
        "import sys, time; from workflow_scripts.em.codedigest import code_digest\n"
        "start = time.perf_counter(); found = [code_digest(m) for m in sys.argv[1:]]\n"
        "print(len(set(found)), round(time.perf_counter() - start, 3))"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True, cwd=ROOT)
    different, seconds = done.stdout.split()
    print(f"\ncode digests of {len(modules)} stages: {seconds} s")
    assert int(different) == len(modules)
