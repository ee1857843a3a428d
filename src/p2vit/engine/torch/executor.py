"""The torch executor: the same integers as the reference, but many times faster."""

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
        """Copy the pixels to a uint8 tensor."""
        return torch.from_numpy(pixels.copy())

    @torch.inference_mode()
    def step(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """Run the operator's torch kernel.

        Autocast is switched off: it would round the integers that some kernels hold in float32.
        """
        with torch.autocast("cpu", enabled=False):
            return compute(node.operator, inputs, self._parameters[node.name])

    def store(self, value: Tensor) -> IntArray:
        """Copy the tensor to a NumPy array of the same dtype."""
        return value.numpy().copy()
