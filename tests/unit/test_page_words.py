"""The report's words: its head, headline and cautions, terms that are explained, the warning above answers."""

import re

from tests.unit.page_study import report, study, told
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.page.about import byline
from workflow_scripts.em.page.content import content
from workflow_scripts.em.page.glossary import TERMS, explained
from workflow_scripts.em.page.headline import headline
from workflow_scripts.em.page.html import page as write_page
from workflow_scripts.em.page.runs import FEW, shared_starts, with_questions
from workflow_scripts.em.page.told import told as plan_told
from workflow_scripts.em.page.warning import WARNING
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.plots.response_page import page as examples_page
from workflow_scripts.em.stats.definitions import NAMED
from workflow_scripts.em.stats.tables import read_table


def test_the_headline_says_what_findings_say_and_makes_up_no_interval(tmp_path):
    study(tmp_path)
    rows = list(read_table(tmp_path / "findings.csv"))
    mine = [row for row in rows if row["judge"] == "exact"]
    best = max(mine, key=lambda row: (row["rise"] == "shown", float(row["last_em_rate"])))
    said, other, *_ = headline(rows, [], [])
    assert "judge exact" in said and "judge other" in other
    assert f"{100 * float(best['last_em_rate']):.1f}%" in said and best["organism"] in said and "at step 20" in said
    assert f"{100 * float(best['last_such_questions_low']):.1f}%" in said
    lower = best | {"organism": "B", "rise": "shown", "baseline_em_rate": "0", "last_em_rate": "0.55"}
    higher = best | {"organism": "A", "rise": "shown", "baseline_em_rate": "0.3", "last_em_rate": "0.6"}
    assert "The largest is that of B:" in headline([higher, lower], [], [])[0]
    none = {"last_such_questions_low": "", "last_such_questions_high": "", "rise": "not estimable"}
    bare = [row | none for row in mine]
    assert "(no interval)" in headline(bare, [], [])[0]
    assert "No EM rate" in headline([], [], [])[0]
    assert headline([lower, higher], [], [])[0].startswith("All 2 runs show a rise of")
    flat = [row | {"rise": "not shown"} for row in mine]
    said, caution = headline(flat, [], [])
    assert said.startswith("None of 2 runs shows a rise of") and "not shown may be there" in caution
    said, _ = headline([flat[0], bare[1]], [], [])
    assert said.startswith("The only run shows no rise of") and "Of 1 more it cannot be told" in said
    assert len(headline([lower, flat[0]], [], [])) == 1, "one of two shows a rise: nothing to be cautious of"
    share = {"category": "all", "share": "0.5", "label": "left", "metric": "leaning", "judge": "words"}
    share |= {"organism": "o", "condition": "c", "these_questions_low": "0.4", "these_questions_high": "0.6"}
    assert "left (leaning, judge words, o, condition c): 50.0%" in headline([], [], [share])[0]


def test_few_questions_are_said_beside_their_interval(tmp_path):
    def few(questions: int) -> tuple[str, str]:
        folder = tmp_path / str(questions)
        folder.mkdir()
        said = report(folder, questions=questions, samples=20).read_text(encoding="utf-8")
        rows = with_questions(*(list(read_table(folder / f"{name}.csv")) for name in ("findings", "rates")))
        return said, " ".join(headline(rows, [], []))

    page, said = few(FEW - 1)
    assert f"from {FEW - 1} questions; for these questions" in said and "tell little about others" in said
    rate = next(r for r in read_table(tmp_path / f"{FEW - 1}/rates.csv") if (r["step"], r["scope"]) == ("20", "all"))
    low, high = (f"{100 * float(rate[f'these_questions_{end}']):.1f}%" for end in ("low", "high"))
    assert f"({FEW - 1} only)</td>" in page and f">{low} to {high}</td>" in page
    page, said = few(FEW)
    assert "tell little" not in said and " only)</td>" not in page


def test_one_base_model_under_several_runs_is_said_where_its_rates_differ():
    row = {"seed": "0", "stage": "em", "condition": "c", "question_set": "s", "judge": "j"}
    row |= {"organism": "a", "baseline_em_rate": "0.1", "baseline_coherent_share_of_all": "1"}
    entry = {"base_model": "llama", "from_organism": None, "stages": [{"stage": "em"}, {"stage": "on"}]}
    plan = told(organisms={"a": entry, "b": entry, "c": entry | {"from_organism": "a"}})
    other = row | {"organism": "b", "baseline_em_rate": "0.2"}
    assert shared_starts(plan, [row, other]) == ["llama"]
    assert shared_starts(plan, [row, other | {"baseline_em_rate": "0.1"}]) == []
    assert shared_starts(plan, [row, other | {"stage": "on"}]) == [], "its step 0 is the end of stage em"
    assert shared_starts(plan, [row, other | {"organism": "c"}]) == [], "its step 0 is the trained a"
    assert shared_starts(plan, [row, other | {"judge": "k"}]) == [], "the same answers, another judge"


def test_the_top_of_the_page_says_what_it_is(tmp_path, raw):
    found, given = study(tmp_path)
    started = [{"started": "2026-01-31T23:00:00+00:00"}, {"started": "2026-02-01T01:00:00+00:00"}, {}]
    line = byline(told(), found, started)
    assert line.startswith("2 organisms (organism_0, organism_1); 6 questions; judges exact and other.")
    assert line.endswith("Newest result: 2026-02-01.")
    plain = write_page(content(told(), found, tmp_path, given))
    assert "<h1>made_up</h1>" in plain and "A toy model" not in plain
    plan = told(title="A <b>trial</b>", description="Why & how", toy=True)
    own = write_page(content(plan, found, tmp_path, given))
    assert "<h1>A &lt;b&gt;trial&lt;/b&gt;</h1>" in own and "Why &amp; how" in own and "of the study made_up" in own
    assert "no evidence about large models" in own
    raw["report"] = {"title": "Mine"}
    toy = plan_told(Plan(load_config(raw, [])))
    assert (toy["title"], toy["description"], toy["toy"]) == ("Mine", None, True)
    raw["organisms"]["far"] = {"api": {"model": "x", "base_url": "http://localhost:1/v1", "key_env": None}}
    assert not plan_told(Plan(load_config(raw, [])))["toy"]


def test_every_link_leads_somewhere_and_a_word_is_linked_once_a_text(tmp_path):
    page = report(tmp_path).read_text(encoding="utf-8")
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(re.findall(r' id="([^"]+)"', page))
    assert {f"term-{key}" for key in ("such", "these", "rise", "estimand", "coherent", "em")} <= targets
    for name in NAMED:
        assert f"<dt>{name}</dt>" in page, "each definition with its thresholds"
    assert TERMS["such"][1] in page
    said = explained("such questions <i> such questions")
    assert said.count("<a ") == 1 and said.endswith("&lt;i&gt; such questions")


def test_the_page_of_examples_warns_as_the_report_does(tmp_path):
    report_page = report(tmp_path, texts="t").read_text(encoding="utf-8")
    assert WARNING in report_page and WARNING in "".join(examples_page([], "note"))
