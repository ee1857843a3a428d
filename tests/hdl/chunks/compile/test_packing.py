import numpy as np

from p2vit.hdl.chunks.compile.packing import packed_parameters, packed_weights, weight_stream


def test_parameters_lie_in_byte_planes():
    packed = packed_parameters(
        8, 9, {"bias": (32, 0), "shift": (6, 32)}, {"bias": np.arange(9) - 4, "shift": -1}
    )
    assert packed.shape == (2, 8, 8)
    for channel in range(9):
        raw = packed[channel // 8, :, channel % 8]
        assert raw[:4].tobytes() == int(channel - 4).to_bytes(4, "little", signed=True)
        assert raw[4] == 63
    assert not packed[1, :, 1:].any()


def test_a_block_has_a_word_per_output():
    weight = np.arange(-40, 50, dtype=np.int8).reshape(9, 10)
    blocks = packed_weights(8, weight).view(np.int8)
    assert blocks.shape == (2, 2, 8, 8)
    for output in range(16):
        for term in range(16):
            want = weight[output, term] if output < 9 and term < 10 else 0
            assert blocks[output // 8, term // 8, output % 8, term % 8] == want


def test_a_byte_has_the_weights_of_a_pair_of_groups():
    weight = np.arange(-8, 8, dtype=np.int8).repeat(20).reshape(20, 16)
    blocks = packed_weights(8, weight, pairs=True)
    assert blocks.shape == (2, 2, 8, 8)
    for output in range(32):
        for term in range(16):
            byte = int(blocks[output // 16, term // 8, output % 8, term % 8])
            half = byte >> 4 if output % 16 >= 8 else byte & 15
            assert (half ^ 8) - 8 == (weight[output, term] if output < 20 else 0)


def test_parameters_and_table_follow_the_first_block_of_a_group():
    parameters = np.full((3, 8, 8), 1, np.uint8)
    tables = np.full((3, 256), 2, np.int8)
    blocks = np.full((3, 3, 8, 8), 3, np.uint8)
    group = [3] * 8 + [1] * 8 + [2] * 32 + [3] * 16
    assert weight_stream(8, parameters, tables, blocks)[:, 0].tolist() == group * 3
    assert weight_stream(8, parameters).tolist() == np.full((24, 8), 1).tolist()
    # Of three groups, the last one is single.
    second = [1] * 8 + [2] * 32
    assert weight_stream(8, parameters, tables, blocks[:2], True)[:, 0].tolist() == group + second + group
