"""Search space: widths per layer within a budget."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from p2vit.quant.search.cost import Budget
from p2vit.quant.search.journal import Genome
from p2vit.quant.search.layers import Layer


@dataclass(frozen=True)
class Space:
    """All widths per layer that are within a budget.

    Attributes:
        layers: Layers of the search.
        widths: Allowed weight widths in bits, ascending.
        budget: The limit, and the cost of each layer.
    """

    layers: tuple[Layer, ...]
    widths: tuple[int, ...]
    budget: Budget

    @cached_property
    def prices(self) -> list[list[float]]:
        """Cost of each layer at each width: [layers][widths]."""
        return [[self.budget.price.cost(layer.name, width) for width in self.widths] for layer in self.layers]

    def bits(self, genome: Genome) -> dict[str, int]:
        """Convert a genome to layer name → width."""
        return {layer.name: width for layer, width in zip(self.layers, genome, strict=True)}

    def genome(self, bits: dict[str, int]) -> Genome:
        """Convert layer name → width to a genome."""
        return tuple(bits[layer.name] for layer in self.layers)

    def cost(self, genome: Genome) -> float:
        """Return the total cost of a genome."""
        return self.budget.total(self.bits(genome))

    def holds(self, genome: Genome) -> bool:
        """Return whether a genome is within the budget."""
        return self.budget.holds(self.bits(genome))

    def repaired(self, genome: Genome, random: np.random.Generator) -> Genome:
        """Change a genome so that it is within the budget and uses as much of it as possible.

        Random layers first get cheaper widths until the genome is within the budget, and then wider ones while it
        stays so. Each of the first steps lowers the cost, so they end if the budget is feasible. With
        ``Budget.whole``, further layers get cheaper widths until the exact cost is within the budget.
        """
        genes, count = list(genome), len(self.layers)
        prices = self.prices
        levels = [self.widths.index(width) for width in genes]
        total = sum(row[level] for row, level in zip(prices, levels, strict=True))
        limit = self.budget.limit * (1 + 1e-12)

        def lower() -> float:
            """Give a random layer a cheaper width, and return the cost that this saves."""
            cheaper = [
                (index, level)
                for index, row in enumerate(prices)
                for level in range(len(row))
                if row[level] < row[levels[index]]
            ]
            index, level = cheaper[int(random.integers(len(cheaper)))]
            saved = prices[index][levels[index]] - prices[index][level]
            levels[index] = level
            return saved

        while total > limit:
            total -= lower()
        for index in random.permutation(count):
            for level in range(len(self.widths) - 1, levels[index], -1):
                more = prices[index][level] - prices[index][levels[index]]
                if total + more <= limit:
                    total, levels[index] = total + more, level
                    break
        genome = tuple(self.widths[level] for level in levels)
        while self.budget.whole is not None and not self.holds(genome):
            lower()
            genome = tuple(self.widths[level] for level in levels)
        return genome

    def random(self, random: np.random.Generator) -> Genome:
        """Draw a random genome that uses as much of the budget as possible."""
        return self.repaired(
            tuple(int(width) for width in random.choice(self.widths, len(self.layers))), random
        )


def mutated(genome: Genome, space: Space, rate: float, random: np.random.Generator) -> Genome:
    """Return a copy in which about ``rate`` layers have a newly drawn width."""
    change = random.random(len(genome)) < rate / len(genome)
    drawn = random.choice(space.widths, len(genome))
    return tuple(int(new) if flip else old for old, new, flip in zip(genome, drawn, change, strict=True))
