import errno

import numpy as np
import pytest

from p2vit.cli.shared.machine_limits import machine_limit


def test_numpy_says_how_much():
    with pytest.raises(MemoryError) as caught:
        np.empty((1 << 50,), np.int8)
    told = machine_limit(caught.value, ["--data", "--batch-size", "--limit"])
    assert told == (
        "there is too little memory: another 1.00 PiB could not be had; give a smaller --batch-size, --limit, free memory, "  # noqa: E501
        "or use a machine with more"
    )


def test_torch_says_how_much():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.int8)
    assert "another 1.02e+03 TiB could not be had" in machine_limit(caught.value).replace(
        "1024 TiB", "1.02e+03 TiB"
    )


def test_more_than_any_machine_has():
    with pytest.raises(ValueError, match=r"too big|dimension") as caught:
        np.empty((1 << 62, 4), np.int64)
    assert "too little memory" in machine_limit(caught.value, ["--images"])


@pytest.mark.parametrize(
    "error", [MemoryError(), MemoryError("std::bad_alloc"), RuntimeError("std::bad_alloc")]
)
def test_whoever_cannot_say_how_much(error):
    assert machine_limit(error).startswith("there is too little memory: no more could be had; free memory")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "the system: Too many open files; allow more open files: ulimit -n 1024"),  # noqa: E501
        (OSError(errno.EMFILE, "Too many open files", "a"), "a: Too many open files; allow more open files: ulimit -n 1024"),  # noqa: E501
        (OSError(errno.ENOSPC, "No space left on device"), "standard output, or a temporary folder: No space left on device; make room there"),  # noqa: E501
        (PermissionError(errno.EACCES, "Permission denied", b"out/\xff"), "out/\udcff: Permission denied"),
        (RuntimeError("can't start new thread"), "the system starts no further thread; allow more with ulimit -u, or give fewer --threads"),  # noqa: E501
    ],
)  # fmt: skip
def test_what_the_system_refuses(error, expected):
    assert machine_limit(error) == expected


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), OSError("x"), ZeroDivisionError()])
def test_defects_stay_defects(error):
    assert machine_limit(error) is None
