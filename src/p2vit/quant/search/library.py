"""Layers rounded once at every width, with the same activation grids. A candidate chooses one width of each."""

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
from p2vit.quant.config import QuantConfig
from p2vit.quant.extreme_values import refuse_extreme_values
from p2vit.quant.float_reference import ExtraWidths
from p2vit.quant.lower import lower
from p2vit.quant.lower_operators import linear
from p2vit.quant.pipeline import Progress, quantize_model, silent
from p2vit.quant.search.cost import Bits
from p2vit.quant.search.layers import Layer, searchable
from p2vit.quant.weights import QuantizedLinear


@dataclass(frozen=True)
class Library:
    """Layers at every width, from which the program of a candidate is composed.

    Attributes:
        program: Program with the widest width in every layer.
        layers: Layers of the search.
        widths: Weight widths in bits, ascending.
        rounded: (layer name, width) → the layer's operator.
    """

    program: IntegerProgram
    layers: tuple[Layer, ...]
    widths: tuple[int, ...]
    rounded: dict[tuple[str, int], Linear]

    @property
    def widest(self) -> dict[str, int]:
        """Layer name → the widest width."""
        return {layer.name: self.widths[-1] for layer in self.layers}

    def compose(self, bits: Bits) -> IntegerProgram:
        """Return the program with the widths given. No array is copied.

        Args:
            bits: Layer name → width. Layers that are not named have the widest width.
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
    """Quantize a model once, and round each layer at every width.

    The layers after it read the residual stream of the widest width. It is close to the float model's, so that every
    layer suits any combination of widths.

    Args:
        model: Float model.
        photos: Calibration photos in batches, uint8 [B, H, W, 3].
        config: The method; its weight widths are ignored.
        widths: Weight widths, 2 to 8 bits; at least one.
        threads: Number of threads; None uses the processor cores of this machine, at most 8.
        progress: Called with (stage, done, total).

    Raises:
        P2vitError: A width is not allowed.
        ModelError: The method has no integer program.
        DataError: There is no calibration photo.
    """
    config.check_integer()
    ordered = tuple(sorted(set(widths)))
    if not ordered or ordered[0] < 2 or ordered[-1] > 8:
        raise P2vitError(f"widths {list(widths)} are not allowed; name one or more of 2 to 8, e.g. 4,8")
    rounded: dict[tuple[str, int], QuantizedLinear] = {}

    def keep(name: str, width: int, layer: QuantizedLinear) -> None:
        # int8 takes a quarter of the memory; all widths of all layers are held at once.
        rounded[name, width] = replace(layer, weight=layer.weight.to(torch.int8))

    base = replace(config, weight_bits=ordered[-1], layer_bits={})
    stream = iter(photos)
    head = next(stream, None)
    if head is None or not len(head):
        raise DataError("no calibration photo could be read; at least one is needed")
    with refuse_extreme_values(model, head):
        every = chain([head], stream)
        quantized, _ = quantize_model(
            model.module, every, base, threads, progress, ExtraWidths(ordered, keep)
        )
        layers = searchable(model.config)
        operators = {
            (layer.name, width): linear(
                rounded[layer.name, width], quantized.blocks[layer.block].output_grid(layer.site)
            )
            for layer in layers
            for width in ordered
        }
        return Library(lower(quantized, model.preprocessing), layers, ordered, operators)
