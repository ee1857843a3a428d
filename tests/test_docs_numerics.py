"""What docs/reference/numerics.md shows is what happens: its code blocks run, in order, in one namespace."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "numerics.md"


def test_every_code_block_runs(monkeypatch):
    monkeypatch.chdir(PAGE.parent.parent)
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) >= 8
    namespace: dict = {}
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        # The padding makes a traceback show the page's own line numbers.
        exec(compile("\n" * line + block.group(1), str(PAGE), "exec"), namespace)


def test_links_within_the_page_lead_somewhere():
    text = PAGE.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
