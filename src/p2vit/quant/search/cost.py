"""Budgets: the cost of a layer at a width, and the limit on the total."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from p2vit.errors import P2vitError, did_you_mean, some
from p2vit.program.packing import PACKED_BITS
from p2vit.quant.search.layers import ACTIVATION_BITS, Layer

#: Largest relative error of a sum of costs.
ROUNDING = 1e-12
#: Layer name → width.
Bits = Mapping[str, int]


@runtime_checkable
class LayerCost(Protocol):
    """Cost of one layer. Latency and energy models of an accelerator implement this protocol.

    The total cost is the sum over the layers. A cost is finite and not negative.
    """

    def cost(self, layer_name: str, bits: int) -> float:
        """Return the cost of a layer at a width, in the budget's unit."""
        ...


@dataclass(frozen=True)
class WeightBytes:
    """Bytes of the weights in the program's file. Weights of at most 4 bits are packed two to a byte.

    Biases and exponents do not depend on the widths and are not counted.

    Attributes:
        layers: Layers of the search.
    """

    layers: tuple[Layer, ...]

    def cost(self, layer_name: str, bits: int) -> float:
        """Return the bytes of a layer: half a byte or one byte per weight, with rows padded to whole bytes."""
        layer = _find(self.layers, layer_name)
        return float(layer.outputs * (-(-layer.inputs // 2) if bits <= PACKED_BITS else layer.inputs))


@dataclass(frozen=True)
class BitOps:
    """Bit operations per image: multiply-accumulates × weight bits × activation bits (the paper's measure).

    Attributes:
        layers: Layers of the search.
    """

    layers: tuple[Layer, ...]

    def cost(self, layer_name: str, bits: int) -> float:
        """Return the bit operations of a layer: MACs · bits · 8."""
        return float(_find(self.layers, layer_name).macs * bits * ACTIVATION_BITS)


@dataclass(frozen=True)
class AverageBits:
    """Contribution of a layer to the average width of a weight. The sum over all layers is the average, in bits.

    Attributes:
        layers: Layers of the search.
    """

    layers: tuple[Layer, ...]

    def cost(self, layer_name: str, bits: int) -> float:
        """Return the contribution of a layer: its weights · bits / weights of all layers."""
        return _find(self.layers, layer_name).weights * bits / sum(layer.weights for layer in self.layers)


@dataclass(frozen=True)
class TableCost:
    """Costs from a table, such as the results of a simulator.

    Attributes:
        prices: Layer name → width → cost.
    """

    prices: Mapping[str, Mapping[int, float]]

    def cost(self, layer_name: str, bits: int) -> float:
        """Return the table's entry.

        Raises:
            P2vitError: The table has no entry for this layer and width.
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
    """A limit on the total cost of the widths.

    Attributes:
        name: Name of the cost, such as ``average-bits``.
        price: Cost of one layer.
        limit: Largest total cost, in the cost's unit.
        whole: Exact cost of all widths together. None: the sum of the layers' costs. It is needed for an accelerator,
            where loading and computing of neighbouring layers overlap.
    """

    name: str
    price: LayerCost
    limit: float
    whole: Callable[[Bits], float] | None = None

    def total(self, bits: Bits) -> float:
        """Return the total cost of widths per layer."""
        if self.whole is not None:
            return self.whole(bits)
        total = math.fsum(self.price.cost(name, width) for name, width in bits.items())
        # Shares of a whole are rounded: a cost that is the limit but for that is stated as the limit.
        return self.limit if math.isclose(total, self.limit, rel_tol=ROUNDING) else total

    def holds(self, bits: Bits) -> bool:
        """Return whether widths are within the limit, up to the rounding error of the sum."""
        return self.total(bits) <= self.limit * (1 + ROUNDING)


class BudgetError(P2vitError):
    """Even the cheapest widths exceed the budget.

    Attributes:
        limit: Limit of the budget.
        smallest: Cost of the cheapest widths.
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
        text: Text of the option ``--budget``.
        layers: Layers of the search.

    Raises:
        P2vitError: The text is not a budget. The message says what is allowed.
    """
    name, limit = parse_limit(text, tuple(COSTS))
    return Budget(name, COSTS[name](layers), limit)


def parse_limit(text: str, names: Sequence[str]) -> tuple[str, float]:
    """Read ``NAME=NUMBER``.

    Args:
        text: Text of the option ``--budget``. The suffixes k, M, G and T are powers of 1000.
        names: Allowed names.

    Returns:
        The name and the limit.

    Raises:
        P2vitError: The text is not a budget. The message says what is allowed.
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
