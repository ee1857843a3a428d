"""Designs for synthesis: operator modules, re-quantizers, and arithmetic units for the energy table."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.modules.add import AddUnit
from p2vit.hdl.modules.affine import AffineUnit
from p2vit.hdl.modules.attention_values import ShifterLine
from p2vit.hdl.modules.attention_values_division import Reciprocal, RowDivision
from p2vit.hdl.modules.layernorm import LayerNormUnit
from p2vit.hdl.modules.lookup import LookupUnit
from p2vit.hdl.modules.mac_array import MacLine
from p2vit.hdl.modules.multiply import MultiplyUnit
from p2vit.hdl.modules.requantize import Requantizer
from p2vit.hdl.modules.requantize_float import FloatRequantizer
from p2vit.hdl.modules.requantize_multiplier import MultiplierRequantizer
from p2vit.hdl.modules.rotary import RotaryUnit
from p2vit.hdl.modules.softmax import SoftmaxUnit
from p2vit.hdl.modules.tokens import AssembleUnit, SumUnit
from p2vit.hdl.top.machine import MACHINES
from p2vit.hdl.top.primitives import primitives_verilog
from p2vit.hdl.top.top import Accelerator

#: Lanes of the lines of the two arrays in synthesis.
LINE_LANES = 16


class ArithmeticUnit(wiring.Component):
    """Single arithmetic operation between ports. Latency 0; the register has latency 1. No handshake."""

    # Units are also made only to read their ports; Amaranth must not warn that they are never elaborated.
    _MustUse__silence = True

    def __init__(self, operation: str) -> None:
        self.operation = operation
        width = {"multiply8": 8, "multiply16": 16}.get(operation, 32)
        second = unsigned(5) if operation == "shift32" else signed(width)
        result = signed(2 * width if operation.startswith("multiply") else width)
        super().__init__({"a": In(signed(width)), "b": In(second), "y": Out(result)})

    def elaborate(self, platform: Any) -> Module:
        """Build the operation."""
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
    """Make the GELU table for synthesis, with input steps of 2^-5 and output steps of 2^-6."""
    x = np.arange(-128, 128) / 32
    exact = np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])
    return np.clip(np.floor(exact * 64 - 64 + 0.5), -128, 127).astype(np.int8)


#: Re-quantizers of one lane: name → constructor.
REQUANTIZERS: dict[str, Callable[[], Any]] = {
    "requant_shift": lambda: Requantizer(1),
    "requant_multiplier8": lambda: MultiplierRequantizer(1, bits=8),
    "requant_multiplier16": lambda: MultiplierRequantizer(1, bits=16),
    "requant_multiplier32": lambda: MultiplierRequantizer(1, bits=32),
    "requant_multiplier32_pipelined": lambda: MultiplierRequantizer(1, bits=32, pipelined=True),
    "requant_float32": lambda: FloatRequantizer(1, pipelined=False),
    "requant_float32_pipelined": lambda: FloatRequantizer(1),
}
#: Operator modules: name → constructor.
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
#: Arithmetic units of the energy and area table: name → constructor.
UNITS: dict[str, Callable[[], Any]] = {
    name: (lambda name=name: ArithmeticUnit(name))  # type: ignore[misc]
    for name in ("add32", "multiply8", "multiply16", "multiply32", "shift32", "compare32", "register32")
}
DESIGNS = REQUANTIZERS | MODULES | UNITS
#: Whole accelerators, by machine. Each takes minutes, so they are synthesized only if named.
TOPS: dict[str, Callable[[], Any]] = {
    f"top_{name.replace('-', '_')}": (lambda machine=machine: Accelerator(machine))  # type: ignore[misc]
    for name, machine in MACHINES.items()
}
#: Lanes of each design with more than one lane, for figures per lane.
LANES = {
    "mac_line": LINE_LANES,
    "shifter_line": LINE_LANES,
    "softmax_linear": 4,
    "softmax_log2": 4,
    "layernorm": 4,
}


def extra_verilog(name: str) -> str:
    """Return the Verilog of modules that a design instantiates besides its repeated modules."""
    return primitives_verilog() if name in TOPS else ""


def clocked(name: str) -> bool:
    """Return whether a design has registers."""
    return name not in UNITS or name == "register32"
