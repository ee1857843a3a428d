from hypothesis import given
from hypothesis import strategies as st

from p2vit.export.c.arena import ALIGNMENT, Lifetime, assign_offsets


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 12), st.integers(0, 12)), max_size=25))
def test_buffers_that_live_together_do_not_overlap(drawn):
    buffers = [Lifetime(str(number), size, min(a, b), max(a, b)) for number, (size, a, b) in enumerate(drawn)]
    places, total = assign_offsets(buffers)
    for buffer in buffers:
        start = places[buffer.name]
        assert start % ALIGNMENT == 0
        assert start + buffer.size <= total
        for other in buffers:
            if other is not buffer and buffer.overlaps(other):
                begin = places[other.name]
                assert start + buffer.size <= begin or begin + other.size <= start
    assert assign_offsets(buffers) == (places, total)
    # Not larger than all buffers without sharing.
    assert total <= sum(-(-buffer.size // ALIGNMENT) * ALIGNMENT for buffer in buffers)
