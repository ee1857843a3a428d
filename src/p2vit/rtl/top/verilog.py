"""Verilog of an accelerator: one file per module, made once per machine and kept in the cache."""

from p2vit.rtl.tools.verilog import to_verilog
from p2vit.rtl.top.machine import RtlMachine

#: The top module; its file comes last.
TOP = "p2vit_accelerator"
#: Modules that stand many times in the design stay functions that all share: inlined, their code would be many times
#: larger than a processor's caches.
REPEATED = "\n".join(
    ["`verilator_config"]
    + [f'no_inline -module "{name}"' for name in ("p2vit_line", "p2vit_vector_lane", "p2vit_weight_bank")]
    + [""]
)


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
    from p2vit.rtl.top.top import accelerator_modules

    modules = {f"{name}.v": to_verilog(module, name) for name, module in accelerator_modules(machine).items()}
    return {**{f"{name}.v": text for name, text in PRIMITIVES.items()}, **modules}
