"""The layers whose width a search may choose, and their sizes."""

from dataclasses import dataclass

from p2vit.models.blueprint.model import blueprint
from p2vit.models.config import ModelConfig

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
    plan = blueprint(config)
    inputs = {step.name: step.shape[-1] for step in plan.steps}
    return tuple(
        Layer(step.name, step.block, step.layer, step.shape[-1], inputs[step.inputs[0]], step.shape[0])
        for step in plan.steps
        if step.operator == "Linear" and step.home == "block" and step.part != "merge"
    )
