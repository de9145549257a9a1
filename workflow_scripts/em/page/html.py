"""The report as one HTML file: the template filled, style and scripts put into it, and a policy that forbids the rest.

Charts are small SVGs of our own (assets/chart.js): three line charts do not need a library. plotly.min.js is 4.7 MB,
Observable Plot with d3 400 kB; uPlot is 50 kB, but draws on a canvas, which cannot be printed sharply, tabbed through
or read out. Scores are gzipped JSON in base64 (em/page/columns.py), which the browser unpacks with DecompressionStream.

A response is hostile input. Texts are only in such blocks, and scripts put them into the page as text nodes, never as
HTML; the template escapes all else; the Content-Security-Policy lets no script run but ours (by its digest), and
nothing be loaded or sent.
"""

import base64
import hashlib
from functools import cache
from typing import Any

import jinja2
from docutils.core import publish_parts
from markdown_it import MarkdownIt
from markupsafe import Markup

from workflow_scripts.em.page.files import ASSETS, CAPTIONS, DAG
from workflow_scripts.em.page.glossary import explained, term

# In this order: each uses only what stands before it.
SCRIPTS = (
    "data.js", "numbers.js", "intervals.js", "rates.js", "dom.js", "chart.js", "controls.js", "trajectories.js",
    "filter.js", "browser.js", "judges.js", "main.js",
)  # fmt: skip


def page(values: dict[str, Any]) -> str:
    """The whole file. `values`: see `em.page.content`. The same text for the same values."""
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    script = '"use strict";\n' + "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    loader = jinja2.FileSystemLoader(ASSETS)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"markdown": _markdown, "caption": _caption, "pretty": _pretty, "explained": explained}
    environment.filters["values"] = dict.values
    dag = f"data:image/svg+xml;base64,{base64.b64encode(DAG.read_bytes()).decode('ascii')}"
    ours = {
        "style": Markup(style),
        "script": Markup(script),
        "policy": policy,
        "dag": dag,
        "term": term,
    }
    return environment.get_template("page.html").render(**values, **ours)


def _pretty(name: str) -> str:
    return name.replace("_", " ")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


@cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _markdown(text: str) -> Markup:
    """A card or page of ours; its headings go below those of the report."""
    tokens = _reader().parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 3)}"
    return Markup(_reader().renderer.render(tokens, _reader().options, {}))


def _caption(kind: str) -> Markup:
    """Caption of a figure, as Snakemake's report has it; empty for one without."""
    template = jinja2.Template(CAPTIONS.read_text(encoding="utf-8"))
    text = template.render(snakemake={"wildcards": {"kind": kind}})
    limits = {"file_insertion_enabled": False, "raw_enabled": False}
    return Markup(publish_parts(text, writer="html5", settings_overrides=limits)["body"])
