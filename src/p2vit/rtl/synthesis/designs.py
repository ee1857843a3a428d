"""What is synthesised: the operators' modules, the re-quantizers side by side, and bare units for the energy table."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.rtl.modules.add import AddUnit
from p2vit.rtl.modules.affine import AffineUnit
from p2vit.rtl.modules.attention_values import ShifterLine
from p2vit.rtl.modules.attention_values_division import Reciprocal, RowDivision
from p2vit.rtl.modules.layernorm import LayerNormUnit
from p2vit.rtl.modules.lookup import LookupUnit
from p2vit.rtl.modules.mac_array import MacLine
from p2vit.rtl.modules.multiply import MultiplyUnit
from p2vit.rtl.modules.requantize import Requantizer
from p2vit.rtl.modules.requantize_float import FloatRequantizer
from p2vit.rtl.modules.requantize_multiplier import MultiplierRequantizer
from p2vit.rtl.modules.rotary import RotaryUnit
from p2vit.rtl.modules.softmax import SoftmaxUnit
from p2vit.rtl.modules.tokens import AssembleUnit, SumUnit
from p2vit.rtl.top.machine import MACHINES
from p2vit.rtl.top.primitives import primitives_verilog
from p2vit.rtl.top.top import Accelerator

#: Lanes of the synthesised lines of the two arrays.
LINE_LANES = 16


class Unit(wiring.Component):
    """A bare arithmetic unit between ports: no registers, or nothing but registers."""

    # Units are also made to be asked for their ports.
    _MustUse__silence = True

    def __init__(self, operation: str) -> None:
        self.operation = operation
        width = {"multiply8": 8, "multiply16": 16}.get(operation, 32)
        second = unsigned(5) if operation == "shift32" else signed(width)
        result = signed(2 * width if operation.startswith("multiply") else width)
        super().__init__({"a": In(signed(width)), "b": In(second), "y": Out(result)})

    def elaborate(self, platform: Any) -> Module:
        """One operation."""
        m = Module()
        a, b = self.a, self.b
        if self.operation == "register32":
            held = Signal(signed(32), reset_less=True)
            m.d.sync += held.eq(a)
            m.d.comb += self.y.eq(held)
        else:
            result: Any = {
                "add32": lambda: a + b,
                "shift32": lambda: a >> b,
                "compare32": lambda: Mux(a > b, a, b),
            }.get(self.operation, lambda: a * b)()
            m.d.comb += self.y.eq(result)
        return m


def gelu_table() -> np.ndarray[Any, Any]:
    """A GELU from steps of 2^-5 to steps of 2^-6: the table that is synthesised."""
    x = np.arange(-128, 128) / 32
    exact = np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])
    return np.clip(np.floor(exact * 64 - 64 + 0.5), -128, 127).astype(np.int8)


#: Re-quantizers, one lane each: name → how to make it.
REQUANTIZERS: dict[str, Callable[[], Any]] = {
    "requant_shift": lambda: Requantizer(1),
    "requant_multiplier8": lambda: MultiplierRequantizer(1, bits=8),
    "requant_multiplier16": lambda: MultiplierRequantizer(1, bits=16),
    "requant_multiplier32": lambda: MultiplierRequantizer(1, bits=32),
    "requant_multiplier32_pipelined": lambda: MultiplierRequantizer(1, bits=32, pipelined=True),
    "requant_float32": lambda: FloatRequantizer(1, pipelined=False),
    "requant_float32_pipelined": lambda: FloatRequantizer(1),
}
#: The operators' modules.
MODULES: dict[str, Callable[[], Any]] = {
    "mac_line": lambda: MacLine(LINE_LANES, 24, True),
    "shifter_line": lambda: ShifterLine(LINE_LANES, 13),
    "reciprocal": Reciprocal,
    "row_division": lambda: RowDivision(1),
    "softmax_linear": lambda: SoftmaxUnit(4),
    "softmax_log2": lambda: SoftmaxUnit(4, form="log2"),
    "layernorm": lambda: LayerNormUnit(384, 4),
    "table": lambda: LookupUnit(1, table=gelu_table()),
    "add": lambda: AddUnit(1),
    "affine": lambda: AffineUnit(1),
    "rotary": lambda: RotaryUnit(2),
    "multiply": lambda: MultiplyUnit(1),
    "assemble": lambda: AssembleUnit(1),
    "sum_tokens": lambda: SumUnit(1, depth=24),
}
#: Bare units of the energy and area table.
UNITS: dict[str, Callable[[], Any]] = {
    name: (lambda name=name: Unit(name))  # type: ignore[misc]
    for name in ("add32", "multiply8", "multiply16", "multiply32", "shift32", "compare32", "register32")
}
DESIGNS = REQUANTIZERS | MODULES | UNITS
#: The whole accelerator, by machine: minutes each, so only when asked for by name.
TOPS: dict[str, Callable[[], Any]] = {
    f"top_{name.replace('-', '_')}": (lambda machine=machine: Accelerator(machine))  # type: ignore[misc]
    for name, machine in MACHINES.items()
}
#: What one copy of a design serves, for figures per lane.
LANES = {
    "mac_line": LINE_LANES,
    "shifter_line": LINE_LANES,
    "softmax_linear": 4,
    "softmax_log2": 4,
    "layernorm": 4,
}


def also(name: str) -> str:
    """Verilog of what a design instantiates besides its parts."""
    return primitives_verilog() if name in TOPS else ""


def clocked(name: str) -> bool:
    """The design has registers."""
    return name not in UNITS or name == "register32"
