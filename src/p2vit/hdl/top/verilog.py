"""Generates the Verilog of an accelerator, one file per module; the cache keeps it per machine."""

from p2vit.hdl.tools.verilog import to_verilog
from p2vit.hdl.top.machine import RtlMachine

#: Name of the top module; its file comes last.
TOP = "p2vit_accelerator"
#: Names of the modules that are instantiated many times.
REPEATED = ("p2vit_line", "p2vit_vector_lane", "p2vit_weight_bank")
#: Configuration of Verilator: repeated modules are not inlined, because the inlined code would exceed the processor's
#: caches many times.
VERILATOR_CONFIG = "\n".join(["`verilator_config", *(f'no_inline -module "{name}"' for name in REPEATED), ""])


def accelerator_verilog(machine: RtlMachine) -> dict[str, str]:
    """Generate the Verilog of an accelerator: file name → text. The top module is ``p2vit_accelerator``.

    Args:
        machine: Sizes of the accelerator.

    Raises:
        MissingPackageError: Amaranth or pyosys is not installed.
    """
    from p2vit.hdl.tools.missing import require

    require("amaranth", "amaranth", "generating hardware")
    from p2vit.hdl.top.primitives import PRIMITIVES
    from p2vit.hdl.top.top import Accelerator

    top = Accelerator(machine)
    parts = {**top.separate_modules(), TOP: top}
    texts = {name: to_verilog(part, name, separate=False) for name, part in parts.items()}
    return {f"{name}.v": text for name, text in {**PRIMITIVES, **texts}.items()}
