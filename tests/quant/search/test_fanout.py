import sys

import pytest

from p2vit.errors import MissingPackageError, P2vitError
from p2vit.quant.search.fanout import fan_out


def square(item):
    return float(item * item)


def test_serial_is_lazy_and_in_order():
    seen = []
    scores = fan_out(lambda item: seen.append(item) or float(item), [3, 1, 2])
    assert seen == []
    assert next(scores) == 3
    assert seen == [3]
    assert list(scores) == [1, 2]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_backends_give_the_same_scores(backend):
    pytest.importorskip("joblib")
    assert list(fan_out(square, range(7), backend, jobs=2)) == list(fan_out(square, range(7)))


def test_an_unknown_backend_is_named_with_what_there_is():
    pytest.importorskip("joblib")
    with pytest.raises(P2vitError, match=r"'lokky' is unknown\. Did you mean 'loky'.* Allowed: serial, loky"):
        fan_out(square, [1], "lokky")


def test_missing_packages_are_named(monkeypatch):
    pytest.importorskip("joblib")
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    monkeypatch.setitem(sys.modules, "joblib_ray", None)
    with pytest.raises(MissingPackageError, match="needs the package 'ray'"):
        fan_out(square, [1], "ray")
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(MissingPackageError, match="needs the package 'joblib'"):
        fan_out(square, [1], "loky")
