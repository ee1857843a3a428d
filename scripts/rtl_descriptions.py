"""Write the descriptions of the accelerators that can be generated, from the sizes of the RTL.

python scripts/rtl_descriptions.py
"""

from pathlib import Path

from p2vit.hdl.description import description_text
from p2vit.hdl.top.machine import MACHINES

FOLDER = Path(__file__).parents[1] / "src" / "p2vit" / "accel" / "machine" / "descriptions"

if __name__ == "__main__":
    for name, machine in MACHINES.items():
        (FOLDER / f"{name}.yaml").write_text(description_text(machine, name), encoding="utf-8")
