"""Fine step: evolution (population, crossover, mutation) that starts from the coarse solution."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.coarse import check
from p2vit.quant.search.fitted import proposals
from p2vit.quant.search.journal import Genome, Journal
from p2vit.quant.search.space import Space, mutated

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
        fitted: Children that linear models of all scores so far propose, per generation (not the paper's).
        rate: Probability that a gene mutates, relative to the number of layers: so many change on average.
        seed: The same seed gives the same search.
    """

    population: int = 25
    generations: int = 8
    crossovers: int = 10
    mutations: int = 10
    fitted: int = 10
    rate: float = 4.0
    seed: int = 0


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
    expected = settings.population + settings.generations * (
        settings.crossovers + settings.mutations + settings.fitted
    )
    ranked: list[Genome] = []
    known: dict[Genome, float] = {}
    seen: set[Genome] = set()
    done = 0

    def run(candidates: list[Genome], generation: int) -> None:
        nonlocal done
        unknown = [genome for genome in candidates if genome not in journal.scores]
        scores = iter(evaluate(unknown))
        for genome in candidates:
            if genome not in journal.scores:
                journal.add(genome, next(scores), generation, space.cost(genome))
            known[genome] = journal.scores[genome]
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

        # Of what was scored before this generation: the journal of a search that was killed knows more.
        children = _distinct(proposals(space, known, settings.fitted, random), seen)
        children += _draw(settings.crossovers, child, seen) + _draw(settings.mutations, mutant, seen)
        run(children, generation)
    return ranked[0]


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
