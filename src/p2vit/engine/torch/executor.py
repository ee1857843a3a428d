"""The torch executor: the same integers as the reference, on a CPU or on a CUDA GPU."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from p2vit.engine.executor import NodeExecutor
from p2vit.engine.torch.device import DeviceError, open_device
from p2vit.engine.torch.kernels import Parameters, compute
from p2vit.engine.torch.replay import Replays
from p2vit.engine.torch.segments import CompiledSegments
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, Node


class TorchExecutor(NodeExecutor):
    """Runs a program on torch integer tensors.

    Attributes:
        device: The device that holds the tensors.
    """

    name = "torch"

    def __init__(
        self,
        program: IntegerProgram,
        device: str = "cpu",
        compiled: bool = False,
        replay: bool | None = None,
    ) -> None:
        """Prepare a program.

        Args:
            program: The program.
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            compiled: Compile the operators with TorchInductor, separately for each batch size. The first batch then
                takes seconds to minutes. It applies only to runs that keep nothing but the program's results.
            replay: Record the operators of a batch size as a CUDA graph at its second run, and replay it from then on.
                By default True on a GPU. It applies to the same runs as ``compiled``.

        Raises:
            DeviceError: There is no such device, or torch cannot use it.
        """
        super().__init__(program)
        self.device = open_device(device)
        self._parameters = {node.name: Parameters(node.operator, self.device) for node in program.nodes}
        self._forward: Callable[[Tensor], dict[str, Tensor]] = self._step_by_step
        if compiled:
            self._forward = CompiledSegments(program, self._parameters, self._step_by_step)
        self._turn: AbstractContextManager[Any] = Lock() if self.device.type == "cuda" else nullcontext()
        if self.device.type == "cuda" and replay is not False:
            self._forward = Replays(self._forward)

    def load(self, pixels: IntArray) -> Tensor:
        """Copy the pixels to a uint8 tensor on the device."""
        return torch.from_numpy(pixels.copy()).to(self.device)

    @torch.no_grad()
    def step(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """Run the operator's torch kernel.

        Autocast is switched off: it would round the integers that some kernels hold in float32.
        """
        with torch.autocast(self.device.type, enabled=False):
            return compute(node.operator, inputs, self._parameters[node.name])

    def store(self, value: Tensor) -> IntArray:
        """Copy the tensor to a NumPy array of the same dtype."""
        return value.cpu().numpy().copy()

    def run(self, pixels: IntArray, keep: Iterable[str] = ()) -> dict[str, IntArray]:
        """Run the program on a batch; see :meth:`p2vit.engine.executor.Executor.run`."""
        self.program.expect_pixels(pixels)
        if set(self.program.among(keep, "keep")) - {*self.program.results} or not len(pixels):
            with _memory_errors(self.device, len(pixels)):
                return super().run(pixels, keep)
        # Threads take turns on a GPU, because a replayed graph has one set of results.
        with _memory_errors(self.device, len(pixels)), self._turn:
            return {name: self.store(value) for name, value in self.on_device(self.load(pixels)).items()}

    def on_device(self, pixels: Tensor) -> dict[str, Tensor]:
        """Run the program on a batch that is on the device, and leave the results there.

        Args:
            pixels: uint8 [B, H, W, 3] on the device.

        Returns:
            Name → tensor of each of the program's results, on the device. A later run may overwrite them.
        """
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self._forward(pixels)

    def _step_by_step(self, pixels: Tensor) -> dict[str, Tensor]:
        """Run one operator after the other."""
        return dict(self.walk(pixels, {*self.program.results}))


@contextmanager
def _memory_errors(device: torch.device, photos: int) -> Iterator[None]:
    """Say what to do if the memory of the GPU is too small.

    Raises:
        DeviceError: It is.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise DeviceError(
            f"--device {device}: the memory of the GPU is too small for a batch of {photos} photos. Use fewer photos "
            "per batch (--batch), or omit --device to run on the CPU"
        ) from None
