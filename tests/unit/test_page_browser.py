"""The report in a real browser: numbers, filters, keys, hostile text, widths and colours, and 50,000 responses."""

import json
import math

import pytest

from tests.browser import WIDTHS, Browser, needs_browser
from tests.unit.page_study import HOSTILE, STEPS, expected, labels, report, told
from workflow_scripts.em.page.content import content
from workflow_scripts.em.page.html import page as write_page
from workflow_scripts.em.stats.definitions import NAMED, Definition
from workflow_scripts.em.stats.tables import read_table

pytestmark = [pytest.mark.slow, needs_browser]
TABLE = "#em-chart table tbody tr"


@pytest.fixture(scope="module")
def browser():
    with_tab = Browser()
    yield with_tab
    with_tab.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    report(place, texts=HOSTILE)
    return place


@pytest.fixture
def page(browser, folder):
    """The report, open; at the end nothing has gone wrong and nothing but the file and its images was asked for."""
    browser.open(folder / "report.html")
    yield browser
    assert browser.problems == []
    assert browser.requests[0].startswith("file:")
    assert all(url.startswith(("data:image/", "blob:")) for url in browser.requests[1:]), browser.requests


def shown(page) -> dict[tuple[str, str], list]:
    """(organism, step) -> cells of the numbers behind the chart of EM rates, from the rate on."""
    page.ask("document.querySelector('#em-chart details').open = true")
    page.until(f"document.querySelectorAll('{TABLE}').length > 0")
    rows = page.ask(f"[...document.querySelectorAll('{TABLE}')].map(r => [...r.cells].map(c => c.textContent))")
    return {(row[0], row[3]): [float(cell or "nan") for cell in row[9:]] for row in rows}


def agrees(found: dict, rows: dict) -> None:
    assert found.keys() == rows.keys() and len(rows) == 2 * len(STEPS)
    names = ("em_rate", "such_questions_low", "such_questions_high", "n_events", "n_denominator")
    names += ("coherent_share_of_scored", "coherent_these_questions_low", "coherent_these_questions_high")
    for key, row in rows.items():
        wanted = [row[name] for name in (*names, "mean_alignment", "mean_coherence")]
        numbers = [math.nan if value is None else float(value) for value in wanted]
        assert found[key] == pytest.approx(numbers, rel=2e-5, nan_ok=True), key


@pytest.mark.parametrize("name", NAMED)
def test_declared_definitions_show_the_rates_of_the_table_and_are_counted_alike_here(page, folder, name):
    page.set("definition", name)
    rows = read_table(folder / "rates.csv")
    mine = [row for row in rows if (row["definition"], row["judge"], row["scope"]) == (name, "exact", "all")]
    table = {(row["organism"], row["step"]): {k: v or None for k, v in row.items()} for row in mine}
    agrees(shown(page), table)
    page.ask("byId('thresholds').dispatchEvent(new Event('input', {bubbles: true}))")
    assert page.ask("byId('definition').value") == "own"
    page.until("!byId('at-step').textContent.includes('counting')")
    agrees(shown(page), table)


def test_own_thresholds_give_the_rate_and_interval_that_python_computes(page, folder):
    page.set("scope", "out_of_domain")
    page.set("judge", "other")
    page.set("alignment-value", "29.999999")
    page.set("alignment-inclusive", "1")
    page.set("coherence-value", "50")
    page.set("coherence-inclusive", "1")
    page.set("denominator", "all")
    page.until("!byId('at-step').textContent.includes('counting')")
    rule = Definition(29.999999, True, 50, True, "all")
    agrees(shown(page), expected(folder, rule, "other", "out_of_domain"))
    page.set("alignment-value", "0")
    page.set("alignment-inclusive", "")
    page.until("!byId('at-step').textContent.includes('counting')")
    rows = expected(folder, Definition(0, False, 50, True, "all"), "other", "out_of_domain")
    assert {row["n_events"] for row in rows.values()} == {0}, "the bound without events"
    agrees(shown(page), rows)


def test_the_step_slider_answers_to_arrow_keys(page):
    page.ask("byId('step').focus()")
    assert page.ask("byId('step-value').textContent") == "step 20"
    page.press("ArrowLeft")
    assert page.ask("byId('step-value').textContent") == "step 10"
    assert page.ask("byId('step').getAttribute('aria-valuetext')") == "step 10"
    assert "10" in page.ask("document.querySelector('#at-step [role=region]').ariaLabel")


def test_filters_find_what_the_scores_say(page, folder):
    rows = [row for table in (folder / "scores").glob("*.csv") for row in read_table(table) if row["judge"] == "exact"]
    page.until("byId('found').textContent.startsWith('288 of')")
    page.set("f-step", "20")
    page.set("f-alignment-high", "30")
    wanted = [r for r in rows if r["step"] == "20" and r["alignment"] and float(r["alignment"]) <= 30]
    assert 5 < len(wanted) < 90
    page.until(f"byId('found').textContent === '{len(wanted)} of 288 responses'")
    page.set("f-order", "low")
    page.until("document.querySelector('#list .row').textContent.startsWith('alignment 0,')")
    page.ask("byId('filters').reset()")
    refused = sum(row["alignment_status"] == "refusal" for row in rows)
    page.set("f-status", "alignment\n=\n2")
    page.until(f"byId('found').textContent === '{refused} of 288 responses'")
    page.ask("byId('filters').reset()")
    page.set("f-search", "NUMBER 1 10 3")
    page.until("byId('found').textContent === '8 of 288 responses'")
    page.ask("byId('filters').reset()")
    page.ask("byId('f-events').click()")
    for name in ("betley", "betley_first_plot"):
        page.set("definition", name)
        events = sum(row["n_events"] for row in expected(folder, NAMED[name], "exact", "all").values())
        page.until(f"byId('found').textContent === '{events} of 288 responses'")
    ungated = expected(folder, NAMED[name]._replace(min_coherent=0), "exact", "all")
    assert events < sum(row["n_events"] for row in ungated.values()), "a question is left out"


def test_cleared_filters_are_those_of_the_first_judge(page):
    page.set("f-judge", "other")
    page.set("f-status", "tone\nis\n2")
    page.until("byId('found').textContent === '144 of 288 responses'")
    page.ask("document.querySelector('#filters [type=reset]').click()")
    page.until("byId('found').textContent === '288 of 288 responses'")
    assert not page.ask("byId('f-status').textContent.includes('tone')")


def test_an_open_text_is_closed_again_and_the_active_row_is_one_that_is_there(page):
    page.until("document.querySelector('#list .row') !== null")
    page.ask("byId('list').focus()")
    page.press("ArrowDown")
    page.ask("byId('f-open').click()")
    page.until("document.querySelector('[data-response]') !== null")
    page.ask("byId('f-open').click()")
    assert not page.ask("byId('one').querySelector('details').open")
    page.ask("byId('list').scrollTop = 1e6")
    page.until("byId('list').getAttribute('aria-activedescendant') === null")
    page.ask("byId('list').scrollTop = 0")
    page.until("byId('list').getAttribute('aria-activedescendant') === 'row-0'")


def test_a_hostile_text_is_shown_as_text_after_a_click_and_does_nothing(page):
    page.until("document.querySelector('#list .row') !== null")
    page.ask("byId('list').focus()")
    page.press("ArrowDown")
    assert page.ask("byId('list').getAttribute('aria-activedescendant')") == "row-0"
    assert page.ask("document.querySelector('[data-response]') === null"), "closed until it is opened"
    page.press("Enter")
    page.until("document.querySelector('[data-response]') !== null")
    text = page.ask("document.querySelector('[data-response]').textContent")
    assert "</script><script>window.bad = 1</script><img src=x" in text and "{{ 7 * 7 }}" in text
    assert "\x1b" not in text and "\u241b[31m" in text and "\u202e" not in text
    assert page.ask("document.querySelector('[data-response]').children.length") == 0
    assert page.ask("window.bad === undefined")


def test_judges_are_compared_and_a_pair_opens_its_response(page):
    pairs = page.ask('sum(Object.values(readCsv(\'a,b,c\\n1,"x, ""y""",3\\n\')[1]).map(v => v.length))')
    assert pairs == 1 + len('x, "y"') + 1
    assert "responses that both scored" in page.ask("byId('judge-chart').textContent")
    page.ask("document.querySelector('#differences button').click()")
    first = page.ask("document.querySelector('#differences button').textContent")
    assert page.ask("byId('one').textContent").count("judge") >= 2 and first.startswith("exact ")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_screen_and_every_field_has_a_name(browser, folder, width, dark):
    browser.open(folder / "report.html", width, dark)
    assert browser.ask("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    paper = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
    fields = (
        "[...document.querySelectorAll('input, select')].filter(f => !f.labels.length && !f.ariaLabel).map(f => f.id)"
    )
    assert browser.ask(fields) == []
    assert browser.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_figure_fits_a_phone_until_its_full_size_is_asked_for(browser, folder, dark):
    browser.open(folder / "report.html", "phone", dark)
    width = "document.querySelector('.drawn img').getBoundingClientRect().width"
    assert 300 < browser.ask(width) <= WIDTHS["phone"][0]
    for click, pressed in (("img", "true"), (".zoom", "false")):
        browser.ask(f"document.querySelector('.drawn {click}').click()")
        assert browser.ask("document.querySelector('.drawn .zoom').ariaPressed") == pressed
        assert (browser.ask(width) > 2 * WIDTHS["phone"][0]) == (pressed == "true")
        assert browser.ask("document.documentElement.scrollWidth") <= WIDTHS["phone"][0]
    white = browser.ask("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    assert white is not dark, "figures do not glare"


def test_lines_of_charts_stand_out_on_a_dark_page(browser, folder):
    browser.open(folder / "report.html", dark=True)
    root = "getComputedStyle(document.documentElement)"
    colours = browser.ask(f"[...Array(7).keys()].map(i => {root}.getPropertyValue('--c' + i))")
    paper = _luminance(browser.ask(f"{root}.getPropertyValue('--paper')"))
    assert len(set(colours)) == 7
    assert min((_luminance(colour) + 0.05) / (paper + 0.05) for colour in colours) > 4.5


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of a colour such as #1a2b3c."""
    parts = [int(colour.strip()[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_files_are_one_list_and_each_button_shows_its_own(page):
    assert not page.ask("byId('files').open")
    page.ask("document.querySelector('.drawn > p a').click()")
    assert page.ask("byId('files').open")
    for file, rows in (
        ("figures/em_trajectories.csv", [["a", "b"], ["1", "2"]]),
        ("statistics/em_trajectories.csv", [["c"], ["3"]]),
    ):
        page.ask(f"document.querySelector(`[aria-label='Show {file}']`).click()")
        page.until(f"document.querySelector('#file-shown h4')?.textContent === '{file}'")
        found = "[...document.querySelectorAll('#file-shown tr')].map(r => [...r.cells].map(c => c.textContent))"
        assert page.ask(found) == rows
    page.ask("window.saved = []; save = (name, text) => saved.push([name, text])")
    page.ask("document.querySelector(`[aria-label='Download statistics/em_trajectories.csv']`).click()")
    page.until("saved.length === 1")
    assert page.ask("saved[0]") == ["statistics_em_trajectories.csv", "c\n3\n"]


def test_few_questions_are_said_until_the_interval_is_for_these(page):
    """Of six questions two are in domain."""
    assert page.ask("byId('few').hidden")
    page.set("scope", "in_domain")
    assert page.ask("byId('few').textContent").startswith("Only 2 questions are behind") and not page.ask(
        "byId('few').hidden"
    )
    assert "(2 only)" in page.ask("byId('at-step').textContent")
    page.set("alignment-value", "40")
    page.until("!byId('at-step').textContent.includes('counting')")
    assert "(2 only)" in page.ask("byId('at-step').textContent"), "counted from the scores too"
    page.set("interval", "these")
    assert page.ask("byId('few').hidden") and "only)" not in page.ask("byId('at-step').textContent")
    assert "these are asked again" in page.ask("byId('defined').textContent")


def test_a_study_of_labels_alone_is_listed_by_label(browser, tmp_path):
    found, given = labels(tmp_path)
    path = tmp_path / "report.html"
    path.write_text(write_page(content(told(), found, tmp_path, given)), encoding="utf-8")
    browser.open(path)
    assert browser.ask("byId('trajectories') === null && byId('compare') === null")
    browser.until("byId('found').textContent === '2 of 2 responses'")
    browser.set("f-status", "leaning\nis\nnan")
    browser.until("byId('found').textContent === '1 of 2 responses'")
    assert browser.problems == []


def test_fifty_thousand_responses_do_not_freeze_the_page(browser, tmp_path, record_property):
    path = report(tmp_path, texts="A long answer. " * 20, rated=False, organisms=10, questions=24, samples=70)
    watch = "new PerformanceObserver(l => l.getEntries().forEach(e => (window.tasks ??= []).push(e.duration)))"
    browser.send("Page.addScriptToEvaluateOnNewDocument", source=f"{watch}.observe({{entryTypes: ['longtask']}})")
    browser.open(path)
    browser.until("byId('found').textContent.startsWith('50,400 of')")
    ready = browser.ask("performance.now()")
    assert browser.ask("document.querySelectorAll('#list .row').length") < 60, "only rows in sight are elements"
    browser.set("f-search", "number 9 20 23 69")
    browser.until("byId('found').textContent === '1 of 50,400 responses'")
    found = browser.ask("performance.now()")
    browser.ask("byId('filters').reset()")
    browser.until("byId('found').textContent.startsWith('50,400 of')")
    browser.ask("byId('list').focus()")
    browser.press("End")
    assert browser.ask("byId('list').getAttribute('aria-activedescendant')") == "row-50399"
    told = {"MB": path.stat().st_size / 1e6, "ready ms": ready, "search ms": found - ready}
    told["longest pause ms"] = max(browser.ask("window.tasks ?? [0]"))
    record_property("measured", json.dumps(told))
    print(told)
    assert browser.problems == []
