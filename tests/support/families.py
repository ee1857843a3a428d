"""A small quantized program of every family that p2vit reads, and what comes of asking for random tensors of it."""

from dataclasses import replace

import numpy as np

from p2vit.engine.native import NativeExecutor
from p2vit.engine.reference import ReferenceExecutor
from p2vit.evaluate.comparison import draw
from p2vit.program.graph import IntegerProgram
from p2vit.quant.config import METHODS
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import quantize_model
from support.tiny import float_model, smooth_photos, swin_model

SWIN = "Swin"
#: Family → changes of the tiny configuration.
FAMILIES: dict[str, dict] = {
    "ViT": {},
    "DeiT distilled": {"register_tokens": 1},
    SWIN: {},
    "Swin, as many heads as tokens in a window": {"embed_dim": 18, "heads": (9, 9), "image_size": (24, 36)},
    "DINOv2 with registers": {"register_tokens": 4, "num_classes": 0},
    "DINOv3": {
        "register_tokens": 4,
        "num_classes": 0,
        "rope": "dinov3",
        "rope_temperature": 100.0,
        "pool": "avg",
    },
    "EVA-02": {
        "rope": "axial",
        "rope_reference": 5,
        "gated_mlp": True,
        "mlp_norm": True,
        "activation": "silu",
    },
    "gated by GELU": {"gated_mlp": True},
    "BEiT": {"relative_positions": True, "pool": "avg", "pool_before_norm": True},
    "CLIP": {"pre_norm": True, "activation": "quick_gelu", "num_classes": 7},
    "SigLIP": {"class_token": False, "pool": "attention", "num_classes": 0, "activation": "gelu_tanh"},
    "Perception Encoder": {
        "pre_norm": True,
        "rope": "axial",
        "rope_reference": 5,
        "rope_offset": 1.0,
        "rope_columns_first": True,
        "pool": "attention",
        "pool_heads": 2,
    },
    "averaged": {"class_token": False, "pool": "avg"},
    "averaged before the norm": {"pool": "avg", "pool_before_norm": True},
    "headless": {"num_classes": 0},
}


def family_program(family: str, bits: int = 8, method: str = "p2vit", seed: int = 1) -> IntegerProgram:
    """Quantize a tiny model of a family, its weights random."""
    changes = FAMILIES[family]
    model = (swin_model if family.startswith(SWIN) else float_model)(seed, **changes)
    photos = smooth_photos(model.config.image_size, 4)
    quantized, _ = quantize_model(model.module, [photos], replace(METHODS[method], weight_bits=bits), 1)
    return lower(quantized, model.preprocessing)


def wrong_subsets(
    program: IntegerProgram, isa: str, count: int, seed: int = 0, threads: tuple[int, ...] = (1, 2, 3)
) -> tuple[int, list[str]]:
    """Ask the native engine for random sets of tensors and compare all that comes back with the reference.

    Before each, other photos run on the same plan, so that what nobody computes holds another photo's numbers.

    Returns:
        Tensors compared; what differed, in words.
    """
    rng = np.random.default_rng(seed)
    names = [node.name for node in program.nodes]
    size = program.pixels.shape
    batches = [rng.integers(0, 256, (n, *size), dtype=np.uint8) for n in (1, 2, 3)]
    expected = [ReferenceExecutor(program).run(pixels, names) for pixels in batches]
    executors = [NativeExecutor(program, n, isa, chunk_rows=4 << n, tested=False) for n in threads]
    compared, wrong = 0, []
    for index in range(count):
        executor, which = executors[index % len(executors)], int(rng.integers(len(batches)))
        keep = names if index == 0 else [names[index - 1]] if index <= len(names) else draw(names, rng)
        executor.run(255 - batches[which], keep)
        found = executor.run(batches[which], keep)
        if found.keys() != {*keep, program.output, program.feature}:
            wrong.append(f"{keep} gave {sorted(found)}")
        for name, value in found.items():
            compared += 1
            if value.dtype != expected[which][name].dtype or not np.array_equal(value, expected[which][name]):
                wrong.append(f"{name} of {keep}, {len(batches[which])} photos, {executor.threads} threads")
    return compared, wrong
