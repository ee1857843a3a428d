"""Fine step of the search: an evolution with crossover and mutation, which starts from the coarse solution."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.coarse import check
from p2vit.quant.search.fitted import proposals
from p2vit.quant.search.journal import Genome, Journal
from p2vit.quant.search.space import Space, mutated

#: Random draws per missing candidate before a generation is left incomplete.
PATIENCE = 50


@dataclass(frozen=True)
class Evolution:
    """Settings of the evolution. The defaults are the paper's if it gives them.

    Attributes:
        population: Number of candidates that survive a generation.
        generations: Number of generations after the first.
        crossovers: Children of two parents per generation.
        mutations: Children of one parent per generation.
        fitted: Candidates per generation that linear models of the scores propose (not in the paper).
        rate: Average number of layers that a mutation draws again.
        seed: Random seed. The same seed gives the same search.
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
    """Run the evolution. Every candidate is written to the journal; candidates in it are not evaluated again.

    The random numbers of a generation depend only on the seed and the generation's number. A search that was killed
    therefore draws the same candidates when it runs again.

    Args:
        space: Allowed widths and the budget.
        starts: Candidates to start from; those outside the budget are repaired. May be empty.
        evaluate: Genomes → scores in the same order; higher is better.
        journal: Scores that are known already.
        settings: Settings of the evolution.
        progress: Called with (stage, done, total) after each candidate.

    Returns:
        The best genome, or the first found of equal ones.

    Raises:
        BudgetError: Even the cheapest widths exceed the budget.
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
    # Half of the rest of the first generation are mutations of the starts; the other half is random.
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
            # Tournament of two: better candidates become parents somewhat more often.
            return parents[int(random.integers(len(parents), size=2).min())]

        def child(random: np.random.Generator = random) -> Genome:
            mother, father = parent(), parent()
            take = random.random(len(mother)) < 0.5
            return space.repaired(tuple(np.where(take, mother, father).tolist()), random)

        def mutant(random: np.random.Generator = random) -> Genome:
            return space.repaired(mutated(parent(), space, settings.rate, random), random)

        # Only scores of earlier generations, because the journal of a resumed search also has later ones.
        children = _distinct(proposals(space, known, settings.fitted, random), seen)
        children += _draw(settings.crossovers, child, seen) + _draw(settings.mutations, mutant, seen)
        run(children, generation)
    return ranked[0]


def _distinct(genomes: list[Genome], seen: set[Genome]) -> list[Genome]:
    """Return the genomes that were not seen before, in order, and mark them as seen."""
    fresh = [
        genome for index, genome in enumerate(genomes) if genome not in seen and genome not in genomes[:index]
    ]
    seen.update(fresh)
    return fresh


def _draw(count: int, source: Callable[[], Genome], seen: set[Genome]) -> list[Genome]:
    """Draw up to ``count`` new genomes; fewer if almost all have been seen."""
    fresh: list[Genome] = []
    for _ in range(PATIENCE * max(count, 0)):
        if len(fresh) == count:
            break
        fresh += _distinct([source()], seen)
    return fresh
