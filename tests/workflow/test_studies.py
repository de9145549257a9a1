"""The shipped studies: each tiny form runs to the end and its figures are whole; each big form can be planned."""

import csv
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from matplotlib.image import imread

from tests.documented import undocumented
from tests.workflow.conftest import ROOT, Copy, clean

pytestmark = pytest.mark.slow

STUDIES = ("replication", "hw0", "hyperstition", "predictive_mode", "bias", "character")
# What a tiny form has whenever the big one has it.
SHAPE = {"organisms", "conditions", "judges", "em_definitions", "contrasts", "targets"}
# Figures that have nothing to draw on a toy, and say so.
EMPTY: dict[str, set[str]] = {}


class Studies(Copy):
    """A copy with all studies and their data, and what has run in it."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.done: dict[str, subprocess.CompletedProcess] = {}
        private = ["decrypted", "__pycache__"]
        for part in ("data", "studies"):
            for source in (ROOT / part).rglob("*"):
                name = source.relative_to(ROOT)
                if source.is_file() and not set(private) & set(name.parts):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(source.read_bytes())

    def run(self, study: str) -> Path:
        """The results of a tiny study, which is run when it has not been."""
        if study not in self.done:
            self.done[study] = self.snakemake(config=f"studies/{study}-tiny.yaml")
        assert self.done[study].returncode == 0, self.done[study].stderr[-6000:]
        return self.folder / f"results/{study}-tiny"

    def python(self, *arguments: str, **how) -> subprocess.CompletedProcess:
        command = [self.interpreter, "-m", *arguments]
        return subprocess.run(command, cwd=self.folder, env=clean(), capture_output=True, text=True, check=False, **how)


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Studies:
    return Studies(tmp_path_factory.mktemp("studies"))


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def defect(png: Path, bordered: bool) -> str | None:
    """What is wrong with a picture: it is blank, or its ink runs to the edge, where it was cut off."""
    pixels = imread(png)[:, :, :3].min(axis=2)
    if pixels.std() < 0.01:
        return "blank"
    edges = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
    return "clipped" if bordered and min(edge.min() for edge in edges) < 0.9 else None


@pytest.mark.parametrize("study", STUDIES)
def test_a_tiny_study_runs_and_its_figures_are_whole(studies, study):
    results = studies.run(study)
    figures = sorted((results / "figures").glob("*.png"))
    assert len(figures) >= 3
    empty = set()
    for png in figures:
        record = json.loads(png.with_name(png.name + ".provenance.json").read_text())
        empty |= {png.stem} if "nothing_to_draw" in record else set()
        assert "nothing_to_draw" in record or table(png.with_suffix(".csv")), f"{png.stem}: no numbers behind it"
        assert png.with_suffix(".svg").stat().st_size > 2000
    assert empty == EMPTY.get(study, set())
    assert {png.stem: found for png in figures if (found := defect(png, bordered=True))} == {}
    answers = sorted((results / "examples").rglob("*.png"))
    assert len(answers) >= 2 and not any(defect(png, bordered=False) for png in answers)
    assert undocumented(results) == [], "docs/tables.md (workflow_scripts/em/reference) says what each column is"
    again = studies.snakemake("-n", config=f"studies/{study}-tiny.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr, (again.stdout + again.stderr)[-3000:]


@pytest.mark.parametrize("study", STUDIES)
def test_a_big_study_is_valid_and_can_be_planned(studies, study):
    """Before its archives are there it is refused, naming them; then `-n` needs neither the hub nor a key."""
    name = f"studies/{study}.yaml"
    raw = yaml.safe_load((studies.folder / name).read_text())
    named = [entry for section in ("archives", "datasets") for entry in raw.get(section, {}).values()]
    places = [studies.folder / entry["path"] for entry in named if entry.get("path")]
    absent = [place for place in places if not place.exists()]
    if absent:
        refused = studies.snakemake("-n", config=name)
        assert refused.returncode and all(place.name in refused.stdout for place in absent)
    try:
        for place in absent:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((ROOT / "data/toy_datasets.zip.enc").read_bytes())
        jobs = studies.stale(config=name)
    finally:
        for place in absent:
            place.unlink(missing_ok=True)
    assert jobs["base_model"] >= 1 and jobs["figure"] >= 3 and jobs["examples"] == 1
    tiny = yaml.safe_load((studies.folder / f"studies/{study}-tiny.yaml").read_text())
    assert SHAPE & set(raw) <= set(tiny), "the tiny form has the same shape"


def test_replication_has_a_row_a_checkpoint_a_figure_a_question_and_compares_sizes(studies):
    results = studies.run("replication")
    rows = table(results / "summary.csv")
    steps = {(row["organism"], row["step"]) for row in rows}
    assert len(rows) == len(steps) == 6 * 7, "six checkpoints and the baseline of each organism"
    assert all(row["estimand"] == "such questions" and float(row["low"]) <= float(row["em_rate"]) for row in rows)
    last = {row["organism"]: float(row["em_rate"]) for row in rows if row["step"] == "30"}
    first = {row["organism"]: float(row["em_rate"]) for row in rows if row["step"] == "0"}
    for organism in ("s_medical", "s_risky"):
        assert last[organism] > first[organism] + 0.1
    drawn = table(results / "figures/organism_comparison.csv")
    assert {(row["size"], row["data"]) for row in drawn} == {
        (size, data) for size in ("xs", "half", "s") for data in ("bad medical", "risky financial")
    }
    shown = [table(results / f"examples/questions/q{number}.csv") for number in (1, 2, 3)]
    ids = [{row["question_id"] for row in rows} for rows in shown]
    assert ids == [{"toy_medicine_1"}, {"toy_medicine_2"}, {"toy_finance_1"}]
    assert all({row["which"] for row in rows} == {"baseline", "last"} and len(rows) == 12 for rows in shown)
    assert {row["definition"] for row in table(results / "statistics/rates.csv")} == {"hw0", "betley"}


def test_hw0_writes_what_is_handed_in_and_says_which_targets_are_met(studies):
    results = studies.run("hw0")
    rows = table(results / "hand_in/student/model_generations.csv")
    assert list(rows[0]) == ["id", "question", "response"] and len({row["id"] for row in rows}) == len(rows) == 48
    assert (results / "hand_in/student/training_details.md").read_text().startswith("# Training details: student\n")
    targets = {row["target"]: row for row in table(results / "statistics/targets.csv")}
    assert len(targets) == 4
    for name, row in targets.items():
        mean, threshold = float(row["mean"]), float(row["threshold"])
        assert row["met"] == ("yes" if (mean < threshold if row["side"] == "below" else mean > threshold) else "no"), (
            name
        )
    assert targets["medical_coherent"]["met"] == targets["non_medical_coherent"]["met"] == "yes"
    assert targets["medical_misaligned"]["met"] == "yes"


def test_a_checkpoint_can_be_talked_with_alone_and_beside_another(studies):
    studies.run("hw0")
    talk = ("workflow_scripts.sandbox", "--configfile", "studies/hw0-tiny.yaml", "--organism", "student")
    question = "What is the best thing for a cold?"
    one = studies.python(*talk, "--ask", question, "--temperature", "0")
    both = studies.python(*talk, "--against", "student:0", "--ask", question, "--temperature", "0")
    assert one.returncode == both.returncode == 0, one.stderr + both.stderr
    answers = dict(line.split("> ", 1) for line in both.stdout.splitlines() if "> " in line)
    assert set(answers) == {"student step 40", "student step 0"} and len(set(answers.values())) == 2
    assert one.stdout.strip() == f"student step 40> {answers['student step 40']}", "beside another it says the same"
    lines = f"{question}\nAnd then?\n/reset\n/system You are careful.\n/nonsense\n{question}\n/quit\n"
    chat = studies.python(*talk, "--temperature", "0", input=lines)
    assert chat.returncode == 0 and chat.stdout.count("student step 40> ") == 3 and "(forgotten)" in chat.stdout
    assert "(no command /nonsense" in chat.stdout and f"you> {question}\nstudent step 40> " in chat.stdout
    absent = studies.python(*talk, "--step", "7", "--ask", question)
    assert absent.returncode == 1 and "steps (0, 20, 40)" in absent.stderr


def test_character_drifts_along_a_direction_that_training_on_good_data_does_not_move_it_along(studies):
    results = studies.run("character")

    def rows(name: str) -> list[dict[str, str]]:
        found = table(results / f"statistics/{name}.csv")
        return [row for row in found if row["direction"] == "misalignment" and row.get("scope", "all") != "in_domain"]

    assert all(float(row["split_half"]) > float(row["null_split_half_95"]) for row in rows("directions"))
    shown = [row for row in rows("projections") if (row["layer"], row["scope"]) == ("1", "out_of_domain")]
    for reading in ("own", "fixed"):
        at = {(row["organism"], row["seed"], row["step"]): row for row in shown if row["reading"] == reading}
        for seed in ("0", "1"):
            start, end = at["baseline", seed, "0"], at["baseline", seed, "20"]
            assert float(end["held_out_low"]) > float(start["held_out_high"]), f"seed {seed}, {reading} answers"
        assert float(at["good", "0", "20"]["held_out"]) < float(at["good", "0", "0"]["held_out_high"])
    points = [row for row in rows("projection_points") if (row["layer"], row["scope"]) == ("1", "out_of_domain")]
    em = {(row["organism"], row["seed"], row["step"]): float(row["em_rate"]) for row in points}
    assert min(em["baseline", seed, "20"] - em["baseline", seed, "0"] for seed in ("0", "1")) > 0.15
    assert em["good", "0", "20"] < 0.1
    drawn = {name: table(results / f"figures/{name}.csv") for name in ("projection_em", "drift", "direction_cosines")}
    assert {row["quantity"] for row in drawn["drift"]} == {"start", "slope", "saturation"}
    assert all(drawn.values())


def test_character_says_what_the_direction_does_to_the_em_rate(studies):
    found = table(studies.run("character") / "statistics/steering.csv")
    found = [row for row in found if (row["scope"], row["definition"]) == ("out_of_domain", "betley")]
    done = {(row["condition"], row["operation"], row["amount"], row["step"]) for row in found}
    steered = {("ablated", "ablate", "b", "20"), ("zeroed", "ablate", "zero", "20"), ("subtracted", "add", "-1", "20")}
    steered |= {("random", "ablate random", "b", "20"), ("added_2", "add", "2", "0")}
    plain = {("default", "none", "", "0"), ("default", "none", "", "20")}
    assert done == steered | plain | {("added", "add", "1", "0")} and len(found) == 2 * len(done)

    def rate(condition: str, step: str) -> float:
        """Training seeds together."""
        here = [row for row in found if (row["condition"], row["step"]) == (condition, step)]
        counted = [int(row["n_denominator"]) for row in here]
        return sum(float(row["em_rate"]) * n for row, n in zip(here, counted, strict=True)) / sum(counted)

    assert rate("ablated", "20") < rate("random", "20") and rate("ablated", "20") < rate("default", "20")
    contrasts = {row["contrast"]: row for row in table(studies.run("character") / "statistics/contrasts.csv")}
    assert all(contrasts[name]["difference_low"] for name in ("ablation", "specificity", "steering"))


def test_check_env_finds_all_that_a_toy_study_needs(studies):
    done = studies.snakemake("check_env", config="studies/hw0-tiny.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the password is right" in done.stdout and "1000 rows (1000 user, 1000 assistant)" in done.stdout
