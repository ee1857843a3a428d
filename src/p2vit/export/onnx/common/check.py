"""Inspection of an exported model: dtypes of every node, float tensors, and the ONNX checker."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.optional import onnx


@dataclass(frozen=True)
class NodeTypes:
    """One node of a model.

    Attributes:
        name: Node name.
        operator: Operator type.
        inputs: dtype of each input, such as ``int32``.
        outputs: dtype of each output.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ModelReport:
    """Result of :func:`inspect_model`.

    Attributes:
        nodes: Nodes in graph order.
        float_tensors: Names of all tensors (inputs, constants, intermediates) of a floating-point type.
        opset: Version of the default domain.
    """

    nodes: tuple[NodeTypes, ...]
    float_tensors: tuple[str, ...]
    opset: int

    @property
    def operators(self) -> dict[str, int]:
        """Operator type → number of nodes, the most frequent first."""
        return dict(Counter(node.operator for node in self.nodes).most_common())

    def table(self) -> str:
        """Format one line per node: name, operator, input dtypes and output dtypes."""
        return "\n".join(
            f"{node.name}  {node.operator}  {', '.join(node.inputs)} -> {', '.join(node.outputs)}"
            for node in self.nodes
        )


def inspect_model(model: Any) -> ModelReport:
    """List every node with its dtypes, by strict ONNX shape inference.

    Args:
        model: A ``ModelProto`` below 2 GB.

    Raises:
        P2vitError: Shape inference finds no type for a tensor.
    """
    inferred = onnx().shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    graph = inferred.graph
    types = {
        info.name: info.type.tensor_type.elem_type
        for info in [*graph.input, *graph.value_info, *graph.output]
    }
    types |= {constant.name: constant.data_type for constant in graph.initializer}
    for node in graph.node:
        for name in [*node.input, *node.output]:
            if not types.get(name):
                raise P2vitError(
                    f"node {node.name} ({node.op_type}): shape inference finds no type for tensor {name!r}"
                )
    nodes = tuple(
        NodeTypes(
            node.name,
            node.op_type,
            tuple(_dtype(types[name]) for name in node.input),
            tuple(_dtype(types[name]) for name in node.output),
        )
        for node in graph.node
    )
    floats = tuple(sorted(name for name, kind in types.items() if not _is_integer(kind)))
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return ModelReport(nodes, floats, opset)


def check_model(model: Any) -> None:
    """Run the ONNX checker with full type and shape checks.

    Args:
        model: A ``ModelProto``, or the path of a model with external data.

    Raises:
        P2vitError: The checker found an error; the message gives it.
    """
    try:
        onnx().checker.check_model(str(model) if isinstance(model, Path) else model, full_check=True)
    except (onnx().checker.ValidationError, onnx().shape_inference.InferenceError) as error:
        raise P2vitError(f"the exported model does not pass the ONNX checker: {error}") from error


def expect_integers_only(report: ModelReport) -> None:
    """Check that a model has no floating-point tensor.

    Raises:
        P2vitError: It has one. The message names the first.
    """
    if report.float_tensors:
        raise P2vitError(
            f"{len(report.float_tensors)} tensors are floating point, "
            f"the first is {report.float_tensors[0]!r}; "
            "an onnx-integer model has integers and booleans only"
        )


def _dtype(kind: int) -> str:
    return np.dtype(onnx().helper.tensor_dtype_to_np_dtype(kind)).name


def _is_integer(kind: int) -> bool:
    return np.dtype(onnx().helper.tensor_dtype_to_np_dtype(kind)).kind in "iub"
