"""Rules of the house that no one should have to remember: pins, secrets, imports, dangerous loading."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from workflow_scripts.em.data.archive import PUBLIC_PASSWORD
from workflow_scripts.em.provenance import recorded

ROOT = Path(__file__).parents[2]
CODE = sorted((ROOT / "workflow_scripts").rglob("*.py"))
HERE = Path(__file__)


def repository_files() -> list[Path]:
    """Text files that are, or would be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in found.stdout.splitlines()]
    return [p for p in paths if p.is_file() and p.suffix not in {".enc", ".png"} and p != HERE]


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports, at any level of it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


# --- pins


def pins(lines) -> dict[str, str]:
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_conda_and_pip_environments_have_the_same_pins():
    locked = pins((ROOT / "envs/cpu.txt").read_text(encoding="utf-8").splitlines())
    conda = yaml.safe_load((ROOT / "envs/cpu.yaml").read_text(encoding="utf-8"))
    (by_pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert pins(by_pip) == locked and len(locked) > 80
    assert "python=3.11" in conda["dependencies"]  # code digests are of its syntax trees
    tools = pins((ROOT / "envs/dev.txt").read_text(encoding="utf-8").splitlines())
    assert set(tools).isdisjoint(locked)


def test_every_pin_is_exact():
    for name in ("cpu.txt", "gpu.txt", "inspect.txt", "dev.txt"):
        for line in (ROOT / "envs" / name).read_text(encoding="utf-8").splitlines():
            assert line.startswith("#") or re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.]*", line), line


def test_this_environment_is_the_locked_one():
    from importlib import metadata

    locked = pins((ROOT / "envs/cpu.txt").read_text(encoding="utf-8").splitlines())
    for name in ("transformers", "peft", "snakemake", "pydantic", "numpy", "tokenizers"):
        assert metadata.version(name) == locked[name], name
    assert metadata.version("torch").partition("+")[0] == locked["torch"]


def test_every_imported_package_is_locked():
    """A package that is there only because another one needs it can go away with it."""
    from importlib import metadata

    names = ("cpu", "gpu", "inspect")
    lock = {name: pins((ROOT / f"envs/{name}.txt").read_text(encoding="utf-8").splitlines()) for name in names}
    owners = metadata.packages_distributions()
    assert not {name: v for name, v in lock["cpu"].items() if lock["gpu"].get(name) != v}
    for path in CODE:
        for name in imports(path) - set(sys.stdlib_module_names) - {"workflow_scripts"}:
            distributions = {d.lower().replace("_", "-") for d in owners.get(name, [name])}
            env = "gpu" if path.name == "unsloth_lora.py" else "inspect" if name == "inspect_ai" else "cpu"
            assert distributions & set(lock[env]), f"{path.name} imports {name}, which envs/{env}.txt lacks"


# --- secrets and places


def test_no_file_names_a_password_or_key():
    literal = re.compile(r"(?i)(passwor[dt]|passwd|secret|token|api_?key)[\"']?\s*[=:]\s*[\"']([^\"'{}$<>|]{5,})[\"']")
    keys = re.compile(r"\b(sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[ps]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{12,})")
    found = []
    for path in repository_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.name}: {key}" for key in keys.findall(text)]
        if "tests" not in path.relative_to(ROOT).parts:
            values = [match.group(2) for match in literal.finditer(text)]
            # in capitals: the name of an environment variable
            found += [f"{path.name}: {v}" for v in values if v != PUBLIC_PASSWORD and not v.isupper()]
    assert found == []


def test_no_file_names_a_place_on_one_machine():
    places = re.compile(r"(?<![\w.])/(work|root|home/\w+|Users/\w+|scratch|mnt)/")
    found = [f"{p.relative_to(ROOT)}" for p in repository_files() if places.search(p.read_text(errors="replace"))]
    assert found == []


def test_decrypted_data_and_results_are_ignored():
    for path in ("data/decrypted/x.jsonl", "results/x", ".env", ".venv/x"):
        done = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
        assert done.returncode in (0, 128), path


# --- what code may do


def test_no_code_of_others_is_run_on_loading():
    """Remote code only as the config says, and no pickles."""
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"trust_remote_code\s*=\s*True", text), path
        assert not re.search(r"\b(torch\.load|pickle\.|joblib\.|marshal\.|yaml\.load\b|yaml\.unsafe)", text), path
        assert not re.search(r"\b(shell\s*=\s*True|os\.system|(?<!\.)(eval|exec)\()", text), path
        assert imports(path).isdisjoint({"pickle", "dill", "cloudpickle", "joblib"}), path


def test_the_library_knows_neither_snakemake_nor_the_config_file():
    for path in (ROOT / "workflow_scripts/em").rglob("*.py"):
        assert "snakemake" not in imports(path), path
    for path in CODE:
        # sandbox, plan and so on: people call them by hand, and their default is Snakemake's
        if path.name not in ("config_docs.py", "progress.py", "render.py", "sandbox.py", "study_plan.py"):
            assert "config.yaml" not in path.read_text(encoding="utf-8"), path


HEAVY = {"torch", "transformers", "peft", "accelerate", "bitsandbytes", "vllm", "unsloth", "trl", "safetensors"}
# Tokenizers only: the card and the plan count tokens, the toy stage trains one; files of tensors without torch. All
# import late.
LIGHT = {
    "activation_files.py": {"save", "safe_open", "SafetensorError"},
    "data_card.py": {"AutoTokenizer"},
    "spending.py": {"AutoTokenizer"},
    "toy_tokenizer.py": {"PreTrainedTokenizerFast"},
}


def test_only_backends_import_the_heavy_packages():
    for path in CODE:
        if "backends" in path.parts:
            continue
        names = set()
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in HEAVY:
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names if alias.name.split(".")[0] in HEAVY}
        assert names == LIGHT.get(path.name, set()), path


def loaded_with(modules: list[str], watched: set[str]) -> str:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        f"print(*sorted({watched} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_help_and_the_workflow_load_nothing_heavy():
    """`--help` of every stage starts without torch, and `snakemake -n` without anything but pydantic and YAML."""
    stages = [f"workflow_scripts.{path.stem}" for path in (ROOT / "workflow_scripts").glob("[a-z]*.py")]
    assert len(stages) > 15
    assert loaded_with(stages, HEAVY | {"pandas", "matplotlib", "snakemake"}) == ""
    lines = (ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()
    workflow = [line.split()[1] for line in lines if line.startswith("from workflow_scripts")]
    assert len(workflow) > 4
    assert loaded_with(workflow, HEAVY | {"pandas", "matplotlib", "snakemake", "scipy", "numpy"}) == ""


def test_files_are_short_and_say_what_they_are():
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        assert lines <= 300, f"{path}: {lines} lines"
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{path} has no module docstring"
    assert (ROOT / "Snakefile").read_text(encoding="utf-8").count("\n") < 70


def test_a_stage_ends_well_on_a_machine_without_git(tmp_path, monkeypatch):
    """The commit is a courtesy of the record: hours of work must not end in a traceback because git is not there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with recorded("stage", {}, [], tmp_path / "out.txt"):
        (tmp_path / "out.txt").write_text("x", encoding="utf-8")
    assert '"git_commit": null' in (tmp_path / "out.txt.provenance.json").read_text(encoding="utf-8")
