"""The integer program: a typed graph of integer operators, from uint8 pixels to logits."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from p2vit.errors import ProgramError, did_you_mean, some
from p2vit.numerics import AttentionValues, Operator
from p2vit.numerics.operator import Shape
from p2vit.numerics.rounding import IntArray, int_range, storage_dtype
from p2vit.program.maps import FeatureMap
from p2vit.program.preprocessing import Preprocessing

#: Name of the program's input tensor.
PIXELS = "pixels"


@dataclass(frozen=True, eq=False)
class TensorSpec:
    """Shape, width and scale of a tensor: ``value = (stored + offset) · 2^exponent``.

    Attributes:
        name: Unique name. The node that writes the tensor has the same name.
        shape: Shape without the batch dimension.
        bits: Width of the stored integers.
        signed: Whether the stored integers are in two's complement.
        exponent: Scale exponent, int8, broadcastable to ``shape``: one number, one per channel [C], or one per head
            [H, 1, 1].
        offset: int32, one number or one per channel [C]: constant that is subtracted from the stored integers. The
            bias of the next linear layer has absorbed it.
    """

    name: str
    shape: Shape
    bits: int
    signed: bool
    exponent: IntArray
    offset: IntArray | int = 0

    def __post_init__(self) -> None:
        """Convert the exponent to a read-only int8 array and the offset to a read-only int32 array.

        Raises:
            ValueError: An exponent is not an integer in −127..127, or its shape is not that of a number, channels or
                heads; an offset is not int32, or its shape is not that of a number or channels.
        """
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        exponent = np.asarray(self.exponent)
        if exponent.dtype.kind not in "iu" or (
            exponent.size and np.abs(exponent.astype(np.int64)).max() > 127
        ):
            raise ValueError(
                f"tensor {self.name}: exponents must be integers in −127..127, "
                f"not {exponent.dtype} {exponent}"
            )
        exponent = exponent.astype(np.int8)
        allowed = {(), (1,), self.shape[-1:]}
        if len(self.shape) == 3:
            allowed.add((self.shape[0], 1, 1))
        if exponent.shape not in allowed:
            raise ValueError(
                f"tensor {self.name}: exponents have shape {exponent.shape}; a tensor of shape "
                f"{list(self.shape)} takes one of {sorted(allowed)}: "
                "one number, one per channel, or one per head"
            )
        exponent.flags.writeable = False
        object.__setattr__(self, "exponent", exponent)
        offset = np.asarray(self.offset)
        if offset.dtype.kind not in "iu" or (
            offset.size and np.abs(offset.astype(np.int64)).max() >= 1 << 31
        ):
            raise ValueError(f"tensor {self.name}: offsets must be int32, not {offset.dtype} {offset}")
        if offset.shape not in {(), self.shape[-1:]}:
            raise ValueError(
                f"tensor {self.name}: offsets have shape {offset.shape}; a tensor of shape {list(self.shape)} "
                "takes one number or one per channel"
            )
        offset = offset.astype(np.int32)
        offset.flags.writeable = False
        object.__setattr__(self, "offset", offset)

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype of the stored integers."""
        return storage_dtype(self.bits, self.signed)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer of the width."""
        return int_range(self.bits, self.signed)

    def real(self, stored: IntArray) -> np.ndarray:
        """Convert stored integers to real numbers, float64, for reports and comparisons only."""
        return np.ldexp(stored.astype(np.float64) + self.offset, self.exponent.astype(np.int32))


@dataclass(frozen=True, eq=False)
class Node:
    """One step of a program.

    Attributes:
        name: Name of the step and of the tensor that it writes, e.g. ``blocks.3.attn.q``.
        operator: Integer operator with its parameters.
        inputs: Names of the input tensors, in the order of the operator.
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class IntegerProgram:
    """A quantized model as a graph of integer operators.

    Attributes:
        nodes: Nodes in execution order.
        tensors: Name → spec of the pixels and of every node's output.
        output: Name of the tensor with the logits, or with the feature if there is no head.
        feature: Name of the tensor that the head reads. SQNR compares it with the float model's feature.
        preprocessing: Preprocessing from a photo to the pixels.
        classes: Class name of each logit; empty if unknown.
        provenance: Source model, method, seed, calibration, versions: plain JSON values.
        maps: Dense outputs beside the output; most programs have none.
    """

    nodes: tuple[Node, ...]
    tensors: dict[str, TensorSpec]
    output: str
    feature: str
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    maps: tuple[FeatureMap, ...] = ()

    def node(self, name: str) -> Node:
        """Return the node of a name.

        Raises:
            KeyError: There is no such node.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def of_kind(self, kind: type[Operator]) -> Iterator[Node]:
        """Yield the nodes whose operator is of a class, in order."""
        return (node for node in self.nodes if isinstance(node.operator, kind))

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the tensors that every executor returns: output, feature and feature maps, each once."""
        return tuple(dict.fromkeys((self.output, self.feature, *(each.name for each in self.maps))))

    def feature_map(self, name: str) -> FeatureMap:
        """The feature map of that name.

        Raises:
            ProgramError: the program has no such map, or none at all.
        """
        found = {each.name: each for each in self.maps}
        if not found:
            raise ProgramError(
                "the program has no feature maps; quantize the model again with --output tokens or --output layers=..."
            )
        if name not in found:
            raise ProgramError(
                f"the program has no feature map {name!r}.{did_you_mean(name, found)} Its maps: {', '.join(found)}"
            )
        return found[name]

    @property
    def pixels(self) -> TensorSpec:
        """Spec of the input, uint8 [H, W, 3]."""
        return self.tensors[PIXELS]

    def among(self, names: Iterable[str], what: str) -> list[str]:
        """Sort names of tensors into the program's order, without duplicates.

        Args:
            names: Names of tensors.
            what: Name of the argument that lists them, for the message, e.g. ``keep``.

        Raises:
            ProgramError: A name is not a tensor of the program.
        """
        wanted = set(names)
        if unknown := sorted(wanted - self.tensors.keys()):
            raise ProgramError(
                f"{what} names {unknown[0]!r}, which is not a tensor of the program."
                f"{did_you_mean(unknown[0], self.tensors)} Its tensors: {some(list(self.tensors), 4)}"
            )
        return [name for name in self.tensors if name in wanted]

    def expect_pixels(self, pixels: IntArray) -> None:
        """Check that a batch of photos has the program's shape and dtype.

        Raises:
            ValueError: It has another shape or dtype.
        """
        expected = self.pixels.shape
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != expected:
            raise ValueError(
                f"pixels are {pixels.dtype} {list(pixels.shape)}; "
                f"expected uint8 [batch, {', '.join(map(str, expected))}]"
            )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all matrix products, per image."""
        return sum(node_macs(node, self.tensors) for node in self.nodes)


def width_name(bits: int, signed: bool) -> str:
    """Return the name of an integer type, such as ``int8`` or ``uint4``."""
    return f"{'' if signed else 'u'}int{bits}"


def node_macs(node: Node, tensors: dict[str, TensorSpec]) -> int:
    """Return the multiply-accumulates of one node, per image."""
    outputs = int(np.prod(tensors[node.name].shape))
    if isinstance(node.operator, AttentionValues):
        return outputs * tensors[node.inputs[0]].shape[-1]
    return outputs * node.operator.macs_per_output


class ProgramBuilder:
    """Builds a graph node by node. Shapes, widths and dtypes follow from the operators.

    >>> builder = ProgramBuilder((8, 8, 3))
    >>> builder.add("patches", Patchify(2), [PIXELS], exponent=0)
    """

    def __init__(self, pixel_shape: Shape) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, TensorSpec] = {
            PIXELS: TensorSpec(PIXELS, pixel_shape, 8, False, np.zeros((), np.int8))
        }

    def add(
        self,
        name: str,
        operator: Operator,
        inputs: list[str],
        exponent: IntArray | int,
        offset: IntArray | int = 0,
    ) -> TensorSpec:
        """Append a node and return the spec of its output.

        Args:
            name: Unique name.
            operator: Operator with its parameters.
            inputs: Names of tensors of earlier nodes.
            exponent: Scale exponent of the output.
            offset: Offset of the output, see `TensorSpec`.

        Raises:
            ValueError: An input is unknown, the name is taken, or the shapes do not fit. The message names the node.
        """
        if name in self.tensors:
            raise ValueError(f"node {name}: the name is taken")
        for source in inputs:
            if source not in self.tensors:
                raise ValueError(f"node {name}: reads {source!r}, which no earlier node writes")
        node = Node(name, operator, tuple(inputs))
        spec = output_spec(node, self.tensors, exponent, offset)
        self.nodes.append(node)
        self.tensors[name] = spec
        return spec


def output_spec(
    node: Node, tensors: dict[str, TensorSpec], exponent: IntArray | int, offset: IntArray | int
) -> TensorSpec:
    """Derive the spec of a node's output from the specs of its inputs.

    Raises:
        ValueError: The number of inputs is wrong, or widths or shapes do not fit. The message names the node.
    """
    sources = [tensors[name] for name in node.inputs]
    if len(sources) != node.operator.arity:
        kind = type(node.operator).__name__
        raise ValueError(f"node {node.name}: {kind} reads {node.operator.arity} tensors, not {len(sources)}")
    for source, (bits, signed) in zip(sources, node.operator.accepts, strict=True):
        if source.bits > bits or source.signed != signed:
            raise ValueError(
                f"node {node.name}: reads {source.name}, {width_name(source.bits, source.signed)}; "
                f"{type(node.operator).__name__} takes up to {width_name(bits, signed)} there"
            )
    try:
        shape = node.operator.output_shape(*(source.shape for source in sources))
    except (ValueError, IndexError) as error:
        raise ValueError(f"node {node.name}: {error}") from None
    bits, signed = node.operator.output_format()
    if bits == 0:
        bits, signed = sources[0].bits, sources[0].signed
    return TensorSpec(node.name, shape, bits, signed, np.asarray(exponent), offset)
