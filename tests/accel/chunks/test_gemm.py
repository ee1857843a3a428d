"""The closed forms of systolic arrays give the cycles of SCALE-Sim 3.0 exactly."""

import pytest

from p2vit.accel.chunks.gemm import output_stationary_cycles, row_stationary_cycles, weight_stationary_cycles

# (M, N, K) of ViT-S, SCALE-Sim 3.0.0 "Total Cycles" without prefetch on a 32 × 32 array: WS, OS.
SCALE_SIM = {
    "qkv": ((197, 1152, 384), 125711, 112391),
    "scores": ((197, 197, 64), 4073, 6173),
    "values": ((197, 64, 197), 4073, 3625),
    "proj": ((197, 384, 384), 41903, 37463),
    "fc1": ((197, 1536, 384), 167615, 149855),
    "fc2": ((197, 384, 1536), 167615, 134231),
}


@pytest.mark.parametrize("name", SCALE_SIM)
def test_weight_stationary_equals_scale_sim(name):
    (rows, cols, inner), expected, _ = SCALE_SIM[name]
    assert weight_stationary_cycles(rows, cols, inner, 32, 32) == expected


@pytest.mark.parametrize("name", SCALE_SIM)
def test_output_stationary_equals_scale_sim(name):
    (rows, cols, inner), _, expected = SCALE_SIM[name]
    assert output_stationary_cycles(rows, cols, inner, 32, 32) == expected


def test_whole_encoder_equals_scale_sim():
    def encoder(cycles):
        shapes = {name: cycles(*shape, 32, 32) for name, (shape, _, _) in SCALE_SIM.items()}
        per_head = shapes["scores"] + shapes["values"]
        return 12 * (shapes["qkv"] + 6 * per_head + shapes["proj"] + shapes["fc1"] + shapes["fc2"])

    assert encoder(weight_stationary_cycles) == 6620640
    assert encoder(output_stationary_cycles) == 5912736


@pytest.mark.parametrize("shape", [entry[0] for entry in SCALE_SIM.values()], ids=list(SCALE_SIM))
def test_row_stationary_is_never_faster_than_its_multipliers(shape):
    rows, cols, inner = shape
    assert row_stationary_cycles(*shape, 20, 64) * 20 * 64 >= rows * cols * inner


def test_row_stationary_wastes_nothing_where_everything_divides():
    assert row_stationary_cycles(40, 100, 128, 20, 64) * 20 * 64 == 40 * 100 * 128
