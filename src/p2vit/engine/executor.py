"""The protocol of executors, and a base class for executors that compute a program node by node."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from p2vit.errors import P2vitError
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram, Node


class RefusedProgramError(P2vitError, ValueError):
    """One back-end cannot run a valid program; another one can. The message names the node."""


@runtime_checkable
class Executor(Protocol):
    """Runs one program; every executor returns the same integers.

    Attributes:
        program: The program.
        name: Name of the back-end, as in ``verify --backends``.
    """

    name: str
    program: IntegerProgram

    @abstractmethod
    def run(self, pixels: IntArray, keep: Iterable[str] = ()) -> dict[str, IntArray]:
        """Run the program on a batch.

        Args:
            pixels: uint8 [B, H, W, 3].
            keep: Names of tensors to return besides the program's results: output, feature and feature maps.

        Returns:
            Tensor name → integers [B, ...], in the dtypes of the program.

        Raises:
            ValueError: The pixels do not have the shape and dtype of the program's input.
            ProgramError: ``keep`` names a tensor that the program does not have.
        """
        ...

    def logits(self, pixels: IntArray) -> IntArray:
        """Compute the output for pixels uint8 [B, H, W, 3]: int32 [B, classes]."""
        return self.run(pixels)[self.program.output].reshape(len(pixels), -1)


class NodeExecutor(Executor):
    """An executor that computes one node after the other, and frees each tensor after its last use."""

    def __init__(self, program: IntegerProgram) -> None:
        self.program = program
        self._last_use: dict[str, int] = {}
        for position, node in enumerate(program.nodes):
            for source in node.inputs:
                self._last_use[source] = position

    @abstractmethod
    def load(self, pixels: IntArray) -> Any:
        """Convert uint8 pixels to the executor's own tensor type."""

    @abstractmethod
    def step(self, node: Node, inputs: list[Any]) -> Any:
        """Compute one node from its input tensors."""

    @abstractmethod
    def store(self, value: Any) -> IntArray:
        """Convert a tensor to a NumPy array."""

    def run(self, pixels: IntArray, keep: Iterable[str] = ()) -> dict[str, IntArray]:
        """Run the program on a batch; see :meth:`Executor.run`."""
        self.program.expect_pixels(pixels)
        wanted = {*self.program.among(keep, "keep"), *self.program.results}
        return {name: self.store(value) for name, value in self.walk(self.load(pixels), wanted)}

    def walk(self, pixels: Any, wanted: set[str]) -> Iterator[tuple[str, Any]]:
        """Compute all nodes, and yield the name and the tensor of each wanted one as soon as it is computed.

        Args:
            pixels: Pixels in the executor's own tensor type.
            wanted: Names of tensors.
        """
        live: dict[str, Any] = {PIXELS: pixels}
        for position, node in enumerate(self.program.nodes):
            value = self.step(node, [live[source] for source in node.inputs])
            if node.name in wanted:
                yield node.name, value
            live[node.name] = value
            for source in {*node.inputs, node.name}:
                if self._last_use.get(source, -1) <= position:
                    live.pop(source, None)
