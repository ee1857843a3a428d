"""The layers that a search may give another width, and what each has to do."""

from collections.abc import Iterator
from dataclasses import dataclass

from p2vit.models.config import ModelConfig

#: Layer within its block → (outputs, inputs) in units of (embed_dim, mlp_dim).
SITES = ("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2")
#: Activations have 8 bits everywhere.
ACTIVATION_BITS = 8


@dataclass(frozen=True)
class Layer:
    """One linear layer.

    Attributes:
        name: ``blocks.3.attn.q``, as :class:`~p2vit.quant.config.QuantConfig` names it.
        block: Index of its block.
        site: Name within the block's quantized layers: ``q``, ``k``, ``v``, ``proj``, ``fc1``, ``fc2``, and
            ``up`` of a gated MLP.
        outputs: N.
        inputs: K.
        rows: Times it is applied per image: the tokens.
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
    """Every linear layer of the encoder, in the order in which they run.

    Patch embedding and head stay at 8 bits: they are few weights and see the least redundant inputs. So does
    what is no block's own: patch merging and the pooling head have the widest width of the search.
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
