import threading

import pytest

from p2vit.data.ahead import read_ahead


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_same_items_in_the_same_order(count, depth):
    assert list(read_ahead(range(count), depth)) == list(range(count))


def test_items_are_made_before_they_are_wanted_and_no_more_of_them():
    made = []
    enough = threading.Event()

    def items():
        for i in range(9):
            made.append(i)
            if i == 3:
                enough.set()
            yield i

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 0
    assert enough.wait(10)
    ahead.close()
    assert made == [0, 1, 2, 3]


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        yield 2
        raise ValueError("the third")

    ahead = read_ahead(items())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(ahead)
