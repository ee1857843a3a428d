"""The layers whose width a search may choose, and their sizes."""

from collections.abc import Iterator
from dataclasses import dataclass

from p2vit.models.config import ModelConfig

#: Names of the layers within a block.
SITES = ("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2")
#: Width of activations in bits.
ACTIVATION_BITS = 8


@dataclass(frozen=True)
class Layer:
    """One linear layer.

    Attributes:
        name: Name of the layer, such as ``blocks.3.attn.q``, as in ``QuantConfig.layer_bits``.
        block: Index of the block.
        site: Key in ``QuantizedBlock.layers``: ``q``, ``k``, ``v``, ``proj``, ``fc1``, ``fc2``, or
            ``up`` of a gated MLP.
        outputs: Number of outputs, N.
        inputs: Number of inputs, K.
        rows: Number of tokens per image.
    """

    name: str
    block: int
    site: str
    outputs: int
    inputs: int
    rows: int

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.outputs * self.inputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return self.weights * self.rows


def searchable(config: ModelConfig) -> tuple[Layer, ...]:
    """Return every linear layer of the encoder blocks, in execution order.

    The patch embedding and the head stay at 8 bits: they have few weights, and their inputs are the least redundant.
    Patch merging and the attention pooling head have the widest width of the search.
    """
    return tuple(_layers(config))


def _layers(config: ModelConfig) -> Iterator[Layer]:
    for block, shape in enumerate(config.blocks):
        wide, narrow = shape.mlp_dim, shape.dim
        for path in (*SITES[:-1], *(("mlp.up",) if shape.gated_mlp else ()), SITES[-1]):
            site = path.split(".")[1]
            outputs = wide if site in ("fc1", "up") else narrow
            inputs = wide if site == "fc2" else narrow
            yield Layer(f"blocks.{block}.{path}", block, site, outputs, inputs, shape.tokens)
