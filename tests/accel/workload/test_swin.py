import pytest

from p2vit.accel.workload.resolve import workload_of


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        # Liu et al., ICCV 2021, table 1: 4.5, 8.7 and 15.4 G multiply-adds at 224².
        ("swin_tiny_patch4_window7_224", 4.5),
        ("swin_small_patch4_window7_224", 8.7),
        ("swin_base_patch4_window7_224", 15.4),
    ],
)
def test_macs_are_the_published_ones(name, gmacs):
    assert workload_of(name).macs / 1e9 == pytest.approx(gmacs, rel=0.02)


def test_windows_shifts_and_merging_cost_something():
    operations = {op.name: op for op in workload_of("swin_tiny_patch4_window7_224").operations}
    scores = operations["blocks.0.attn.scores"]
    assert (scores.instances, scores.rows, scores.cols, scores.inner) == (64 * 3, 49, 49, 32)
    assert operations["blocks.0.attn.score_bias"].elements == scores.elements
    assert operations["blocks.0.attn.partition"].elements == 3136 * 96
    assert (operations["merge1.reduction"].rows, operations["merge1.reduction"].inner) == (784, 384)
    assert "merge3.gather" in operations
    assert operations["pool"].rows == 49
