"""Bit widths of an architecture's workload: what quantization would choose."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.workload.operations import Workload


@dataclass(frozen=True)
class Precision:
    """Weight widths and softmax form of a workload.

    Attributes:
        weight_bits: Weight width, 8 or 4, of every linear layer that ``layers`` does not name.
        log2_attention: True for 4-bit log2 softmax codes (attention × V on shifters), False for unsigned 8-bit codes
            (on MACs).
        layers: Weight width of single linear layers by operation name, e.g. ``{"blocks.0.mlp.fc1": 4}``.
    """

    weight_bits: int = 8
    log2_attention: bool = True
    layers: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the widths.

        Raises:
            AccelError: A width is neither 4 nor 8; the message lists all of them.
        """
        wrong = {
            name: bits
            for name, bits in (("weight_bits", self.weight_bits), *self.layers.items())
            if bits not in (4, 8)
        }
        if wrong:
            raise AccelError(
                "precision", [f"{name} is {bits}; allowed: 4, 8" for name, bits in wrong.items()]
            )

    def of(self, name: str) -> int:
        """Return the weight width of the linear layer called ``name``."""
        return self.layers.get(name, self.weight_bits)

    def check_names(self, workload: Workload) -> None:
        """Check that every layer in ``layers`` exists.

        Raises:
            AccelError: A name is unknown; the message lists all of them, with the nearest known names.
        """
        linears = {op.name for op in workload.operations if op.kind == "linear"}
        unknown = [name for name in self.layers if name not in linears]
        if unknown:
            raise AccelError(
                f"precision for {workload.name}",
                [f"no linear is called {name!r}; {suggestion(name, linears)}" for name in unknown],
            )
