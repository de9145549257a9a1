"""Example responses as one HTML page without scripts or outside files, for a phone or a screen, dark or light."""

from collections.abc import Iterator
from html import escape
from itertools import groupby

from workflow_scripts.em.page.warning import WARNING
from workflow_scripts.em.plots.response_table import HEADS
from workflow_scripts.em.plots.style import pretty
from workflow_scripts.em.stats.examples import score_text

CSS = """
:root { color-scheme: light dark; --line: #c8ccd0; --soft: #55606a; --back: #f4f5f6; --warn: #fff4e0; }
@media (prefers-color-scheme: dark) { :root { --line: #444b52; --soft: #a9b3bc; --back: #1d2125; --warn: #33280f; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p.warning { background: var(--warn); border-left: .3rem solid #d58a00; padding: .6rem .9rem; border-radius: .2rem; }
p.note, article header { color: var(--soft); font-size: .875rem; }
section.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: .75rem; }
article { border: 1px solid var(--line); border-radius: .4rem; background: var(--back); padding: .6rem .8rem; }
article, section.pair { min-width: 0; }
article p { white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0 0; }
"""


def page(rows: list[dict], note: str) -> Iterator[str]:
    """The lines of a page with the example rows; every text that came from outside is escaped."""
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Example responses</title>\n<style>{CSS}</style>\n</head>\n<body>\n<h1>Example responses</h1>"
    yield f'<p class="warning"><strong>Content warning.</strong> {escape(WARNING)}</p>'
    yield f'<p class="note">{escape(note)}</p>'
    for _, same in groupby(rows, key=lambda row: (row["question_set"], row["question_id"])):
        group = list(same)
        yield f"<h2>{escape(group[0]['question'] or pretty(group[0]['question_id']))}</h2>"
        for organism, pair in groupby(group, key=lambda row: row["organism"]):
            yield f'<h3>{escape(pretty(organism))}</h3>\n<section class="pair">'
            for row in pair:
                where = f"{HEADS[row['which']]} ({pretty(row['stage'])}, step {row['step']}): {score_text(row)}"
                yield f"<article><header>{escape(where)}</header><p>{escape(row['response'].strip())}</p></article>"
            yield "</section>"
    yield "</body>\n</html>"
