"""The reference executor: calls each operator's ``compute``. It is slow, and every other executor must equal it."""

from p2vit.engine.executor import NodeExecutor
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import Node


class ReferenceExecutor(NodeExecutor):
    """Runs a program on NumPy integers, one operator after the other."""

    name = "reference"

    def load(self, pixels: IntArray) -> IntArray:
        """Return the pixels unchanged."""
        return pixels

    def step(self, node: Node, inputs: list[IntArray]) -> IntArray:
        """Call the operator's ``compute``."""
        return node.operator.compute(*inputs)

    def store(self, value: IntArray) -> IntArray:
        """Return the array unchanged."""
        return value
