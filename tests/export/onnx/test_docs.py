"""Every Python block of docs/how-to/onnx.md runs, one after the other, in one namespace."""

import re
from pathlib import Path

from support.meaningful import meaningful_program

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "onnx.md"


def test_the_code_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    namespace = {"program": meaningful_program()}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), namespace)
