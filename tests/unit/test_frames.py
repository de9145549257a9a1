"""Tables as frames: every column is documented once, types are kept, nothing but an empty cell is missing."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from workflow_scripts import em
from workflow_scripts.em import kept_config
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.reference import HERE, KINDS, columns, meaning, tables
from workflow_scripts.em.reference.render import render
from workflow_scripts.em.stats.tables import write_table

SCORE = {
    "organism": "NA", "seed": 0, "stage": "em", "step": 10, "condition": "null", "question_set": "toy",
    "question_id": "007", "domain": "medicine", "in_domain": 1, "paraphrase": 0, "sample": 0, "judge": "toy",
    "alignment": 20.5, "alignment_status": "scored", "coherence": None, "coherence_status": "refusal",
    "manner": "careful", "manner_status": "scored", "response_id": "0123456789",
}  # fmt: skip
SECOND = {"domain": None, "in_domain": None, "condition": "careful", "step": 5, "manner": None, "manner_status": None}


@pytest.fixture
def study(tmp_path):
    """A study of two answers, still running: its rates are not there, and one figure has nothing to draw."""
    folder = tmp_path / "results/mine"
    (folder / "logs").mkdir(parents=True)
    for step in (5, 10):
        path = folder / f"responses/bad/seed-0/em/step-{step}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"id": f"0{step}", "step": step, "response": "Line\r\nbreak", "sampling_seed": 2**62 + 1, "system": None}
        path.write_text(json.dumps(row) + "\n")
    (folder / "scores").mkdir()
    write_table(folder / "scores/a.csv", [SCORE, SCORE | SECOND])
    plain = {name: value for name, value in SCORE.items() if not name.startswith("manner")}
    write_table(folder / "scores/b.csv", [plain | {"organism": "other", "domain": "a\r\nb"}])
    (folder / "figures").mkdir()
    (folder / "figures/onset.csv").touch()
    return em.load_study(folder)


# --- the reference


@pytest.mark.parametrize("table", tables())
def test_every_column_of_every_table_says_what_it_is(table):
    entry, names = tables()[table], columns(table)
    assert len(set(names)) == len(names) > 2 and set(entry.about) <= set(names)
    assert all(meaning(table, name) and meaning(table, name).meaning for name in names)


def test_no_column_is_described_twice_or_in_vain():
    texts = "".join((HERE / f"{name}.yaml").read_text(encoding="utf-8") for name in ("columns", "comparisons"))
    described = re.findall(r"^(\w+): \{(\w+)", texts, re.M)
    names = [name for name, _ in described]
    used = {column for table in tables() for column in columns(table)}
    assert len(names) == len(set(names)) and {kind for _, kind in described} == set(KINDS)
    assert set(names) - used == {"rate_from", "sd_questions_from", "sd_seeds_from"}, "columns that `power` may have"


def test_the_page_of_tables_is_fresh(root):
    assert render() == (root / "docs/tables.md").read_text(encoding="utf-8"), "run `make config`"


# --- the frames


def test_what_an_earlier_config_made_of_others_is_not_the_studys(study):
    written = {"study": "mine", "organisms": {"a": {"base_model": "toy"}}, "judges": {"toy": {"kind": "toy"}}}
    kept_config.keep(study.folder, written, ["mine.yaml"])
    text = (study.folder / "study.yaml").read_text()
    assert text.startswith("# What this study was last run with: mine.yaml") and yaml.safe_load(text) == written
    for judge in ("toy", "dropped"):
        path = study.folder / f"judgments/{judge}/a/seed-0/em/step-5.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"id": "05", "judge": judge}) + "\n")
    again = em.load_study(study.folder)
    assert [path.name for path in study.files("scores")] == ["a.csv", "b.csv"]
    assert [path.name for path in again.files("scores")] == ["a.csv"] and set(again.scores.organism) == {"NA"}
    assert list(again.judgments.judge) == ["toy"] and "responses" not in again.tables
    kept_config.keep(study.folder, written | {"organisms": {}, "tables": {"b": {"path": "b.csv"}}}, ["mine.yaml"])
    assert [path.name for path in em.load_study(study.folder).files("scores")] == ["b.csv"]


@pytest.mark.parametrize("text", ["a: [", "words"])
def test_a_kept_config_that_is_none_is_told(study, text):
    (study.folder / "study.yaml").write_text(text)
    with pytest.raises(UserError, match=r"results/mine/study.yaml: .*; the next run writes it anew"):
        em.load_study(study.folder)


def test_each_column_has_its_type_and_only_an_empty_cell_is_missing(study):
    scores = study.scores
    assert list(scores.organism) == ["NA", "NA", "other"] and list(scores.condition) == ["null", "careful", "null"]
    assert list(scores.condition.cat.categories) == ["null", "careful"], "in order of appearance"
    assert list(scores.question_id) == ["007"] * 3 and list(scores.response_id) == ["0123456789"] * 3
    kinds = {name: str(kind) for name, kind in scores.dtypes.items()}
    assert (kinds["step"], kinds["alignment"], kinds["in_domain"]) == ("int64", "float64", "boolean")
    assert (kinds["organism"], kinds["response_id"], kinds["manner"]) == ("category", "str", "category")
    assert scores.coherence.isna().all() and scores.domain.isna().sum() == 1 and scores.manner.isna().sum() == 2
    assert list(scores[scores.in_domain].domain) == ["medicine", "a\r\nb"], "a flag selects rows, missing ones not"


def test_json_lines_have_every_documented_column_in_the_order_of_steps(study):
    frame = study.responses
    assert tuple(frame.columns) == columns("responses") and list(frame.step) == [5, 10]
    assert list(frame.sampling_seed) == [str(2**62 + 1)] * 2 and frame.response[0] == "Line\r\nbreak"
    assert frame.system.isna().all() and frame.id[0] == "05"


def test_a_figure_with_nothing_to_draw_is_an_empty_frame(study):
    frame = study["figures/onset"]
    assert len(frame) == 0 and tuple(frame.columns) == columns("onset") and str(frame.baseline_rate.dtype) == "float64"


def test_frames_are_read_once_and_listed_and_described(study):
    assert study.scores is study["scores"] and study.tables == ["responses", "scores", "figures/onset"]
    assert "scores" in dir(study) and "rates" not in dir(study)
    told = study.columns("scores")
    assert told.loc["alignment", "kind"] == "score" and told.loc["manner", "meaning"] == "of this study's own"
    assert told.loc["domain", "empty"] == "the question has none"
    assert list(study.columns("rates").index) == list(columns("rates")), "of a table not made yet too"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda study: study.rates,
            r"`snakemake --cores 2 results/mine/statistics/rates.csv` makes it .*: responses, sc",
        ),
        (lambda study: study.contrasts, "needs `contrasts` in the config"),
        (lambda study: study["score"], "no table 'score'; did you mean 'scores'"),
        (lambda study: study["nosuch"], "no table 'nosuch'; there are: responses, [a-z_, /]+$"),
        (lambda study: em.load_study(study.folder.parent / "mien"), "no such study; in .*results/ did you mean 'mine'"),
        (lambda study: em.load_study(study.folder / "scores"), "holds no table of a study"),
    ],
)
def test_what_is_not_there_is_told_with_its_mend(study, ask, message):
    with pytest.raises(UserError, match=message):
        ask(study)


def test_an_attribute_that_is_no_table_is_an_attribute_error(study):
    with pytest.raises(AttributeError, match="did you mean 'rates'"):
        study.ratse  # noqa: B018
    assert not hasattr(em, "load")


def test_importing_the_library_imports_nothing_heavy():
    code = (
        "import sys; from workflow_scripts import em; em.load_study; print(sorted({'numpy','pandas'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
