"""The docs hold together: links lead somewhere, and every command is run by a test or named with the reason why not."""

import re
from functools import cache

from tests import documented_commands as docs
from tests.docs_exceptions import NOT_RUN, STAND_INS
from tests.documented_commands import ROOT

FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
PAGES = sorted({*docs.pages(), *(str(path.relative_to(ROOT)) for path in ROOT.glob("*.md"))})


@cache
def anchors(page: str) -> set[str]:
    """Names that a page's headings can be linked by, as code hosts make them."""
    text, found = FENCED.sub("", (ROOT / page).read_text(encoding="utf-8")), []
    for heading in re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return {*found, *re.findall(r'<a (?:id|name)="([^"]+)"', text)}


def broken(page: str) -> list[str]:
    """Links of a page to a file or heading that is not there."""
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", (ROOT / page).read_text(encoding="utf-8")))
    found = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(str(target.resolve().relative_to(ROOT)))):
            found.append(link)
    return found


def test_links_lead_to_files_and_headings():
    assert {page: found for page in PAGES if (found := broken(page))} == {}


def test_what_is_not_run_stands_in_a_page():
    told = {command.text for page in docs.pages() for command in docs.commands(page)}
    assert [text for text in NOT_RUN if text not in told] == [], "no page has these any more: take them out"


def test_every_stand_in_is_used():
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in docs.pages())
    assert [pattern for pattern in STAND_INS if not re.search(pattern, text)] == []


def test_commands_are_read_as_a_shell_would(tmp_path, monkeypatch):
    page = """
```bash
one --x '# no comment' \\
  --y 2     # a comment
python - <<'EOF'
print(1)
EOF
say "it's
two lines"; cat results/<study>/a.csv
```
   ```console
   $ typed   # why
   what it says
   ```
```yaml
not: a command
```
<!-- file: a/b.yaml -->
```yaml
key: value
```
"""
    (tmp_path / "page.md").write_text(page)
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    found = [(command.line, command.text) for command in docs.commands("page.md")]
    assert found == [
        (3, "one --x '# no comment' --y 2"),
        (5, "python - <<'EOF'\nprint(1)\nEOF"),
        (8, 'say "it\'s\ntwo lines"; cat results/default/a.csv'),
        (12, "typed"),
    ]
    assert docs.files("page.md") == {"a/b.yaml": "key: value\n"}
