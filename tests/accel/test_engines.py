import pytest

from p2vit.accel.engines import evaluator
from p2vit.accel.machines import load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.resolve import workload_of

PAPER, WORKLOADS = load_machine("paper"), {8: workload_of("digits")}
POINTS = [{"clock_mhz": mhz, "weight_bits": 8} for mhz in (100, 200, 300, 400, 500)]


def figures(**options):
    with evaluator(PAPER, WORKLOADS, **options) as evaluate:
        return evaluate(POINTS)


def test_workers_keep_the_order():
    assert figures(workers=1) == figures(workers=2)


@pytest.mark.slow
def test_dask_gives_the_same():
    pytest.importorskip("distributed")
    assert figures(engine="dask", workers=2) == figures(workers=1)


@pytest.mark.slow
def test_ray_gives_the_same():
    pytest.importorskip("ray")
    assert figures(engine="ray", workers=2) == figures(workers=1)


def test_unknown_engine():
    with pytest.raises(AccelError, match="unknown engine 'spark'; allowed: local, ray, dask"):
        figures(engine="spark")


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("dask", "distributed")])
def test_missing_engine_says_what_to_install(engine, package, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AccelError, match=f"{engine} is not installed .*pip install {package}"):
        figures(engine=engine, workers=2)
