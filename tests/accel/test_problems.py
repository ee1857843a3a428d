from p2vit.accel.problems import AccelError, suggestion
from p2vit.errors import P2vitError


def test_all_at_once():
    error = AccelError("file.yaml", ["a is wrong", "b is wrong"], "read the manual")
    assert str(error).splitlines() == [
        "file.yaml: 2 problems",
        "  - a is wrong",
        "  - b is wrong",
        "  read the manual",
    ]
    assert isinstance(error, P2vitError)


def test_suggestion_or_listing():
    assert (
        suggestion("latency", ["latency_ms", "area"])
        == "did you mean 'latency_ms'? (allowed: area, latency_ms)"
    )
    assert suggestion("x", ["b", "a"]) == "allowed: a, b"
