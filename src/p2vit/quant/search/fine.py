"""Fine step: evolution (population, crossover, mutation) that starts from the coarse solution."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.coarse import check
from p2vit.quant.search.cost import Budget
from p2vit.quant.search.journal import Genome, Journal
from p2vit.quant.search.layers import Layer

#: Draws before a generation is taken to be exhausted.
PATIENCE = 50


@dataclass(frozen=True)
class Evolution:
    """Settings of the search; the defaults are the paper's where it names them.

    Attributes:
        population: Candidates that survive a generation.
        generations: Rounds.
        crossovers: Children of two parents, per generation.
        mutations: Children of one parent, per generation.
        rate: Probability that a gene mutates, relative to the number of layers: so many change on average.
        seed: The same seed gives the same search.
    """

    population: int = 25
    generations: int = 8
    crossovers: int = 10
    mutations: int = 10
    rate: float = 4.0
    seed: int = 0


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
    def _prices(self) -> list[list[float]]:
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

        Lowering goes by what a layer costs, so it always ends within a feasible budget.
        """
        genes, count = list(genome), len(self.layers)
        prices = self._prices
        levels = [self.widths.index(width) for width in genes]
        total = sum(row[level] for row, level in zip(prices, levels, strict=True))
        limit = self.budget.limit * (1 + 1e-12)
        while total > limit:
            cheaper = [
                (index, level)
                for index, row in enumerate(prices)
                for level in range(len(row))
                if row[level] < row[levels[index]]
            ]
            index, level = cheaper[int(random.integers(len(cheaper)))]
            total += prices[index][level] - prices[index][levels[index]]
            levels[index] = level
        for index in random.permutation(count):
            for level in range(len(self.widths) - 1, levels[index], -1):
                more = prices[index][level] - prices[index][levels[index]]
                if total + more <= limit:
                    total, levels[index] = total + more, level
                    break
        return tuple(self.widths[level] for level in levels)

    def random(self, random: np.random.Generator) -> Genome:
        """A random assignment that fills the budget."""
        return self.repaired(
            tuple(int(width) for width in random.choice(self.widths, len(self.layers))), random
        )


def evolve(
    space: Space,
    starts: Sequence[Genome],
    evaluate: Callable[[Sequence[Genome]], Iterable[float]],
    journal: Journal,
    settings: Evolution,
    progress: Progress = silent,
) -> Genome:
    """Search; every candidate goes into the journal, and those already there are not evaluated again.

    A generation's random numbers depend on the seed and its number alone, so a search that was killed draws
    the same candidates when it runs again.

    Args:
        space: What is allowed.
        starts: Solutions to start from; those outside the budget are repaired. May be empty: fine only.
        evaluate: Genomes → iterable of scores in their order; higher is better.
        journal: Scores known so far.
        settings: Of the evolution.
        progress: Called with (stage, done, total) after each candidate.

    Returns:
        The best genome; of equals the one found first.

    Raises:
        BudgetError: nothing fits the budget.
    """
    check({layer.name: dict.fromkeys(space.widths, 0.0) for layer in space.layers}, space.budget)
    expected = settings.population + settings.generations * (settings.crossovers + settings.mutations)
    ranked: list[Genome] = []
    seen: set[Genome] = set()
    done = 0

    def run(candidates: list[Genome], generation: int) -> None:
        nonlocal done
        unknown = [genome for genome in candidates if genome not in journal.scores]
        scores = iter(evaluate(unknown))
        for genome in candidates:
            if genome not in journal.scores:
                journal.add(genome, next(scores), generation, space.cost(genome))
            done += 1
            progress("search", done, expected)
        ranked.extend(candidates)
        ranked.sort(key=lambda genome: -journal.scores[genome])
        del ranked[settings.population :]

    random = np.random.default_rng([settings.seed, 0])
    first = _distinct(
        [start if space.holds(start) else space.repaired(start, random) for start in starts],
        seen,
    )
    # Half of what is left of the first generation are mutants of the starts, the rest random.
    near = (settings.population - len(first)) // 2 if first else 0
    first += _draw(
        near,
        lambda: space.repaired(
            mutated(
                first[int(random.integers(len(starts)))] if starts else space.random(random),
                space,
                settings.rate,
                random,
            ),
            random,
        ),
        seen,
    )
    first += _draw(settings.population - len(first), lambda: space.random(random), seen)
    run(first, 0)
    for generation in range(1, settings.generations + 1):
        random = np.random.default_rng([settings.seed, generation])
        parents = list(ranked)

        def parent(random: np.random.Generator = random, parents: list[Genome] = parents) -> Genome:
            # The better of two: mild pressure towards the front of the ranking.
            return parents[int(random.integers(len(parents), size=2).min())]

        def child(random: np.random.Generator = random) -> Genome:
            mother, father = parent(), parent()
            take = random.random(len(mother)) < 0.5
            return space.repaired(tuple(np.where(take, mother, father).tolist()), random)

        def mutant(random: np.random.Generator = random) -> Genome:
            return space.repaired(mutated(parent(), space, settings.rate, random), random)

        children = _draw(settings.crossovers, child, seen) + _draw(settings.mutations, mutant, seen)
        run(children, generation)
    return ranked[0]


def mutated(genome: Genome, space: Space, rate: float, random: np.random.Generator) -> Genome:
    """A copy in which about ``rate`` genes have another width."""
    change = random.random(len(genome)) < rate / len(genome)
    drawn = random.choice(space.widths, len(genome))
    return tuple(int(new) if flip else old for old, new, flip in zip(genome, drawn, change, strict=True))


def _distinct(genomes: list[Genome], seen: set[Genome]) -> list[Genome]:
    """Those not seen before, in order; they count as seen from now on."""
    fresh = [
        genome for index, genome in enumerate(genomes) if genome not in seen and genome not in genomes[:index]
    ]
    seen.update(fresh)
    return fresh


def _draw(count: int, source: Callable[[], Genome], seen: set[Genome]) -> list[Genome]:
    """Up to ``count`` new genomes; fewer where the space is nearly exhausted."""
    fresh: list[Genome] = []
    for _ in range(PATIENCE * max(count, 0)):
        if len(fresh) == count:
            break
        fresh += _distinct([source()], seen)
    return fresh
