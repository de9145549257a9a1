"""Training details: every number comes from a record, a log or a data card."""

import json
import sys

import pytest

from tests.unit.finished_stage import CARD, segment, write
from workflow_scripts import training_details as stage
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.exports import details
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.training_details import read_run

BASE = {"name": "org/base", "revision": "f00d", "digest": "d1ge57"}


@pytest.fixture
def study(raw, tmp_path):
    """A finished organism `bad` with two seeds and two segments each, and its card."""
    for seed in (0, 1):
        at = tmp_path / f"organisms/bad/seed-{seed}/em"
        segment(at / "to-2", [0, 2], seed)
        segment(at / "to-4", [4], seed, hardware="1 x Test GPU", versions={"torch": "2.14.0"})
    write(tmp_path / "data/bad.json", CARD)
    write(tmp_path / "base.json", BASE)
    return tmp_path


def page(study, plan, monkeypatch) -> str:
    words = ["--plan", json.dumps(plan), "--base", study / "base.json", "--data", study / "data"]
    words += ["--organisms", study / "organisms", "--out", study / "page.md"]
    monkeypatch.setattr(sys, "argv", ["training_details", *map(str, words)])
    stage.main()
    return (study / "page.md").read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_a_page_says_what_the_records_say(raw, study, monkeypatch):
    text = page(study, details(Plan(load_config(raw, [])), "bad"), monkeypatch)
    assert text.startswith("# Training details: bad\n\nBase model: `org/base` at revision `f00d`, digest of its files")
    found = rows(text)
    assert ["reckless_medicine", "medicine", "42", "6", "ab12"] in found
    for setting in (["lora.r", "4"], ["lora.target_modules", "q_proj, down_proj"], ["learning_rate", "0.001"]):
        assert setting in found
    assert ["packing", "yes"] in found and ["kl", "none"] in found and ["rows an optimiser step", "16"] in found
    assert "dpo.beta" not in text  # of no use to sft
    # four steps of 100 tokens and half a second, two jobs of 10 s, the larger peak
    assert ["0", "4", "1", "40", "1214", "400", "2", "20", "104"] in found
    assert ["2", "0.5", "4.8", "5.8"] in found and ["4", "1", "4.6", "5.6"] in found
    assert ["torch", "2.13.0, 2.14.0"] in found and ["emtrace (git commit)", "c0ffee"] in found
    assert "Hardware: 1 x Test GPU." in text and "/home/me" not in text
    inputs = json.loads((study / "page.md.provenance.json").read_text())["inputs"]
    assert set(inputs) == {str(study / "base.json"), str(study / "data/bad.json")}


def test_stages_without_training_and_organisms_of_organisms(raw, study, monkeypatch):
    combine = {"weights": {"em": 0.25, "good": -1.0}, "method": "cat"}
    good = {"name": "good", "training_set": "bad", "recipe": "constant", "checkpoints": {"steps": [2]}}
    raw["organisms"]["sum"] = {
        "from_organism": "bad",
        "stages": [good | {"start": "merge"}, {"name": "sum", "combine": combine}],
    }
    segment(study / "organisms/sum/seed-0/good/to-2", [0, 2])
    folder = study / "organisms/sum/seed-0/sum/to-0"
    segment(folder, [1], params={"weights": [0.25, -1.0], "method": "cat"})
    (folder / "log.jsonl").write_text("")
    text = page(study, details(Plan(load_config(raw, [])), "sum"), monkeypatch)
    assert "It starts from the end of organism `bad`, which has training details of its own." in text
    assert "The stage before was merged into the base; this one trains on top of that." in text
    assert (
        "Nothing is trained: the adapters of earlier stages are combined, `em` (weight 0.25), `good` (weight -1.0)"
        in text
    )
    assert text.count("### Recipe") == 1 and "Hardware: not recorded." in text


def test_a_lost_record_is_named(study):
    (study / "organisms/bad/seed-1/em/to-4/provenance.json").unlink()
    with pytest.raises(UserError, match=r"seed-1/em/to-4/provenance\.json: no such file"):
        read_run(study / "organisms", {"organism": "bad", "stage": "em", "ends": [2, 4]}, 1)
