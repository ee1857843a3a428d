import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import p2vit.engine.native.constants as constants
from p2vit.numerics.softmax import EXP2_TABLE

SOURCES = Path(constants.__file__).parent / "src"
HEADER = SOURCES / "constants.h"


def test_the_committed_header_is_what_the_generator_writes():
    assert HEADER.read_text(encoding="utf-8") == constants.header(), (
        "run: python -m p2vit.engine.native.constants > src/p2vit/engine/native/src/constants.h"
    )


def test_the_command_prints_the_header():
    command = [sys.executable, "-m", "p2vit.engine.native.constants"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout
    assert printed.decode() == HEADER.read_text(encoding="utf-8")


def test_the_header_holds_the_table_of_numerics():
    text = HEADER.read_text(encoding="utf-8")
    entries = re.search(r"kExp2Table\[(\d+)\] = \{(.*?)\}", text, re.DOTALL)
    assert int(entries[1]) == len(EXP2_TABLE)
    assert np.array_equal([int(n) for n in re.findall(r"\d+", entries[2])], EXP2_TABLE)


def test_every_constant_is_used_and_none_is_written_out_again():
    texts = [path.read_text(encoding="utf-8") for path in SOURCES.iterdir() if path != HEADER]
    code = "\n".join(re.sub(r'//[^\n]*|"[^"\n]*"', "", text) for text in texts)
    for name, number, _ in constants.NUMBERS:
        assert re.search(rf"\b{name}\b", code), f"{name} is not used"
        # Small numbers occur for many reasons; large ones only as these constants.
        if number > 256:
            assert not re.search(rf"\b{number}u?\b", code), f"{number} is {name}"
