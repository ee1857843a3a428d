"""Executor on torch integers: the same integers as the reference, thousands of times faster."""

import torch
from torch import Tensor

from p2vit.engine.executor import NodeExecutor
from p2vit.engine.torch.kernels import Parameters, compute
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, Node


class TorchExecutor(NodeExecutor):
    """Runs a program on torch integer tensors."""

    name = "torch"

    def __init__(self, program: IntegerProgram) -> None:
        super().__init__(program)
        self._parameters = {node.name: Parameters(node.operator) for node in program.nodes}

    def load(self, pixels: IntArray) -> Tensor:
        """A uint8 tensor."""
        return torch.from_numpy(pixels.copy())

    @torch.inference_mode()
    def step(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """The operator's torch kernel; a caller's autocast would round the integers that floats carry."""
        with torch.autocast("cpu", enabled=False):
            return compute(node.operator, inputs, self._parameters[node.name])

    def store(self, value: Tensor) -> IntArray:
        """A NumPy array of the same dtype."""
        return value.numpy().copy()
