import pytest

from p2vit.hdl.chunks.compile.memories import Room
from p2vit.hdl.compile.errors import UnfitProgramError


def test_words_are_reused_first_fit():
    room = Room("key_words", 10)
    assert [room.allocate("a", 4), room.allocate("b", 2), room.allocate("c", 4)] == [0, 4, 6]
    room.free(0)
    assert room.allocate("d", 3) == 0
    assert room.used == 10


def test_a_full_memory_names_the_layer_and_the_size():
    room = Room("key_words", 10)
    room.allocate("a", 8)
    with pytest.raises(
        UnfitProgramError, match=r"blocks\.0\.attn\.k: it takes 3 words.*raise key_words to 11 or more"
    ):
        room.allocate("blocks.0.attn.k", 3)
