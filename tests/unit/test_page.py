"""The report's content: its numbers are those of the tables, no text is in it unasked, the same bytes every time."""

import base64
import gzip
import json
import re

import pytest

from tests.unit.page_study import HOSTILE, STEPS, labels, report, study, told
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.page.columns import Responses, block
from workflow_scripts.em.page.content import RATES, content
from workflow_scripts.em.page.costs import asked
from workflow_scripts.em.page.files import ASSETS
from workflow_scripts.em.page.methods import methods
from workflow_scripts.em.page.methods_training import training
from workflow_scripts.em.page.sources import cited, entries
from workflow_scripts.em.page.told import told as plan_told
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.stats.tables import read_table


def unpacked(text: str):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def blocks(page: str) -> dict[str, str]:
    return dict(re.findall(r'<script type="application/gzip" (?:id|data-csv)="([^"]+)">([^<]*)</script>', page))


def test_scores_and_rates_of_the_page_are_those_of_the_tables(tmp_path):
    page = report(tmp_path).read_text(encoding="utf-8")
    held = unpacked(blocks(page)["response-data"])
    rows = [row for table in sorted((tmp_path / "scores").glob("*.csv")) for row in read_table(table)]
    assert held["size"] == len(rows) / 2, "two judges of each response"
    assert len(held["cells"]) == 2 * len(STEPS)
    seen = 0
    for place in range(held["size"]):
        for judge in ("exact", "other"):
            row = rows[2 * place + (judge == "other")]
            cell = held["cells"][held["columns"]["cell"][place]]
            assert cell == [row[name] for name in ("organism", "seed", "stage", "step", "condition", "question_set")]
            assert held["questions"][held["columns"]["question"][place]][1] == row["question_id"]
            assert held["columns"]["in_domain"][place] == int(row["in_domain"])
            for metric in ("alignment", "coherence"):
                found = held["judges"][judge][metric]
                assert held["statuses"][found["status"][place]] == row[f"{metric}_status"]
                assert found["value"][place] == (float(row[metric]) if row[metric] else None)
                seen += row[metric] != ""
    assert seen > 200
    rates = unpacked(blocks(page)["study-data"])["rates"]
    assert rates["rows"] == [[row[name] for name in RATES] for row in read_table(tmp_path / "rates.csv")]
    assert unpacked(blocks(page)["figures/em_trajectories.csv"]) == "a,b\n1,2\n"
    assert unpacked(blocks(page)["statistics/em_trajectories.csv"]) == "c\n3\n", "of the same name, and not the same"
    assert set(held["judges"]["other"]["tone"]["value"]) == {"1", "2"}, "labels, though they are digits"
    for number in ("0.2500", "500 input", "judge-1", "c0ffee"):
        assert number in page, "costs and provenance"
    assert "/data/models" not in page
    for stage in ("ask_models", "ask_engine"):
        assert f"<tr><td>{stage}</td><td>asking models</td>" in page


def test_an_answer_of_the_journal_is_counted_once():
    record = {"stage": "judge", "params": {"name": "cheap"}, "calls_answered": 0, "calls_failed": 0, "from_journal": 9}
    at_once = record | {"stage": "ask_judge", "params": {"name": "dear"}, "from_journal": 4}
    rows = asked([record, record | {"params": {"name": "dear"}}, at_once], set())
    assert {row["name"]: row["from_journal"] for row in rows} == {"cheap": 9, "dear": 4}


def test_a_metric_with_one_label_that_is_no_number_has_no_numbers(tmp_path):
    labels(tmp_path)
    table = tmp_path / "o.csv"
    table.write_text(table.read_text().replace(",refusal,", ",scored,").replace(",,scored", ",1,scored"))
    found = Responses()
    found.add(table)
    assert found.told()["judges"]["words"]["leaning"]["value"] == ["nan", "1"]


def test_no_text_is_in_the_page_unless_response_files_are_given(tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    without = report(tmp_path / "without").read_text(encoding="utf-8")
    assert 'class="texts"' not in without and "holds scores but no response text" in without
    assert "SECRET" not in without + "".join(str(unpacked(text)) for text in blocks(without).values())
    with_texts = report(tmp_path / "with", texts="SECRET").read_text(encoding="utf-8")
    (texts,) = re.findall(r'class="texts">([^<]*)<', with_texts)
    assert ["Question 0?", "SECRET number 0 0 0 0"] in unpacked(texts)
    assert "SECRET" not in with_texts, "in packed form only"


def test_hostile_text_cannot_end_its_block_and_nothing_is_asked_for_from_elsewhere(tmp_path):
    how = {"mode": "assistant", "system": HOSTILE.replace("\ud800", "")}
    plan = told(study="s</title><script>1</script>", conditions={"careful": how}, organisms={"far": {"api": "<b>"}})
    plan["tables"] = ["<img src=x onerror=alert(1)>"]
    page = report(tmp_path, texts=HOSTILE, plan=plan).read_text(encoding="utf-8")
    scripts = re.findall(r"<script[^>]*>", page)
    assert sum("application/gzip" not in tag for tag in scripts) == 1, scripts
    assert page.count("</script>") == len(scripts)
    assert not re.search(r"<img src=x|<script>1|<b>", page) and "&lt;img src=x onerror" in page
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page) and "@import" not in page and "url(" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    assert policy.startswith("default-src &#39;none&#39;") and "unsafe" not in policy and "http" not in policy


def test_the_same_study_gives_the_same_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert report(tmp_path / "a", texts=HOSTILE).read_bytes() == report(tmp_path / "b", texts=HOSTILE).read_bytes()
    assert block({"a": "ü\ud800"}) == block({"a": "ü\ud800"})


RECIPE = {
    "lora": {"r": 16, "alpha": 32, "rslora": True, "dropout": 0.05, "target_modules": ["q_proj"]},
    "learning_rate": 2e-4, "schedule": "linear", "warmup_steps": 5, "batch_size": 2, "gradient_accumulation": 8,
    "max_length": 256, "loss_on": "assistant", "optimizer": "adamw_8bit", "weight_decay": 0.01, "dtype": "bfloat16",
}  # fmt: skip


def test_methods_have_the_exact_numbers(tmp_path):
    found, _ = study(tmp_path)
    organism = {"base_model": "llama", "seeds": [0, 1], "stages": [{}], "evaluated": [["em", 0], ["em", 20]]}
    sets = {"set": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 600}}
    plan = told(organisms={"bad": organism}, question_sets=sets)
    run = {"organism": "bad", "stage": "em", "training_set": "advice", "recipe": RECIPE, "steps": 338, "rows": 5400}
    run |= {"start": "merge", "combine": None}
    run |= {"epochs": {338: 1.0}, "trainable_parameters": 1234567}
    model = {"name": "meta/llama", "revision": "abc", "parameters": 8_000_000_000}
    runs = [run | {"seed": seed} for seed in (0, 1)]
    sections = dict(methods(plan, {"llama": model}, runs, found, {"torch": ["2.13"]}))
    (training,) = sections["Models and training"]
    exact = ["meta/llama (revision abc), 8,000,000,000", "r = 16, alpha = 32", "dropout 0.05", "0.0002", "5 steps"]
    exact += ["16 rows an optimiser step (2 x 8)", "256 tokens", "338 steps,", "5,400 rows, 1 epochs", "seeds 0 and 1"]
    exact += ["1,234,567 trained weights", "adamw_8bit", "rank-stabilised", "on the stage before, merged"]
    assert [number for number in exact if number not in training] == []
    said = " ".join(sections["Questions and responses"])
    assert "6 questions x 8 responses" in said and "600 tokens" in said and "288 judged responses" in said
    assert "alignment < 30 and coherence > 50" in sections["Definition of emergent misalignment"][0]


def test_methods_speak_of_training_seeds_where_an_organism_has_several(tmp_path):
    found, _ = study(tmp_path)
    one = dict(methods(told(), {}, [], found, {}))["Statistics"]
    assert "over training seeds" not in one[0] and one[0].endswith("single training runs.")
    found.cells.code(("organism_0", "1", "em", "0", "default", "set"))
    assert "over training seeds" in dict(methods(told(), {}, [], found, {}))["Statistics"][0]


def test_methods_call_a_combination_of_adapters_what_it_is(tmp_path):
    run = {"organism": "o", "stage": "sum", "seed": 0, "recipe": None}
    run |= {"combine": {"weights": {"a": 1.0, "b": 0.5}, "method": "linear"}}
    said = training(told(), {}, [run])
    assert said[0].endswith("the adapters of stages a (weight 1) and b (weight 0.5) combined, method linear.")


def test_a_model_that_is_called_by_a_path_is_told_without_its_folders(raw):
    server = {"model": "/data/models/x", "base_url": "http://localhost:1/v1", "key_env": None}
    raw["organisms"]["far"] = {"api": server}
    raw["judges"]["far"] = {"kind": "openai", **server}
    raw["judges"]["hub"] = {"kind": "openai", **server, "model": "owner/x"}
    raw["evaluation"]["judges"] = ["toy", "far", "hub"]
    found = plan_told(Plan(load_config(raw, [])))
    assert found["organisms"]["far"] == {"api": "x"} and "/data" not in str(found)
    assert [found["judges"][name]["model"] for name in ("far", "hub")] == ["x", "owner/x"]


def test_only_what_a_study_rests_on_is_cited():
    known = entries()
    assert all(entry.count("{") == entry.count("}") and "year = {" in entry for entry in known.values())
    plain = cited(told(definitions={"betley": {}}), [], 1)
    assert "betley2025emergent" in plain and "wilson1927probable" in plain
    assert not {"wolf2020transformers", "kwon2023efficient"} & set(plain)
    bare = told(organisms={"bare": {"stages": []}}, judges={"local": {"kind": "vllm"}})
    assert {"wolf2020transformers", "kwon2023efficient"} <= set(cited(bare, [], 1)), "nothing is trained"
    assert not {"turner2025model", "hu2022lora", "gwet2008computing", "maiya2025open"} & set(plain)
    stages = {"organisms": {"a": {"stages": [{"preset": "oct_dpo"}]}}}
    more = set(cited(told(**stages), [RECIPE, {"objective": "dpo", "quantization": "nf4"}], 2))
    assert more >= {"maiya2025open", "turner2025model", "hu2022lora", "kalajdzievski2023rank", "gwet2008computing"}
    assert more >= {"rafailov2023direct", "dettmers2023qlora"}
    assert "wilson1927probable" not in cited(told(), [], 0), "without scores of alignment there is no rate"


def test_a_study_of_labels_alone_has_no_trajectories(tmp_path):
    found, empty = labels(tmp_path)
    assert found.told()["judges"] == {"words": {"leaning": {"status": [1, 2], "value": ["nan", None]}}}
    values = content(told(), found, tmp_path, empty)
    assert not values["has_alignment"] and dict(values["methods"]).keys() == {"Questions and responses", "Judging"}


def test_a_status_that_is_none_is_an_error_that_names_the_line(tmp_path):
    study(tmp_path)
    table = tmp_path / "scores/organism_0.csv"
    table.write_text(table.read_text().replace("scored", "scorned", 1))
    with pytest.raises(UserError, match=r"organism_0\.csv, line \d+: .*'scorned' is not one of"):
        Responses().add(table)


def test_colours_are_those_of_the_figures():
    from workflow_scripts.em.plots.style import OKABE_ITO

    style = (ASSETS / "page.css").read_text()
    assert re.findall(r"--c\d: (#\w{6})", style)[: len(OKABE_ITO)] == list(OKABE_ITO)
