import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal

from p2vit.hdl.top.decode import decoder, field
from p2vit.hdl.top.descriptor import Descriptor, Kind
from support.rtl_evaluate import evaluate


def test_a_field_is_decoded_where_it_is_encoded():
    word = Descriptor(Kind.VECTOR, {"softmax_shift": -5, "epsilon": 12345}).encode()
    m, w, shift, epsilon = Module(), Signal(256), Signal(6), Signal(30)
    take = decoder(w, Kind.VECTOR)
    m.d.comb += [shift.eq(take("softmax_shift")), epsilon.eq(take("epsilon"))]
    assert evaluate(m, [(w, [word])], shift) == [64 - 5]
    assert evaluate(m, [(w, [word])], epsilon) == [12345]


def test_a_field_that_is_none_is_refused():
    with pytest.raises(KeyError, match=r"VECTOR\.epsilom"):
        field(Signal(256), Kind.VECTOR, "epsilom")
