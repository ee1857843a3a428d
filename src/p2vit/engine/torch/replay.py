"""Replay of a program on a GPU: the launches of all kernels are recorded once, as a CUDA graph, and then repeated."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

#: Batch sizes whose graphs are kept. Each graph holds the memory of all its tensors.
KEPT = 4

Forward = Callable[[Tensor], dict[str, Tensor]]


class Replays:
    """Runs a forward function, and replays a CUDA graph of it from the second batch of a size on.

    The first run of a batch size is not recorded: it copies parameters to the GPU and tests which products are exact.
    Many batch sizes occur only once, as the last batch of a data set.
    """

    def __init__(self, forward: Forward) -> None:
        """Take the function from pixels on the GPU to named tensors."""
        self.forward = forward
        self._seen: set[int] = set()
        self._graphs: OrderedDict[int, Replay] = OrderedDict()

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Run a batch; see `TorchExecutor.on_device`."""
        size = len(pixels)
        if size not in self._seen:
            self._seen.add(size)
            return self.forward(pixels)
        if size not in self._graphs:
            while len(self._graphs) >= KEPT:
                self._graphs.popitem(last=False)
            self._graphs[size] = Replay(self.forward, pixels)
        self._graphs.move_to_end(size)
        return self._graphs[size](pixels)


class Replay:
    """The CUDA graph of one batch size."""

    def __init__(self, forward: Forward, pixels: Tensor) -> None:
        """Record the kernels that ``forward`` launches for pixels of this shape. It has run with this shape before."""
        self.pixels = pixels.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(pixels.device), torch.cuda.graph(self.graph):
            self.results = forward(self.pixels)

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Copy the pixels to the graph's input and replay the graph; the results are its own tensors."""
        self.pixels.copy_(pixels)
        self.graph.replay()
        return self.results
