"""The table of float forms, and what each of them is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.qdq.requantize import quantized
from p2vit.export.onnx.qdq.values import FloatValue, QdqForm, gauge_of, held_offset, times_power
from p2vit.numerics import (
    ConstantTokens,
    GatherTokens,
    Linear,
    Lookup,
    Multiply,
    Operator,
    Patchify,
    SelectToken,
)
from p2vit.program.graph import IntegerProgram, Node, TensorSpec

#: Operators that write, and that read, tensors with an offset.
WITH_OFFSET = (Patchify, Lookup, Linear, SelectToken, GatherTokens)
READS_OFFSET = (Linear, Lookup, Multiply, SelectToken, GatherTokens, ConstantTokens)


@dataclass(frozen=True)
class FloatLowering:
    """One node on its way into a float graph.

    Attributes:
        graph: Where the nodes go.
        program: The whole program.
        node: The node that is lowered.
        inputs: Its inputs, as they are in the graph.
        form: What the model is to look like.
    """

    graph: OnnxGraph
    program: IntegerProgram
    node: Node
    inputs: tuple[FloatValue, ...]
    form: QdqForm

    @property
    def spec(self) -> TensorSpec:
        """What the node writes."""
        return self.program.tensors[self.node.name]

    @property
    def gauge(self) -> int:
        """The exponent that the output is carried at."""
        return gauge_of(self.spec)

    def done(self, x: str) -> FloatValue:
        """The output, computed in its gauge."""
        return quantized(self.graph, self.spec, x, self.form)

    def done_real(self, x: str) -> FloatValue:
        """The output, computed as real values."""
        exponent = self.spec.exponent.astype(np.int32)
        y = times_power(self.graph, x, self.gauge - exponent)
        left_out = np.ldexp(np.asarray(held_offset(self.spec) - self.spec.offset, np.float32), self.gauge)
        return self.done(self.graph.op("Add", y, left_out) if left_out.any() else y)

    def error(self, what: str) -> P2vitError:
        """An error that names the node."""
        return P2vitError(f"node {self.node.name}: {what}")


FLOAT_LOWERINGS: dict[type[Operator], Callable[[Any, FloatLowering], FloatValue]] = {}


def writes(
    kind: type[Operator],
) -> Callable[[Callable[[Any, FloatLowering], FloatValue]], Callable[[Any, FloatLowering], FloatValue]]:
    """Register how an operator class is written."""

    def register(
        function: Callable[[Any, FloatLowering], FloatValue],
    ) -> Callable[[Any, FloatLowering], FloatValue]:
        FLOAT_LOWERINGS[kind] = function
        return function

    return register


def lower_float(at: FloatLowering) -> FloatValue:
    """Lower one node.

    Raises:
        P2vitError: nothing is registered for its operator, or its integers have no float counterpart.
    """
    kind = type(at.node.operator)
    if kind not in FLOAT_LOWERINGS:
        known = ", ".join(sorted(k.__name__ for k in FLOAT_LOWERINGS))
        raise at.error(f"no float form of operator {kind.__name__}; there is one for {known}")
    if np.any(at.spec.offset) and kind not in WITH_OFFSET:
        raise at.error(f"its output has offset {at.spec.offset}; {kind.__name__} writes tensors without one")
    for source in at.inputs:
        if np.any(source.spec.offset) and kind not in READS_OFFSET:
            raise at.error(
                f"{source.spec.name} has offset {source.spec.offset}, "
                "which only a linear layer or a table can absorb"
            )
    with at.graph.scope(at.node.name):
        return FLOAT_LOWERINGS[kind](at.node.operator, at)
