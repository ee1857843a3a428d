"""A writer of ONNX graphs: equal constants are shared, names come from scopes, equal calls give equal bytes."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from p2vit.export.onnx.common.optional import onnx

#: Name of the batch dimension, which is dynamic.
BATCH = "batch"


class OnnxGraph:
    """Collects nodes, constants, inputs and outputs of one graph.

    Attributes:
        nodes: Nodes in the order in which they were added, which is a valid execution order.
        outputs: Graph outputs in the order in which they were declared.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._names: set[str] = set()
        self._scope = ""

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Give the prefix ``name/`` to everything that the ``with`` block adds."""
        before, self._scope = self._scope, name
        try:
            yield
        finally:
            self._scope = before

    def _unique(self, stem: str) -> str:
        base = f"{self._scope}/{stem}" if self._scope else stem
        name, count = base, 1
        while name in self._names:
            count += 1
            name = f"{base}_{count}"
        self._names.add(name)
        return name

    def reserve(self, names: Sequence[str]) -> None:
        """Reserve names, so that no other tensor gets them."""
        self._names.update(names)

    def constant(self, value: np.ndarray | np.generic, stem: str = "constant") -> str:
        """Return the name of an initializer with a value; equal values are stored once."""
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, hashlib.sha256(np.ascontiguousarray(array).data).digest())
        if key not in self._constants:
            name = self._unique(stem)
            self._constants[key] = name
            self._arrays[name] = array
        return self._constants[key]

    def op(
        self, kind: str, *inputs: str | np.ndarray | np.generic, output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node, and return the name of its output.

        Args:
            kind: Operator type in the default domain.
            inputs: Tensor names; arrays become constants.
            output: Exact name of the output; None derives one from the scope.
            attributes: Operator attributes.
        """
        sources = [source if isinstance(source, str) else self.constant(source) for source in inputs]
        result = output if output is not None else self._unique(kind.lower())
        self.nodes.append(
            onnx().helper.make_node(kind, sources, [result], name=f"{result}:{kind}", **attributes)
        )
        return result

    def cast(self, x: str, dtype: type[np.generic] | np.dtype) -> str:
        """Add a ``Cast`` to a NumPy dtype."""
        return self.op("Cast", x, to=onnx().helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def input(self, name: str, dtype: np.dtype, shape: Sequence[int]) -> str:
        """Declare a graph input with a dynamic batch axis before ``shape``."""
        self._names.add(name)
        self.inputs.append(self._info(name, dtype, shape))
        return name

    def output(self, name: str, dtype: np.dtype, shape: Sequence[int]) -> None:
        """Declare a graph output with a dynamic batch axis before ``shape``."""
        self.outputs.append(self._info(name, dtype, shape))

    def _info(self, name: str, dtype: np.dtype, shape: Sequence[int]) -> Any:
        helper = onnx().helper
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [BATCH, *shape]
        )

    @property
    def constant_bytes(self) -> int:
        """Bytes of all constants."""
        return sum(array.nbytes for array in self._arrays.values())

    def model(self, name: str, opset: int, ir_version: int) -> Any:
        """Return the ``ModelProto``, with the constants that nodes read."""
        used = {source for node in self.nodes for source in node.input}
        initializers = [
            onnx().numpy_helper.from_array(np.ascontiguousarray(array) if array.ndim else array, constant)
            for constant, array in self._arrays.items()
            if constant in used
        ]
        helper = onnx().helper
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, initializers)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=ir_version,
            producer_name="p2vit",
        )
