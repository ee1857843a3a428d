"""What a block's quantization is given besides the block: the float model's block, and widths for a search."""

from collections.abc import Callable
from dataclasses import dataclass

from p2vit.models.canonical import AttentionPool, Block
from p2vit.quant.disk_array import DiskArray
from p2vit.quant.weights import QuantizedLinear


@dataclass(frozen=True)
class ExtraWidths:
    """Widths at which every layer is rounded in addition to the width that the model gets.

    Attributes:
        widths: Weight widths in bits.
        keep: Receives (layer name, width, rounded layer) for every layer and width.
    """

    widths: tuple[int, ...]
    keep: Callable[[str, int, QuantizedLinear], None]


@dataclass(frozen=True)
class FloatReference:
    """The float model's block and residual stream. Narrow weights are rounded to reproduce them.

    Attributes:
        block: The float block, or the pooling head. The head's MLP half has the form of a block's.
        stream: The float model's residual stream, float32 [photos, N, C]; updated in place, like the quantized one.
    """

    block: Block | AttentionPool
    stream: DiskArray
