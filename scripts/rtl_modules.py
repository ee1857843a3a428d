"""Hardware modules one by one: timing diagrams for the docs, a waveform of one module, the table of docs/rtl.md.

python scripts/rtl_modules.py diagrams            # docs/rtl/*.svg, and the table in docs/rtl.md
python scripts/rtl_modules.py trace layernorm layernorm.vcd
"""

import re
import sys
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.rtl.catalog import CATALOG, example, table
from p2vit.rtl.diagram import timing_diagram
from p2vit.rtl.simulate import Simulation

DOCS = Path(__file__).parent.parent / "docs"
MARKS = re.compile(r"(<!-- modules -->\n).*?(<!-- /modules -->)", re.DOTALL)


def diagram(name: str) -> str:
    """SVG of one module; the output holds back now and then so that the handshake shows."""
    module, inputs, counts = example(name)
    stall = {"o": 0.2}
    title = (
        f"{name}: {type(module).__name__}, latency {module.timing.latency}, interval {module.timing.interval}"
    )
    return timing_diagram(
        Simulation(module, module.key), title, inputs, counts, cycles=40, seed=3, stall=stall
    )


def main(words: list[str]) -> int:
    """Run one of the two commands."""
    if words == ["diagrams"]:
        (DOCS / "rtl").mkdir(exist_ok=True)
        for name in CATALOG:
            (DOCS / "rtl" / f"{name}.svg").write_text(diagram(name), encoding="utf-8")
        page = DOCS / "rtl.md"
        page.write_text(
            MARKS.sub(lambda found: found[1] + table() + "\n" + found[2], page.read_text()), encoding="utf-8"
        )
        return 0
    if len(words) == 3 and words[0] == "trace":
        module, inputs, counts = example(words[1])
        Simulation(module, module.key, trace=True).run(inputs, counts, stall=0.2, trace=Path(words[2]))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except P2vitError as error:
        sys.exit(f"error: {error}")
