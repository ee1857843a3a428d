import json
import time

import pytest

from p2vit.accel.explore.evaluate import Figures
from p2vit.accel.explore.point_evaluator import evaluator
from p2vit.accel.explore.search import explore, pareto_front
from p2vit.accel.explore.space import Budget, load_space
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from p2vit.cluster import ClusterOptions, open_pool

pytest.importorskip("optuna")
PAPER, SPACE = load_machine("paper"), load_space("chunks")
WORKLOADS = {bits: workload_of("digits", Precision(bits)) for bits in (4, 8)}


def search(points=150, workers=1, space=SPACE, **options):
    with open_pool(ClusterOptions(workers=workers)) as pool:
        evaluate = evaluator(PAPER, WORKLOADS, pool)
        return explore(space, PAPER, WORKLOADS, evaluate, points=points, **options)


@pytest.fixture(scope="module")
def whole():
    """A whole search; the same command gives the same points every time."""
    return search()


def test_the_same_at_any_number_of_workers(whole):
    two = search(workers=2)
    assert whole.pareto == two.pareto
    assert whole.distinct == two.distinct


def test_another_seed_is_another_search(whole):
    assert search(seed=1).pareto != whole.pareto


def test_resumes_where_it_was_cut_off(whole, tmp_path):
    log = tmp_path / "log.jsonl"
    search(points=80, log=log)
    text = log.read_text()
    log.write_text(text[: len(text) - 40])  # killed in the middle of a line
    rest = search(log=log)
    assert rest.pareto == whole.pareto
    assert rest.resumed > 60
    again = search(log=log)
    assert again.pareto == whole.pareto
    assert again.resumed == again.distinct


def test_a_log_of_another_search_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    search(points=20, log=log)
    with pytest.raises(AccelError, match="belongs to another search"):
        search(points=20, log=log, seed=5)
    log.write_text("not a log")
    with pytest.raises(AccelError, match="belongs to another search"):
        search(points=20, log=log)


def test_budgets_hold_on_the_front():
    space = SPACE.model_copy(update={"budget": Budget(area_mm2=1.5)})
    found = search(space=space)
    assert found.pareto
    assert found.feasible < found.points
    assert all(point.figures["area_mm2"] <= 1.5 for point in found.pareto)


def test_a_budget_that_nothing_keeps():
    found = search(points=50, space=SPACE.model_copy(update={"budget": Budget(area_mm2=1e-6)}))
    assert (found.pareto, found.feasible) == ((), 0)


def test_front_is_not_dominated(whole):
    front = whole.pareto
    names = SPACE.objectives
    for a in front:
        for b in front:
            better = all(a.figures[n] <= b.figures[n] for n in names)
            assert not (better and any(a.figures[n] < b.figures[n] for n in names))


def test_pareto_front_of_known_points():
    points = [
        ({"i": i}, Figures(True, 0.0, {"x": x, "y": y}))
        for i, (x, y) in enumerate([(1, 3), (2, 2), (2, 3), (3, 1), (1, 3)])
    ]
    assert [point.parameters["i"] for point in pareto_front(points, ("x", "y"))] == [0, 1, 3]


@pytest.mark.slow
def test_5000_points_a_minute():
    workloads = {bits: workload_of("deit_small_patch16_224", Precision(bits)) for bits in (4, 8)}
    started = time.perf_counter()
    with open_pool(ClusterOptions(workers=2)) as pool:
        evaluate = evaluator(PAPER, workloads, pool)
        explore(SPACE, PAPER, workloads, evaluate, points=1500)
    assert 1500 / (time.perf_counter() - started) * 60 >= 5000


def test_log_lines_are_json(tmp_path):
    log = tmp_path / "sub" / "log.jsonl"
    search(points=20, log=log)
    header, *lines = map(json.loads, log.read_text().splitlines())
    assert header["machine"]["name"] == "paper"
    assert all(set(line) == {"point", "figures"} for line in lines)
