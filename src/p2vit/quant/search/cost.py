"""Budgets people have: what a layer costs at a width, and how much of it there may be in all."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from p2vit.errors import P2vitError, did_you_mean, some
from p2vit.program.packing import PACKED_BITS
from p2vit.quant.search.layers import ACTIVATION_BITS, Layer

#: Layer name → width.
Bits = Mapping[str, int]


@runtime_checkable
class LayerCost(Protocol):
    """The price of one layer; an accelerator's latency or energy model only has to offer this.

    Costs add up over layers. A cost may be any finite number that is not negative.
    """

    def cost(self, layer_name: str, bits: int) -> float:
        """Price of a layer at a width, in the budget's unit."""
        ...


@dataclass(frozen=True)
class WeightBytes:
    """Bytes of the layers' weights in the program's file, where those of up to 4 bits lie two to a byte.

    Biases and exponents do not depend on the widths and are left out.

    Attributes:
        layers: All that are searched.
    """

    layers: tuple[Layer, ...]

    def cost(self, layer_name: str, bits: int) -> float:
        """Half a byte or a byte per weight; rows are padded to whole bytes."""
        layer = _find(self.layers, layer_name)
        return float(layer.outputs * (-(-layer.inputs // 2) if bits <= PACKED_BITS else layer.inputs))


@dataclass(frozen=True)
class BitOps:
    """Bit operations per image: multiply-accumulates × weight bits × activation bits (the paper's measure).

    Attributes:
        layers: All that are searched.
    """

    layers: tuple[Layer, ...]

    def cost(self, layer_name: str, bits: int) -> float:
        """MACs · bits · 8."""
        return float(_find(self.layers, layer_name).macs * bits * ACTIVATION_BITS)


@dataclass(frozen=True)
class AverageBits:
    """Share that a layer has in the mean width of a weight; the sum over all layers is that mean.

    Attributes:
        layers: All that are searched.
    """

    layers: tuple[Layer, ...]

    def cost(self, layer_name: str, bits: int) -> float:
        """Weights · bits / all weights."""
        return _find(self.layers, layer_name).weights * bits / sum(layer.weights for layer in self.layers)


@dataclass(frozen=True)
class TableCost:
    """Prices from a table, e.g. what a simulator said.

    Attributes:
        prices: Layer name → width → price.
    """

    prices: Mapping[str, Mapping[int, float]]

    def cost(self, layer_name: str, bits: int) -> float:
        """The table's entry.

        Raises:
            P2vitError: it has none.
        """
        try:
            return self.prices[layer_name][bits]
        except KeyError:
            known = self.prices.get(layer_name)
            reason = (
                f"no price at {bits} bits, only at {sorted(known)}" if known else "not in the table of prices"
            )
            raise P2vitError(f"layer {layer_name!r}: {reason}") from None


def _find(layers: Sequence[Layer], name: str) -> Layer:
    for layer in layers:
        if layer.name == name:
            return layer
    near = did_you_mean(name, [layer.name for layer in layers])
    raise P2vitError(f"no layer {name!r} among {some([layer.name for layer in layers], 3)}.{near}")


@dataclass(frozen=True)
class Budget:
    """A limit on a cost summed over layers.

    Attributes:
        name: What is counted, as people read it: ``average-bits``.
        price: Of one layer.
        limit: What the sum must not exceed.
        whole: Exact cost of a whole assignment, where the layers' prices add up only nearly: what is fetched and
            what is computed overlap in an accelerator.
    """

    name: str
    price: LayerCost
    limit: float
    whole: Callable[[Bits], float] | None = None

    def total(self, bits: Bits) -> float:
        """Cost of a whole assignment."""
        if self.whole is not None:
            return self.whole(bits)
        return sum(self.price.cost(name, width) for name, width in bits.items())

    def holds(self, bits: Bits) -> bool:
        """Whether an assignment is within the limit; a rounding error of the sum is forgiven."""
        return self.total(bits) <= self.limit * (1 + 1e-12)


class BudgetError(P2vitError):
    """No assignment fits the budget.

    Attributes:
        limit: What was asked for.
        smallest: Cost of the cheapest assignment.
        gap: ``smallest − limit``.
    """

    def __init__(self, budget: Budget, smallest: float, widths: Sequence[int]) -> None:
        self.limit, self.smallest, self.gap = budget.limit, smallest, smallest - budget.limit
        super().__init__(
            f"budget {budget.name}={budget.limit:.6g} is infeasible: it misses by {self.gap:.6g}. With widths "
            f"{', '.join(map(str, widths))} the smallest feasible budget is {budget.name}={smallest:.6g}: every "
            "layer at its cheapest width. Raise the budget or allow narrower widths"
        )


COSTS: dict[str, Callable[[tuple[Layer, ...]], LayerCost]] = {
    "average-bits": AverageBits,
    "bytes": WeightBytes,
    "bitops": BitOps,
}
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_BUDGET = re.compile(r"([a-z-]+)=([0-9.]+(?:e[0-9]+)?)([kmgt]?)b?", re.IGNORECASE)


def parse_budget(text: str, layers: tuple[Layer, ...]) -> Budget:
    """Read ``average-bits=6``, ``bytes=16M`` or ``bitops=300G``.

    Args:
        text: What the user typed.
        layers: All that are searched.

    Raises:
        P2vitError: it is not understood; says what is allowed.
    """
    name, limit = parse_limit(text, tuple(COSTS))
    return Budget(name, COSTS[name](layers), limit)


def parse_limit(text: str, names: Sequence[str]) -> tuple[str, float]:
    """Read ``NAME=NUMBER``.

    Args:
        text: What the user typed; k, M, G and T are powers of a thousand.
        names: That are allowed.

    Raises:
        P2vitError: it is not understood; says what is allowed.
    """
    match = _BUDGET.fullmatch(text.strip())
    if match and match[1].lower() in names and match[2].count(".") < 2:
        limit = float(match[2]) * _UNITS[match[3].lower()]
        if limit > 0:
            return match[1].lower(), limit
    near = did_you_mean(text.split("=")[0].strip().lower(), names)
    raise P2vitError(
        f"--budget {text!r} is not understood.{near} Allowed: {', '.join(f'{name}=NUMBER' for name in names)}, with "
        "a positive number that may end in k, M, G or T; e.g. average-bits=6, bytes=16M, bitops=300G"
    )
