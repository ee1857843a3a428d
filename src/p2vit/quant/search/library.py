"""Every layer rounded once at every width, on one set of grids; a candidate is a choice among them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from p2vit.errors import DataError, P2vitError
from p2vit.models.loaded import FloatModel
from p2vit.numerics import Linear
from p2vit.program.graph import IntegerProgram
from p2vit.quant.block import Menu
from p2vit.quant.config import QuantConfig
from p2vit.quant.lower import linear, lower
from p2vit.quant.pipeline import Progress, quantize_model, silent
from p2vit.quant.plausible import refusing_odd_numbers
from p2vit.quant.search.cost import Bits
from p2vit.quant.search.layers import Layer, searchable
from p2vit.quant.weights import QuantizedLinear


@dataclass(frozen=True)
class Library:
    """Layers to compose candidates of.

    Attributes:
        program: The widest width everywhere.
        layers: All that are searched.
        widths: Ascending.
        rounded: (layer, width) → the layer's operator.
    """

    program: IntegerProgram
    layers: tuple[Layer, ...]
    widths: tuple[int, ...]
    rounded: dict[tuple[str, int], Linear]

    @property
    def widest(self) -> dict[str, int]:
        """Every layer at the widest width."""
        return {layer.name: self.widths[-1] for layer in self.layers}

    def compose(self, bits: Bits) -> IntegerProgram:
        """The program with these widths; everything else is shared, nothing is copied.

        Args:
            bits: Layer → width; layers not named have the widest.
        """
        nodes = tuple(
            replace(node, operator=self.rounded[node.name, bits[node.name]]) if node.name in bits else node
            for node in self.program.nodes
        )
        return replace(self.program, nodes=nodes)


def build_library(
    model: FloatModel,
    photos: Iterable[NDArray[np.uint8]],
    config: QuantConfig,
    widths: Sequence[int],
    threads: int | None = None,
    progress: Progress = silent,
) -> Library:
    """Quantize a model once, rounding each layer at every width on the way.

    The stream that later layers see is that of the widest width: close to the float model's, so that the
    layers are good companions whatever the mix turns out to be.

    Args:
        model: Float.
        photos: Calibration photos in batches, uint8 [B, H, W, 3].
        config: The method; its widths are ignored.
        widths: At least one, each 2 to 8.
        threads: Workers.
        progress: Called with (stage, done, total).

    Raises:
        P2vitError: a width is not allowed.
        ModelError: no integer program comes of the method.
    """
    config.check_integer()
    ordered = tuple(sorted(set(widths)))
    if not ordered or ordered[0] < 2 or ordered[-1] > 8:
        raise P2vitError(f"widths {list(widths)} are not allowed; name one or more of 2 to 8, e.g. 4,8")
    rounded: dict[tuple[str, int], QuantizedLinear] = {}

    def keep(name: str, width: int, layer: QuantizedLinear) -> None:
        # A quarter of the memory: all widths of all layers are held at once.
        rounded[name, width] = replace(layer, weight=layer.weight.to(torch.int8))

    base = replace(config, weight_bits=ordered[-1], layer_bits={})
    stream = iter(photos)
    head = next(stream, None)
    if head is None or not len(head):
        raise DataError("no calibration photo could be read; at least one is needed")
    with refusing_odd_numbers(model, head):
        every = chain([head], stream)
        quantized, _ = quantize_model(model.module, every, base, threads, progress, Menu(ordered, keep))
        layers = searchable(model.config)
        operators = {
            (layer.name, width): linear(
                rounded[layer.name, width], quantized.blocks[layer.block].output_grid(layer.site)
            )
            for layer in layers
            for width in ordered
        }
        return Library(lower(quantized, model.preprocessing), layers, ordered, operators)
