"""Catalogue of the operator modules, each in a small configuration, for documentation and waveforms."""

from collections.abc import Callable
from typing import Any

import numpy as np

from p2vit.errors import did_you_mean
from p2vit.hdl.modules.add import AddUnit
from p2vit.hdl.modules.affine import AffineUnit
from p2vit.hdl.modules.attention_values import ShifterArray
from p2vit.hdl.modules.attention_values_division import Reciprocal, RowDivision
from p2vit.hdl.modules.base import OperatorModule, Streams
from p2vit.hdl.modules.layernorm import LayerNormUnit
from p2vit.hdl.modules.lookup import LookupUnit
from p2vit.hdl.modules.mac_array import MacArray
from p2vit.hdl.modules.multiply import MultiplyUnit
from p2vit.hdl.modules.requantize import Requantizer
from p2vit.hdl.modules.requantize_float import FloatRequantizer
from p2vit.hdl.modules.requantize_multiplier import MultiplierRequantizer
from p2vit.hdl.modules.rotary import RotaryUnit
from p2vit.hdl.modules.softmax import SoftmaxUnit
from p2vit.hdl.modules.tokens import AssembleUnit, SumUnit
from p2vit.hdl.tools.missing import RtlError

#: Name → (constructor of a small configuration, operator of `numerics`, number of beats for a diagram).
CATALOG: dict[str, tuple[Callable[[], OperatorModule], str, int]] = {
    "requantizer": (lambda: Requantizer(4), "`rounding.requantize`", 12),
    "mac_array": (
        lambda: MacArray(2, 4, depth=2),
        "`Linear`, `Scores`, `AttentionValues` (linear codes)",
        16,
    ),
    "shifter_array": (lambda: ShifterArray(2, 4, depth=2), "`AttentionValues` (log2 codes), step 1", 16),
    "reciprocal": (Reciprocal, "`AttentionValues`, step 2", 2),
    "row_division": (lambda: RowDivision(4), "`AttentionValues`, steps 3 and 4", 12),
    "softmax_linear": (lambda: SoftmaxUnit(4), '`Softmax(form="linear")`', 18),
    "softmax_log2": (lambda: SoftmaxUnit(4, form="log2"), '`Softmax(form="log2")`', 18),
    "layernorm": (lambda: LayerNormUnit(13, 4), "`LayerNorm`", 20),
    "lookup": (lambda: LookupUnit(4, table=np.arange(-128, 128)), "`Lookup`", 12),
    "add": (lambda: AddUnit(4), "`Add`", 12),
    "affine": (lambda: AffineUnit(4), "`Affine`", 12),
    "rotary": (lambda: RotaryUnit(4), "`Rotary`", 12),
    "multiply": (lambda: MultiplyUnit(4), "`Multiply`", 12),
    "assemble": (lambda: AssembleUnit(4), "`AssembleTokens`", 12),
    "sum_tokens": (lambda: SumUnit(4, depth=2), "`SumTokens`", 16),
    "requantizer_multiplier": (lambda: MultiplierRequantizer(4), "none: for comparison", 12),
    "requantizer_float": (lambda: FloatRequantizer(4), "none: for comparison", 12),
}


def example(name: str) -> tuple[OperatorModule, Streams, dict[str, int]]:
    """Make a module of the catalogue and sample beats for it.

    Returns:
        Module, input beats, and the number of beats on each output stream.

    Raises:
        RtlError: There is no module of that name.
    """
    if name not in CATALOG:
        raise RtlError(f"no module '{name}'.{did_you_mean(name, CATALOG)} Modules: {', '.join(CATALOG)}")
    make, _, beats = CATALOG[name]
    module = make()
    inputs = module.sample(np.random.default_rng(7), beats)
    outputs = module.compute(inputs)
    return module, inputs, {stream: len(next(iter(fields.values()))) for stream, fields in outputs.items()}


def table() -> str:
    """Make a Markdown table of all modules: operator, latency, interval and streams."""
    lines = [
        "| module | operator | latency | interval | streams in → out | note |",
        "|---|---|---:|---:|---|---|",
    ]
    for name, (make, operator, _) in CATALOG.items():
        module = make()
        members: Any = module.signature.members
        sides = {
            flow: [f"`{key}`" for key, member in members.items() if member.flow.name == flow]
            for flow in ("In", "Out")
        }
        timing = module.timing
        lines.append(
            f"| [{name}](rtl/{name}.svg) | {operator} | {timing.latency} | {timing.interval} | "
            f"{', '.join(sides['In'])} → {', '.join(sides['Out'])} | {timing.note} |"
        )
    return "\n".join(lines)
