"""The reference executor: each operator's own ``compute``. Slow, obvious, and the norm for the others."""

from p2vit.engine.executor import NodeExecutor
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import Node


class ReferenceExecutor(NodeExecutor):
    """NumPy integers, one operator after the other."""

    name = "reference"

    def load(self, pixels: IntArray) -> IntArray:
        """The pixels themselves."""
        return pixels

    def step(self, node: Node, inputs: list[IntArray]) -> IntArray:
        """The operator's ``compute``."""
        return node.operator.compute(*inputs)

    def store(self, value: IntArray) -> IntArray:
        """The array itself."""
        return value
