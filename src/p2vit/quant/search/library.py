"""Every layer rounded once at every width, on one set of grids; a candidate is a choice among them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from p2vit.errors import P2vitError
from p2vit.models.canonical import CanonicalViT
from p2vit.quant.block import Menu
from p2vit.quant.config import QuantConfig
from p2vit.quant.pipeline import Progress, quantize_model, silent
from p2vit.quant.search.cost import Bits
from p2vit.quant.search.layers import Layer, searchable
from p2vit.quant.simulated import QuantizedViT
from p2vit.quant.weights import QuantizedLinear


@dataclass(frozen=True)
class Library:
    """Layers to compose candidates of.

    Attributes:
        model: Quantized with the widest width everywhere.
        layers: All that are searched.
        widths: Ascending.
        rounded: (layer, width) → the layer in integers.
    """

    model: QuantizedViT
    layers: tuple[Layer, ...]
    widths: tuple[int, ...]
    rounded: dict[tuple[str, int], QuantizedLinear]

    @property
    def widest(self) -> dict[str, int]:
        """Every layer at the widest width."""
        return {layer.name: self.widths[-1] for layer in self.layers}

    def compose(self, bits: Bits) -> QuantizedViT:
        """The model with these widths; grids and ends are shared, nothing is copied.

        Args:
            bits: Layer → width; layers not named have the widest.
        """
        blocks = [replace(block, layers=dict(block.layers)) for block in self.model.blocks]
        for layer in self.layers:
            if layer.name in bits:
                blocks[layer.block].layers[layer.site] = self.rounded[layer.name, bits[layer.name]]
        return replace(self.model, blocks=blocks)


def build_library(
    model: CanonicalViT,
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
        model: In canonical form.
        photos: Calibration photos in batches, uint8 [B, H, W, 3].
        config: The method; its widths are ignored.
        widths: At least one, each 2 to 8.
        threads: Workers.
        progress: Called with (stage, done, total).

    Raises:
        P2vitError: a width is not allowed.
    """
    ordered = tuple(sorted(set(widths)))
    if not ordered or ordered[0] < 2 or ordered[-1] > 8:
        raise P2vitError(f"widths {list(widths)} are not allowed; name one or more of 2 to 8, e.g. 4,8")
    rounded: dict[tuple[str, int], QuantizedLinear] = {}

    def keep(name: str, width: int, layer: QuantizedLinear) -> None:
        rounded[name, width] = layer

    base = replace(config, weight_bits=ordered[-1], layer_bits={})
    quantized, _ = quantize_model(model, photos, base, threads, progress, Menu(ordered, keep))
    return Library(quantized, searchable(model.config), ordered, rounded)
