"""The registry of float lowerings, and the arguments that each of them gets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.qdq.requantize import quantized
from p2vit.export.onnx.qdq.values import (
    FloatValue,
    QdqForm,
    tensor_exponent_of,
    tensor_offset_of,
    times_power,
)
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

#: Operators that may write tensors with an offset, and operators that may read them.
WITH_OFFSET = (Patchify, Lookup, Linear, SelectToken, GatherTokens)
READS_OFFSET = (Linear, Lookup, Multiply, SelectToken, GatherTokens, ConstantTokens)


@dataclass(frozen=True)
class FloatLowering:
    """The arguments of a float lowering.

    Attributes:
        graph: Graph to which nodes are added.
        program: The whole program.
        node: Node that is lowered.
        inputs: Its inputs in the graph.
        form: Options of the export.
    """

    graph: OnnxGraph
    program: IntegerProgram
    node: Node
    inputs: tuple[FloatValue, ...]
    form: QdqForm

    @property
    def spec(self) -> TensorSpec:
        """Tensor that the node writes."""
        return self.program.tensors[self.node.name]

    @property
    def tensor_exponent(self) -> int:
        """Exponent of the output's one scale, see :class:`~p2vit.export.onnx.qdq.values.FloatValue`."""
        return tensor_exponent_of(self.spec)

    def output(self, x: str) -> FloatValue:
        """Return the output from a tensor x that has the output's one scale."""
        return quantized(self.graph, self.spec, x, self.form)

    def output_real(self, x: str) -> FloatValue:
        """Return the output from a tensor x of real values."""
        exponent = self.spec.exponent.astype(np.int32)
        y = times_power(self.graph, x, self.tensor_exponent - exponent)
        left_out = np.ldexp(
            np.asarray(tensor_offset_of(self.spec) - self.spec.offset, np.float32), self.tensor_exponent
        )
        return self.output(self.graph.op("Add", y, left_out) if left_out.any() else y)

    def error(self, what: str) -> P2vitError:
        """Return an error that names the node."""
        return P2vitError(f"node {self.node.name}: {what}")


FLOAT_LOWERINGS: dict[type[Operator], Callable[[Any, FloatLowering], FloatValue]] = {}


def writes(
    kind: type[Operator],
) -> Callable[[Callable[[Any, FloatLowering], FloatValue]], Callable[[Any, FloatLowering], FloatValue]]:
    """Register the float lowering of an operator class."""

    def register(
        function: Callable[[Any, FloatLowering], FloatValue],
    ) -> Callable[[Any, FloatLowering], FloatValue]:
        FLOAT_LOWERINGS[kind] = function
        return function

    return register


def lower_float(at: FloatLowering) -> FloatValue:
    """Lower one node.

    Raises:
        P2vitError: The operator has no float lowering, or an offset cannot be expressed in float operators.
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
