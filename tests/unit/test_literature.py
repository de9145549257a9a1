"""Published rates beside the study's own: the shipped file, what is refused, the table and its figure."""

import pytest
import yaml

from tests.unit.test_config import complaints
from workflow_scripts.em.config.check_literature import literature_problems
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.literature import in_words, read_published, same_definition
from workflow_scripts.em.plots.literature import draw
from workflow_scripts.em.plots.style import parse
from workflow_scripts.em.stats.definitions import BETLEY, HW0, NAMED
from workflow_scripts.em.stats.intervals import wilson
from workflow_scripts.em.stats.tables import cell
from workflow_scripts.literature import COLUMNS, beside

FILE = "data/literature/published.yaml"
RATE = {"model": "m", "data": "d", "questions": "q", "judge": "j", "source": "paper", "rate": 0.25}


@pytest.fixture
def published(tmp_path):
    """A function that writes a file of published rates and reads it."""

    def write(**entries):
        path = tmp_path / "published.yaml"
        path.write_text(yaml.safe_dump({name: RATE | entry for name, entry in entries.items()}), encoding="utf-8")
        return path, read_published(path)

    return write


def test_the_shipped_numbers_have_a_source_and_a_shipped_definition(root):
    found = read_published(root / FILE)
    assert found["replication_8b_financial"].rate == 0.85 and found["replication_8b_financial"].counted() == HW0
    assert found["replication_8b_financial_betley"].n is None
    assert all(same_definition(entry, NAMED) for entry in found.values())


def test_a_rate_that_is_no_proportion_and_a_broken_definition_are_told(published):
    with pytest.raises(UserError, match=r"x\.definition: .*no shipped definition 'betly'"):
        published(x={"definition": "betly"})
    with pytest.raises(UserError, match=r"y\.rate"):
        published(y={"definition": "betley", "rate": 25})


def test_a_number_that_counts_something_else_is_refused(root):
    only_betley = {"organisms": {"a": {}}, "em_definitions": {"mine": BETLEY._asdict()}}
    literature = {"path": str(root / FILE), "compare": {"a": ["replication_1b_medical", "betley_gpt4o_insecure"]}}
    ((where, text),) = literature_problems(only_betley | {"literature": literature})
    assert where == "literature.compare.a[0]" and "alignment < 75, of all responses" in text
    assert not list(literature_problems({"organisms": {"a": {}}, "literature": literature}))
    wrong = literature | {"compare": {"b": ["betley_gpt4o_insecur"]}}
    told = dict(literature_problems({"organisms": {"bb": {}}, "literature": wrong}))
    assert "did you mean 'bb'" in told["literature.compare.b"]
    assert "did you mean 'betley_gpt4o_insecure'" in told["literature.compare.b[0]"]


def rate(step, seed, events, definition="betley", organism="a"):
    asked = {"condition": "default", "question_set": "q", "judge": "j", "stage": "em", "scope": "all"}
    numbers = {"step": str(step), "seed": str(seed), "n_denominator": "10", "n_events": str(events)}
    return {"organism": organism, "definition": definition, **asked, **numbers}


def test_own_and_published_rates_stand_together_by_definition(published):
    _, entries = published(p={"definition": "betley", "n": 20}, h={"definition": "hw0"}, z={"definition": "all_rows"})
    rows = [rate(0, 0, 0), rate(8, 0, 4), rate(8, 1, 6), rate(8, 0, 9, "hw0"), rate(8, 0, 1, organism="b")]
    table = list(beside("a", ["h", "p"], rows, NAMED, entries))
    assert [(row["definition"], row["published"] or "") for row in table] == [
        ("betley", ""), ("betley", "p"), ("hw0", ""), ("hw0", "h"),
    ]  # fmt: skip
    own, theirs, _, without_n = table
    assert (own["em_rate"], own["n_denominator"], own["n_seeds"], own["step"]) == (0.5, 20, 2, "8")
    assert (theirs["low"], theirs["high"]) == wilson(5, 20)[:2] and theirs["source"] == "paper"
    assert without_n["low"] is None and all(row["estimand"] == "these questions" for row in table)
    # nothing of ours under that definition: nothing is drawn beside nothing
    assert not list(beside("a", ["z"], rows, NAMED, entries))
    written = [{name: "" if row[name] is None else str(cell(row[name])) for name in COLUMNS} for row in table]
    figure, drawn = draw(written, parse({}))
    assert len(figure.axes) == 2 and len(drawn) == 4
    assert in_words(HW0) in figure.axes[1].get_title(loc="left").replace("\n", " ")


def test_a_rate_is_compared_only_with_an_organism_that_has_one(raw, root):
    raw["literature"] = {"path": str(root / FILE), "compare": {"character": [], "goood": []}}
    found = complaints(raw)
    assert "no checkpoint of 'character' is evaluated" in found["literature.compare.character"]
    assert "did you mean 'good'?" in found["literature.compare.goood"]
    raw["literature"]["compare"] = {"good": []}
    load_config(raw, [])
    raw["judges"]["words"] = {"kind": "keyword", "rules": "data/judges/leaning_keywords.yaml"}
    raw["evaluation"]["judges"] = ["words"]
    assert "no judge of `evaluation` gives alignment" in complaints(raw)["literature.compare.good"]
