"""Generates the Verilog of the chunk organisation, one file per module."""

from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.tools.verilog import to_verilog

#: Name of the top module; its file comes last.
TOP = "p2vit_chunk_machine"
#: Configuration of Verilator: lines are not inlined, because the inlined code would exceed the processor's caches.
VERILATOR_CONFIG = '`verilator_config\nno_inline -module "p2vit_chunk_line"\n'


def chunk_verilog(machine: ChunkMachine) -> dict[str, str]:
    """Generate the Verilog of a machine: file name → text. The top module is ``p2vit_chunk_machine``.

    Args:
        machine: Sizes of the machine.

    Raises:
        MissingPackageError: Amaranth or pyosys is not installed.
    """
    from p2vit.hdl.tools.missing import require

    require("amaranth", "amaranth", "generating hardware")
    from p2vit.hdl.chunks.top.top import ChunkAccelerator
    from p2vit.hdl.top.primitives import PRIMITIVES

    top = ChunkAccelerator(machine)
    parts = {**top.separate_modules(), TOP: top}
    texts = {name: to_verilog(part, name, separate=False) for name, part in parts.items()}
    used = {name: text for name, text in PRIMITIVES.items() if name == "p2vit_ram"}
    return {f"{name}.v": text for name, text in {**used, **texts}.items()}
