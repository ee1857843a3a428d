import numpy as np

from p2vit.hdl.compile.memory import MemoryImage


def test_rooms_follow_each_other_and_constants_stand_where_they_were_put():
    memory = MemoryImage(3)
    assert memory.reserve(4) == 0
    assert memory.constant(np.array([[1, 2, 3]], np.uint8)) == 4
    assert memory.reserve(2) == 5
    assert memory.constant(np.array([[7, 7, 7], [8, 8, 8]], np.uint8)) == 7
    assert (memory.words, memory.constant_words) == (9, 3)
    image = memory.image()
    assert image.shape == (9, 3)
    assert image[[4, 7, 8]].tolist() == [[1, 2, 3], [7, 7, 7], [8, 8, 8]]
    assert not image[[0, 1, 2, 3, 5, 6]].any()
