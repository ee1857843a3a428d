"""One step of a blueprint, and the list of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from p2vit.models.windows import Index

Shape = tuple[int, ...]
#: Part of the network that a step belongs to.
Part = Literal["embedding", "attention", "mlp", "merge", "head"]
#: Owner of the weights and grids of a step: embedding and head, an encoder block, the attention pooling head, or a
#: feature map.
Home = Literal["ends", "block", "pool", "map"]
#: How wide an output is stored. ``stream``: residual stream, 16 bits by default. ``codes``: softmax codes.
Width = Literal["activation", "stream", "wide", "accumulator", "codes"]

#: Name of the input tensor, as in an integer program.
PIXELS = "pixels"
#: Grid of a LayerNorm's output before its gain: 16 bits, wide enough for every normalised value.
NORMALISED = "normalised"
#: Grid of two vectors side by side, each with its own scale exponent.
JOINED = "joined"


@dataclass(frozen=True, eq=False)
class Step:
    """One operator of a model, without numbers that depend on weights or photos.

    Attributes:
        name: Unique name of the step and of the tensor that it writes, e.g. ``blocks.3.attn.q``.
        operator: Class name of the integer operator, one of `p2vit.numerics.OPERATORS`.
        inputs: Names of the tensors that it reads, in the operator's order.
        shape: Shape of the output without the batch dimension.
        width: How wide the output is stored.
        part: Part of the network.
        block: Encoder block, counted from 0; −1 outside the blocks.
        home: Owner of the step's weights and grids.
        layer: Key of the weights in the home, e.g. ``fc1``; empty without weights.
        grid: Key of the output's grid in the home, e.g. ``norm1``; empty if it follows from the inputs.
        heads: Attention heads of an operator that works head by head.
        windows: Attention windows.
        index: Input tokens of each output token of a `GatherTokens`, int32 [T] or [T, k]; −1 reads a fill token.
        fill: Key of the fill token in the home; empty for zeros.
        reads: First row and number of rows that a sum or a selection reads.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    shape: Shape
    width: Width = "activation"
    part: Part = "embedding"
    block: int = -1
    home: Home = "ends"
    layer: str = ""
    grid: str = ""
    heads: int = 1
    windows: int = 1
    index: Index | None = None
    fill: str = ""
    reads: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Blueprint:
    """All steps of a model, in execution order.

    Attributes:
        name: Name of the architecture.
        pixels: Shape of the input, (height, width, 3).
        steps: The steps; each reads the pixels or outputs of earlier steps.
        output: Name of the tensor with the logits, or with the feature if there is no head.
        feature: Name of the tensor that the head reads.
    """

    name: str
    pixels: Shape
    steps: tuple[Step, ...]
    output: str
    feature: str


@dataclass(eq=False)
class Sketch:
    """A blueprint under construction.

    Attributes:
        shapes: Name → shape of the pixels and of every step's output.
        steps: Steps so far.
        common: Fields that the next steps share: ``part``, ``block``, ``home``.
    """

    shapes: dict[str, Shape]
    steps: list[Step] = field(default_factory=list)
    common: dict[str, Any] = field(default_factory=dict)

    def within(self, part: Part, home: Home = "ends", block: int = -1) -> None:
        """Set the part, the home and the block of the steps that follow."""
        self.common = {"part": part, "home": home, "block": block}

    def add(self, name: str, operator: str, inputs: Sequence[str], shape: Shape, **fields: Any) -> str:
        """Append a step.

        Args:
            name: Unique name.
            operator: Class name of the operator.
            inputs: Names of the pixels or of earlier steps.
            shape: Shape of the output.
            **fields: Further fields of `Step`.

        Returns:
            The name.

        Raises:
            ValueError: The name is taken, or an input is unknown.
        """
        if name in self.shapes:
            raise ValueError(f"step {name}: the name is taken")
        if unknown := [source for source in inputs if source not in self.shapes]:
            raise ValueError(f"step {name}: reads {unknown[0]!r}, which no earlier step writes")
        self.steps.append(Step(name, operator, tuple(inputs), shape, **self.common, **fields))
        self.shapes[name] = shape
        return name

    def linear(self, name: str, source: str, outputs: int, layer: str, grid: str, width: Any) -> str:
        """Append a linear layer: [rows, K] → [rows, outputs]."""
        shape = (self.shapes[source][0], outputs)
        return self.add(name, "Linear", [source], shape, layer=layer, grid=grid, width=width)

    def norm(self, name: str, source: str, grid: str) -> str:
        """Append a LayerNorm without gain and bias; the grid `NORMALISED` has 16 bits, other grids have 8."""
        width = "wide" if grid == NORMALISED else "activation"
        return self.add(name, "LayerNorm", [source], self.shapes[source], grid=grid, width=width)

    def gather(self, name: str, source: str, index: Index, width: Any, fill: str = "") -> str:
        """Append a gather of tokens: index [T] → [T, C], index [T, k] → [T, k · C]."""
        side = index.reshape(len(index), -1).shape[1]
        shape = (len(index), side * self.shapes[source][1])
        return self.add(name, "GatherTokens", [source], shape, index=index, width=width, fill=fill)
