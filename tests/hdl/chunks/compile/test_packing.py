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


def test_groups_have_parameters_then_table_then_blocks():
    parameters = np.full((2, 8, 8), 1, np.uint8)
    tables = np.full((2, 256), 2, np.int8)
    blocks = np.full((2, 3, 8, 8), 3, np.uint8)
    words = weight_stream(8, parameters, tables, blocks)[:, 0]
    assert words.tolist() == ([1] * 8 + [2] * 32 + [3] * 24) * 2
    assert weight_stream(8, parameters).tolist() == np.full((16, 8), 1).tolist()
