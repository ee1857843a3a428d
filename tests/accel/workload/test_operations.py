import pytest

from p2vit.accel.workload.operations import Operation, Workload


def test_counts():
    op = Operation("fc", "linear", "mlp", 0, 10, 20, 30, weight_bits=4)
    assert op.macs == 10 * 20 * 30
    assert op.weight_bytes == 20 * 30 // 2 + 4 * 20
    assert op.output_bytes == 200
    assert op.requantized


def test_logits_stay_accumulators():
    assert not Operation("head", "linear", "head", -1, 1, 5, 8, weight_bits=8, output_bits=32).requantized


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "must be positive"),
        ({"inner": 0}, "a linear needs a positive inner"),
        ({"weight_bits": 0}, "only a linear stores weights"),
        ({"instances": 3, "heads": 2}, "3 instances do not divide into 2 heads"),
    ],
)
def test_impossible_operations(changes, message):
    fields = {"rows": 2, "cols": 2, "inner": 2, "weight_bits": 8} | changes
    with pytest.raises(ValueError, match=message):
        Operation("x", "linear", "mlp", 0, **fields)


def test_names_are_unique():
    op = Operation("a", "add", "mlp", 0, 1, 1)
    with pytest.raises(ValueError, match="repeated: a"):
        Workload("w", (op, op), 0)
    with pytest.raises(ValueError, match="at least one"):
        Workload("w", (), 0)
