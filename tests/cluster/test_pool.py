"""The same results from this process, from processes, from a real Ray cluster and from a real Dask cluster."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from p2vit.cluster import ClusterOptions, open_pool
from p2vit.errors import DataError, MissingPackageError, P2vitError

NEEDS = {"local": "joblib", "ray": "ray", "dask": "distributed"}
ENGINES = [
    pytest.param("local", id="local"),
    pytest.param("ray", marks=pytest.mark.slow, id="ray"),
    pytest.param("dask", marks=pytest.mark.extended, id="dask"),
]


def square(item):
    return float(item * item)


def refuse(item):
    raise DataError(f"item {item} is not what it should be")


class Fragile:
    """Kills the worker that takes item 3 the first time."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, item):
        if item == 3 and not self.mark.exists():
            self.mark.write_text("killed")
            os.kill(os.getpid(), signal.SIGKILL)
        return item + 1


@pytest.mark.parametrize("engine", ENGINES)
def test_results_come_in_order_and_a_worker_may_die(engine, tmp_path, capfd):
    pytest.importorskip(NEEDS[engine])
    with open_pool(ClusterOptions(engine, workers=2)) as pool:
        assert pool.workers == 2
        assert list(pool.map(square, range(9))) == [float(i * i) for i in range(9)]
        with pytest.raises(DataError, match="item 0 is not what it should be"):
            list(pool.map(refuse, range(3)))
        if engine != "local":
            assert list(pool.map(Fragile(tmp_path / "mark"), range(8))) == list(range(1, 9))
            assert (tmp_path / "mark").exists()
    assert capfd.readouterr().out == ""


def test_one_local_worker_is_this_process_and_lazy():
    seen = []
    with open_pool(ClusterOptions()) as pool:
        results = pool.map(lambda item: seen.append(item) or item, [3, 1, 2])
        assert seen == []
        assert next(results) == 3
        assert seen == [3]
        assert list(results) == [1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark"}, r"--engine 'spark': no such engine\. Allowed: local, ray, dask"),
        ({"engine": "rya"}, r"Did you mean 'ray'\?"),
        ({"workers": 0}, r"--workers 0: must be at least 1"),
        (
            {"address": "auto"},
            r"--address: the engine 'local' has no address; add --engine ray or --engine dask",
        ),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(P2vitError, match=message):
        ClusterOptions(**options)


@pytest.mark.parametrize(
    ("engine", "address", "message"),
    [
        ("ray", "127.0.0.1:1", r"^--address 127\.0\.0\.1:1: no Ray cluster can be reached there"),
        ("ray", "nonsense", r"^--address 'nonsense': not a valid address; write HOST:PORT"),
        (
            "dask",
            "tcp://127.0.0.1:1",
            r"^--address tcp://127\.0\.0\.1:1: no Dask scheduler can be reached there",
        ),
        ("dask", "nonsense://x", r"^--address 'nonsense://x': not a valid address; write tcp://HOST:PORT"),
    ],
)
def test_a_cluster_that_cannot_be_reached(engine, address, message):
    pytest.importorskip(NEEDS[engine])
    with pytest.raises(P2vitError, match=message), open_pool(ClusterOptions(engine, address=address)):
        pass


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_a_missing_package_is_named(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, NEEDS[engine], None)
    with (
        pytest.raises(MissingPackageError, match=f"--engine {engine} needs the package '{NEEDS[engine]}'"),
        open_pool(ClusterOptions(engine)),
    ):
        pass


@pytest.mark.extended
def test_an_existing_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with open_pool(ClusterOptions("dask", address=cluster.scheduler_address)) as pool:
            assert pool.workers == 2  # what the cluster has
            assert list(pool.map(Fragile(tmp_path / "mark"), range(8))) == list(range(1, 9))
        assert len(cluster.scheduler_info["workers"]) >= 1  # it is somebody else's, and still there


@pytest.mark.slow
def test_an_existing_ray_cluster(tmp_path):
    pytest.importorskip("ray")
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    head = [
        *ray,
        "start",
        "--head",
        "--port=0",
        "--num-cpus=2",
        "--include-dashboard=false",
        "--disable-usage-stats",
    ]
    subprocess.run(head, check=True, capture_output=True, timeout=120)
    try:
        with open_pool(ClusterOptions("ray", address="auto")) as pool:
            assert pool.workers == 2
            assert list(pool.map(Fragile(tmp_path / "mark"), range(8))) == list(range(1, 9))
    finally:
        subprocess.run([*ray, "stop", "--force"], check=False, capture_output=True, timeout=60)
