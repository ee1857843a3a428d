"""Verilog of an accelerator: one file per module, made once per machine and kept in the cache."""

from p2vit.rtl.tools.verilog import to_rtlil, to_verilog
from p2vit.rtl.top.machine import RtlMachine

#: The top module; its file comes last.
TOP = "p2vit_accelerator"
#: Modules that stand many times in the design.
REPEATED = ("p2vit_line", "p2vit_vector_lane", "p2vit_weight_bank")
#: For Verilator: these stay functions that all share; inlined, their code would be many times larger than a
#: processor's caches.
VERILATOR_CONFIG = "\n".join(["`verilator_config", *(f'no_inline -module "{name}"' for name in REPEATED), ""])


def accelerator_verilog(machine: RtlMachine) -> dict[str, str]:
    """File name → Verilog text; the top module is ``p2vit_accelerator``.

    Args:
        machine: Sizes.

    Raises:
        MissingPackageError: Amaranth or pyosys is not installed.
    """
    from p2vit.rtl.tools.missing import require

    require("amaranth", "amaranth", "generating hardware")
    from p2vit.rtl.top.primitives import PRIMITIVES
    from p2vit.rtl.top.top import Accelerator

    top = Accelerator(machine)
    texts = {name: to_verilog(part, name) for name, part in top.repeated_modules().items()}
    # As RTLIL: its parts have files of their own.
    texts[TOP] = to_verilog(to_rtlil(top, TOP), TOP)
    return {f"{name}.v": text for name, text in {**PRIMITIVES, **texts}.items()}
