"""One version everywhere, a citation file that is valid, and a page of licences that is of the pins as they are."""

import re
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import yaml

from workflow_scripts.em.errors import UserError
from workflow_scripts.licences import LOCKS, MARK, licence, pins, row

ROOT = Path(__file__).parents[2]
# Not permissive, or not by a licence that is known.
TO_EXPLAIN = re.compile(r"GPL|MPL|Mozilla|Proprietary|not said", re.IGNORECASE)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def citation() -> dict:
    return yaml.safe_load(read("CITATION.cff"))


def rows() -> list[list[str]]:
    """Cells of the written table: package, version, licence, what for, home page."""
    table = read("docs/licences.md").partition(MARK)[2]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]


def test_the_version_is_the_same_everywhere():
    version, cited = tomllib.loads(read("pyproject.toml"))["project"]["version"], citation()
    assert (cited["version"], cited["date-released"].isoformat()) == re.findall(
        r"^## (\d\S*) - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.MULTILINE
    )[0]
    tags = re.findall(r"\bv(\d+\.\d+\.\d+)\b", read("config/README.md") + read("docs/module.md"))
    assert {cited["version"], *tags} == {version}


def test_the_citation_names_what_the_report_cites():
    said = citation()
    assert said["cff-version"] == "1.2.0" and said["license"] == "MIT" and said["authors"]
    entries = read("workflow_scripts/em/page/assets/references.bib")
    titles = re.findall(r"title = \{(.*)\},", entries)
    assert said["references"] and all(reference["title"] in titles for reference in said["references"])


def test_the_page_of_licences_has_every_pin_and_no_other():
    pinned = [(name, pin, use) for lock, use in LOCKS.items() for name, pin in pins(ROOT / lock)]
    assert [(name, pin, use) for name, pin, _, use, _ in rows()] == pinned, "make licences"


def test_every_licence_that_is_not_permissive_is_explained():
    notes = read("docs/licences.md").partition(MARK)[0]
    explained = {name for line in notes.splitlines() if line.startswith("|") for name in line.split("|")[1].split(", ")}
    special = {name for name, _, kind, _, _ in rows() if TO_EXPLAIN.search(kind)}
    assert special == {"easy-dataset-share", "certifi", "pathspec", "tqdm", "docutils"}
    assert special <= {name.strip() for name in explained}


@pytest.mark.parametrize(
    ("metadata", "file", "found"),
    [
        ("License-Expression: MIT\nLicense: other", "", "MIT"),
        ("License: long\n        text\nClassifier: License :: OSI Approved :: BSD License", "", "BSD License"),
        ("License: Apache-2.0", "", "Apache-2.0"),
        ("License: long\n        text", "\n  GNU LGPL\nversion 3", "GNU LGPL"),
        ("Author: somebody", "", "not said"),
    ],
)
def test_a_licence_is_told_from_the_surest_word_of_a_package(metadata, file, found, tmp_path):
    folder = tmp_path / "thing-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n{metadata}\n")
    (folder / "LICENSE").write_text(file)
    (folder / "RECORD").write_text("thing-1.0.dist-info/METADATA,,\nthing-1.0.dist-info/LICENSE,,\n")
    assert licence(Distribution.at(folder)) == found


def test_the_table_is_of_the_pinned_packages_only():
    with pytest.raises(UserError, match="nosuchthing is not installed; `make licences`"):
        row("nosuchthing", "1.0", "tests")
    with pytest.raises(UserError, match=r"pytest \S+ is installed, 0.1 is pinned"):
        row("pytest", "0.1", "tests")
