"""YAML that people write: what cannot be parsed and a key that stands twice are told with their place."""

import pytest
import yaml

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.study_files import read_study
from workflow_scripts.em.yaml_text import parse_yaml


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3: a is written twice (first in line 1)"]),
        ("o:\n  x: {}\n  y: {}\n  'x': {}\n", ["4: o.x is written twice (first in line 2)"]),
        ("s: [1, {k: 1, k: 1}]\n", ["1: s[1].k is written twice (first in line 1)"]),
        ("a: 1\na: 2\na: 3\n", [f"{line}: a is written twice (first in line 1)" for line in (2, 3)]),
        ('{\n "a": 1,\n "a": 2}', ["3: a is written twice (first in line 2)"]),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(text, places):
    with pytest.raises(UserError) as error:
        parse_yaml(text, "f.yaml")
    assert str(error.value) == "; ".join(f"f.yaml:{place}" for place in places) + "; rename one, or take one out"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: &one {x: 1, y: 2}\nb: {<<: *one, x: 2}\nc: *one\n",
        "a: &one {x: 1}\nb: &two {y: 1}\nc:\n  <<: *one\n  <<: *two\n",
        "1: a\n'1': b\nyes: c\n",
    ],
)
def test_all_else_is_read_as_yaml_reads_it(text):
    assert parse_yaml(text, "f.yaml") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1,\n  2\nc: 3\n",
         "f.yaml:4: not valid YAML (expected ',' or ']', but got ':', column 2, in what begins in line 2)"),
        ("a:\n\tb: 1\n", "f.yaml:2: not valid YAML (found character '\\t' that cannot start any token, column 1)"),
        ("a: 2024-13-45\n", "f.yaml: not valid YAML (month must be in 1..12)"),
        ("a: !!python/name:os.system\n", "f.yaml:1: not valid YAML (could not determine a constructor"),
    ],
)  # fmt: skip
def test_what_cannot_be_parsed_is_one_line_with_its_place(text, said):
    with pytest.raises(UserError) as error:
        parse_yaml(text, "f.yaml")
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_a_study_that_is_not_there_is_told_without_a_number(tmp_path):
    with pytest.raises(UserError, match=r"none.yaml: no such file \(relative paths start at"):
        read_study(tmp_path / "none.yaml")
