"""Everything that a rule puts into a shell command is quoted (:q), or is what no shell takes for something else."""

import re
import shlex
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from workflow_scripts.em.config.base import Name
from workflow_scripts.em.steered import STEERED
from workflow_scripts.em.table_columns import is_metric

ROOT = Path(__file__).parents[2]
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]

NAME = "a name of the config (test_a_name_needs_no_quotes)"
NUMBER = "a number that pydantic made"
WORD = "one of a Literal's words"
OURS = "a path of names and numbers, all of ours"
JOINED = "words that shlex.join or shlex.quote has quoted"
# What stands in commands as it is -> why it may.
SAFE = {
    **dict.fromkeys(["wildcards.organism", "wildcards.stage", "wildcards.judge", "wildcards.recipe"], NAME),
    **dict.fromkeys(["wildcards.table", "wildcards.dataset", "wildcards.served"], NAME),
    **dict.fromkeys(["wildcards.seed", "wildcards.step"], r"constrained to \d+"),
    "wildcards.kind": "constrained to the figures' own kinds",
    **dict.fromkeys(["params.definition", "params.coherence", "params.sheet_definition"], NAME),
    **dict.fromkeys(["params.sheet_judge", "params.human", "params.without"], NAME),
    "params.metrics": "alignment, coherence, and label metrics: names, or identifiers (test_a_metric_needs_no_quotes)",
    **dict.fromkeys(["params.dtype", "params.method", "params.scope", "params.size"], WORD),
    "resources.objectives": WORD,
    **dict.fromkeys(["params.margin", "params.seed", "params.steps", "params.weights"], NUMBER),
    **dict.fromkeys(["resources.batch_size", "resources.warn_cut"], NUMBER),
    **dict.fromkeys(
        ["params.by", "params.password", "params.questions", "params.responses_of", "params.source"], JOINED
    ),
    "params.model": f"--model and {OURS}; in servers.smk {JOINED}",
    "params.judge": f"--judge and {NAME}",
    "params.judgments": f"{OURS}, with braces for the shell; in directions.smk {JOINED}",
    **dict.fromkeys(["params.activations", "params.responses"], f"{OURS}, with braces for the shell"),
    **dict.fromkeys(["params.contrasts", "params.journal", "params.rates"], f"options and {OURS}"),
    "params.start": f"options and {OURS}, numbers",
    "params.texts": f"nothing, or --texts and {OURS}, with braces for the shell",
    "params.public": "--public or nothing",
    "params.asked": f"{JOINED}, or nothing",
    "resources.chats": "--chats or nothing",
}


def unquoted() -> set[str]:
    found = set()
    for path in RULES:
        for block in re.findall(r"^ +shell:\n((?: {8}.*\n)+)", path.read_text(encoding="utf-8"), re.M):
            found |= {field for field in re.findall(r"\{([^{}]+)\}", block) if not field.endswith(":q")}
    return found


def test_every_field_of_a_command_is_quoted_or_known_to_need_no_quotes():
    assert {field: SAFE.get(field, "quote it with :q") for field in unquoted()} == SAFE


def test_every_command_is_looked_at():
    text = "".join(path.read_text(encoding="utf-8") for path in RULES)
    assert len(re.findall(r"^ +shell:", text, re.M)) == len(re.findall(r"^ +shell:\n {8}\"", text, re.M)) > 40
    assert not re.search(r"\bshell\(|^ +(run|script|notebook|wrapper):", text, re.M)


EVIL = [
    "a; touch x",
    "a b",
    "$(x)",
    "`x`",
    "a'b",
    'a"b',
    "a|b",
    "a&b",
    "a>b",
    "a\nb",
    "{a}",
    "a*",
    "~",
    "-rf",
    "../a",
    "a/b",
]


def test_a_name_needs_no_quotes():
    names = TypeAdapter(Name)
    for name in EVIL:
        with pytest.raises(ValidationError):
            names.validate_python(name)
    allowed = [chr(code) for code in range(0x250) if re.fullmatch("[A-Za-z0-9_.+-]", chr(code))]
    for sign in (*allowed, STEERED):
        assert names.validate_python(f"a{sign}".removesuffix(STEERED)) and shlex.quote(f"a{sign}") == f"a{sign}"


def test_a_metric_needs_no_quotes():
    assert is_metric("leaning") and not any(map(is_metric, EVIL))


def test_the_constraint_of_wildcards_is_that_of_names():
    text = (ROOT / "rules/common.smk").read_text(encoding="utf-8")
    (constraint,) = re.findall(r'^NAME = r"(.+)"$', text, re.M)
    assert f"^{constraint}$" == TypeAdapter(Name).json_schema()["pattern"]
