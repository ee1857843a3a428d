"""The assignments of widths that a budget allows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from p2vit.quant.search.cost import Budget
from p2vit.quant.search.journal import Genome
from p2vit.quant.search.layers import Layer


@dataclass(frozen=True)
class Space:
    """Assignments within a budget.

    Attributes:
        layers: All that are searched.
        widths: Ascending.
        budget: With a price for each.
    """

    layers: tuple[Layer, ...]
    widths: tuple[int, ...]
    budget: Budget

    @cached_property
    def prices(self) -> list[list[float]]:
        """Of each layer at each width."""
        return [[self.budget.price.cost(layer.name, width) for width in self.widths] for layer in self.layers]

    def bits(self, genome: Genome) -> dict[str, int]:
        """The genome as names and widths."""
        return {layer.name: width for layer, width in zip(self.layers, genome, strict=True)}

    def genome(self, bits: dict[str, int]) -> Genome:
        """Widths in the order of the layers."""
        return tuple(bits[layer.name] for layer in self.layers)

    def cost(self, genome: Genome) -> float:
        """Of a whole genome."""
        return self.budget.total(self.bits(genome))

    def holds(self, genome: Genome) -> bool:
        """Whether it is within the budget."""
        return self.budget.holds(self.bits(genome))

    def repaired(self, genome: Genome, random: np.random.Generator) -> Genome:
        """Brought within the budget, and up to it: widths are lowered, then raised, at random layers.

        Lowering goes by what a layer costs, so it always ends within a feasible budget. Where prices add up only
        nearly, layers are lowered further until the whole is within it.
        """
        genes, count = list(genome), len(self.layers)
        prices = self.prices
        levels = [self.widths.index(width) for width in genes]
        total = sum(row[level] for row, level in zip(prices, levels, strict=True))
        limit = self.budget.limit * (1 + 1e-12)

        def lower() -> float:
            """One layer, at random; returns what that saves."""
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
        """A random assignment that fills the budget."""
        return self.repaired(
            tuple(int(width) for width in random.choice(self.widths, len(self.layers))), random
        )


def mutated(genome: Genome, space: Space, rate: float, random: np.random.Generator) -> Genome:
    """A copy in which about ``rate`` genes have another width."""
    change = random.random(len(genome)) < rate / len(genome)
    drawn = random.choice(space.widths, len(genome))
    return tuple(int(new) if flip else old for old, new, flip in zip(genome, drawn, change, strict=True))
