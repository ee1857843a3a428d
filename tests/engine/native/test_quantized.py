"""Programs as the quantizer makes them, of every kind of plain ViT: the reference's integers on every tensor, on
every instruction set, with 1, 2 and 4 threads and batches of 1, 3 and 8.
"""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from p2vit.engine.native import NativeExecutor, instruction_sets
from p2vit.engine.reference import ReferenceExecutor
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS
from support.tiers import extended
from support.tiny import float_model

ISAS = [name for name, reason in instruction_sets().items() if not reason]
pytestmark = pytest.mark.skipif(not ISAS, reason="the native engine was not built")

#: mlp_dim 128 has two activation tables, which a kernel's epilogue reads; mlp_dim 40 has one.
KINDS = {
    "DeiT": {"mlp_dim": 128},
    "DINOv2 with registers": {"register_tokens": 2, "num_classes": 0},
    "CLIP": {"pre_norm": True, "activation": "quick_gelu", "num_classes": 0},
    "SigLIP": {"class_token": False, "pool": "avg", "activation": "gelu_tanh", "mlp_dim": 192},
    "fc_norm": {"pool": "avg", "pool_before_norm": True},
    "class token beside the mean": {"pool": "token_avg"},
    "two heads averaged": {"pool": "token_dist", "register_tokens": 1},
}
BITS = {
    "W8A8": OURS,
    "W4A8": replace(OURS, weight_bits=4),
    "W8A8 log2": replace(OURS, softmax="log2"),
    "residual of 8 bits": replace(OURS, residual_bits=8),
    "widths of 3 to 8 bits": replace(
        OURS, layer_bits={"blocks.0.mlp.fc1": 3, "blocks.0.attn.q": 5, "blocks.1.mlp.fc2": 6}
    ),
}


@pytest.mark.parametrize("bits", extended(BITS, quick=list(BITS)[:2]))
@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor(kind, bits):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (8, 8, 12, 3), dtype=np.uint8)
    program = quantize(float_model(**KINDS[kind]), [photos], BITS[bits], threads=1).program
    for name, width in BITS[bits].layer_bits.items():
        assert program.node(name).operator.weight_bits == width
    names = [node.name for node in program.nodes]
    pixels = rng.integers(0, 256, (8, 8, 12, 3), dtype=np.uint8)
    expected = ReferenceExecutor(program).run(pixels, names)
    for isa in ISAS:
        for threads in (1, 2, 4):
            executor = NativeExecutor(program, threads=threads, isa=isa)
            for batch in (1, 3, 8):
                # All tensors, and the logits alone: a plan without and one with fusion.
                for keep in (names, ()):
                    found = executor.run(pixels[:batch], keep)
                    for name, integers in found.items():
                        assert np.array_equal(integers, expected[name][:batch]), (isa, threads, batch, name)
