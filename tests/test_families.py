"""Every family, built by the library that people take it from: the same floats, and the same integers everywhere.

Small configurations of timm's and transformers' own classes, with seeded random weights. Nothing is mocked: models
are made by the libraries, saved by them, and loaded through the paths that users take.
"""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from p2vit.engine import native  # noqa: E402
from p2vit.engine.native import NativeExecutor  # noqa: E402
from p2vit.engine.reference import ReferenceExecutor  # noqa: E402
from p2vit.engine.torch.executor import TorchExecutor  # noqa: E402
from p2vit.export.onnx.executor import OnnxExecutor  # noqa: E402
from p2vit.export.onnx.qdq.build import build_onnx_qdq  # noqa: E402
from p2vit.export.onnx.runtimes import open_session  # noqa: E402
from p2vit.models.options import LoadOptions  # noqa: E402
from p2vit.models.sources.huggingface import load_huggingface  # noqa: E402
from p2vit.models.sources.timm_source import from_timm_model  # noqa: E402
from p2vit.program.audit import audit  # noqa: E402
from p2vit.program.graph import PIXELS  # noqa: E402
from p2vit.quant.config import OURS  # noqa: E402
from p2vit.quant.counterpart import unequal_tensors  # noqa: E402
from p2vit.quant.lower import lower  # noqa: E402
from p2vit.quant.pipeline import quantize_model  # noqa: E402
from p2vit.quant.sensitivity import sqnr_db  # noqa: E402
from support.tiers import extended  # noqa: E402
from support.tiny import smooth_photos  # noqa: E402

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}
SWIN = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
#: Family → timm's name, changes, and two sizes; the second one is not square.
TIMM = {
    "DeiT": ("deit_tiny_patch16_224", {**SMALL, "num_classes": 5}, (32, (48, 32))),
    "ViT": ("vit_tiny_patch16_224", {**SMALL, "num_classes": 5}, (32, (32, 64))),
    "Swin": ("swin_tiny_patch4_window7_224", {**SWIN, "num_classes": 5}, (32, (44, 56))),
    "DINOv2": ("vit_small_patch14_dinov2", SMALL, (28, (42, 28))),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", SMALL, (28, (28, 56))),
    "DINOv2 with SwiGLU": ("vit_giant_patch14_dinov2", SMALL, (28, (42, 28))),
    "DINOv3": ("vit_small_patch16_dinov3_qkvb", SMALL, (32, (48, 32))),
    "DINOv3 with SwiGLU": ("vit_small_plus_patch16_dinov3", SMALL, (32, (32, 64))),
    "EVA-02": ("eva02_tiny_patch14_224", {**SMALL, "num_classes": 5}, (28, (42, 28))),
    "EVA-02 with sub-LayerNorm": ("eva02_base_patch14_224", {**SMALL, "num_classes": 5}, (28, (28, 56))),
    "Perception Encoder": (
        "vit_pe_core_base_patch16_224",
        {"depth": 2, "embed_dim": 48, "num_heads": 3, "attn_pool_num_heads": 2, "num_classes": 7},
        (32, (48, 32)),
    ),
    "BEiT": ("beit_base_patch16_224", {**SMALL, "num_classes": 5}, (32, (48, 32))),
    "BEiT v2": ("beitv2_base_patch16_224", {**SMALL, "num_classes": 5}, (48, (32, 64))),
    "CLIP": ("vit_base_patch16_clip_quickgelu_224", {**SMALL, "num_classes": 7}, (32, (48, 32))),
    "SigLIP": ("vit_base_patch16_siglip_224", SMALL, (32, (32, 48))),
}
SHAPE = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
#: Family → transformers' model, its configuration, and what differs from the defaults.
HUGGING_FACE = {
    "DeiT": ("DeiTForImageClassification", "DeiTConfig", {**SHAPE, "num_labels": 5}),
    "ViT": ("ViTForImageClassification", "ViTConfig", {**SHAPE, "num_labels": 5}),
    "Swin": (
        "SwinForImageClassification",
        "SwinConfig",
        {
            "embed_dim": 16,
            "depths": [2, 2],
            "num_heads": [2, 4],
            "window_size": 4,
            "patch_size": 4,
            "image_size": 32,
            "num_labels": 5,
        },
    ),
    "DINOv2": ("Dinov2Model", "Dinov2Config", {**SHAPE, "mlp_ratio": 2}),
    "DINOv2 with registers": (
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        {**SHAPE, "mlp_ratio": 2},
    ),
    "DINOv2 with SwiGLU": ("Dinov2Model", "Dinov2Config", {**SHAPE, "mlp_ratio": 4, "use_swiglu_ffn": True}),
    "DINOv3": ("DINOv3ViTModel", "DINOv3ViTConfig", {**SHAPE, "num_register_tokens": 4}),
    "DINOv3 with SwiGLU": (
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        {**SHAPE, "num_register_tokens": 2, "use_gated_mlp": True, "hidden_act": "silu", "key_bias": True},
    ),
    "BEiT": (
        "BeitForImageClassification",
        "BeitConfig",
        {**SHAPE, "num_labels": 5, "use_relative_position_bias": True},
    ),
    "BEiT, shared bias and positions": (
        "BeitForImageClassification",
        "BeitConfig",
        {
            **SHAPE,
            "num_labels": 5,
            "use_relative_position_bias": True,
            "use_shared_relative_position_bias": True,
            "use_absolute_position_embeddings": True,
        },
    ),
    "BEiT, class token": (
        "BeitModel",
        "BeitConfig",
        {
            **SHAPE,
            "use_shared_relative_position_bias": True,
            "use_mean_pooling": False,
            "layer_scale_init_value": 0.0,
        },
    ),
    "Data2Vec": (
        "Data2VecVisionForImageClassification",
        "Data2VecVisionConfig",
        {**SHAPE, "num_labels": 5, "use_relative_position_bias": True},
    ),
    "CLIP": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", {**SHAPE, "projection_dim": 7}),
    "SigLIP": ("SiglipVisionModel", "SiglipVisionConfig", SHAPE),
}
#: transformers resamples positions only when told to, and DINOv2 always.
RESAMPLES = ("DeiT", "ViT", "CLIP", "SigLIP")


def noisy(model):
    """Random values everywhere, also where a library starts from zeros and ones, so that a swap would show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            spread = 0.1 if value.ndim < 2 else 0.03
            value.add_(spread * torch.randn(value.shape, generator=generator))
    return model.eval()


def assert_same(found, wanted):
    """The canonical form and a library's module put out the same, to 1e-4 of the largest value."""
    pixels = torch.from_numpy(smooth_photos(found.config.image_size, 2))
    mean, std = torch.tensor(found.preprocessing.mean), torch.tensor(found.preprocessing.std)
    with torch.inference_mode():
        want = wanted(((pixels / 255 - mean) / std).permute(0, 3, 1, 2))
        got = found.module(pixels)
    assert got.shape == want.shape
    assert float((want[0] - want[1]).abs().max()) > 1e-3 * float(want.abs().max())  # photos make a difference
    assert float((got - want).abs().max()) < 1e-4 * float(want.abs().max())


@pytest.mark.parametrize("which", [0, 1], ids=["square", "not square"])
@pytest.mark.parametrize("family", TIMM)
def test_float_form_equals_timm(timm, family, which):
    name, changes, sizes = TIMM[family]
    model = noisy(timm.create_model(name, pretrained=False, img_size=sizes[which], **changes))
    assert_same(from_timm_model(model, name), model)


@pytest.mark.parametrize(
    "size", [None, (40, 56), (16, 64)], ids=["its own size", "larger", "as many patches"]
)
@pytest.mark.parametrize("family", HUGGING_FACE)
def test_float_form_equals_transformers(transformers, family, size, tmp_path):
    if family == "Swin" and size == (16, 64):
        size = (64, 48)  # a stage would be smaller than a window, which transformers' own Swin cannot run
    kind, shape, changes = HUGGING_FACE[family]
    model = noisy(getattr(transformers, kind)(getattr(transformers, shape)(**changes)))
    model.save_pretrained(tmp_path)
    found = load_huggingface(str(tmp_path), LoadOptions(image_size=size))
    options = {"interpolate_pos_encoding": True} if family in RESAMPLES else {}

    def output(x):
        result = model(x, **options)
        return next(getattr(result, f) for f in ("logits", "image_embeds", "pooler_output") if f in result)

    assert_same(found, output)


@pytest.fixture(scope="module")
def programs(timm):
    """Family and width → float model, simulated model, program; each made once."""
    made = {}

    def make(family, bits):
        if (family, bits) not in made:
            name, changes, sizes = TIMM[family]
            torch.manual_seed(0)
            model = timm.create_model(name, pretrained=False, img_size=sizes[1], **changes)
            found = from_timm_model(noisy(model), name)
            # Fewer photos do not show the range that the mean over patches has.
            photos = smooth_photos(found.config.image_size, 12)
            method = replace(OURS, weight_bits=bits)
            simulated, _ = quantize_model(found.module, [photos], method, 1)
            made[family, bits] = found, simulated, lower(simulated, found.preprocessing)
        return made[family, bits]

    return make


@pytest.mark.parametrize("bits", extended([8, 4], quick=[8]))
@pytest.mark.parametrize("family", extended(TIMM, quick=list(TIMM)[::2]))
def test_program_is_sound_and_equal_everywhere(programs, family, bits):
    found, simulated, program = programs(family, bits)
    report = audit(program)
    assert report.passed, report.problems
    assert (report.float_ops, report.non_pot_scales) == (0, 0)
    names = [node.name for node in program.nodes]
    executors = [TorchExecutor(program), OnnxExecutor(program)]
    if any(not reason for reason in native.instruction_sets().values()):
        executors.append(NativeExecutor(program, threads=2))
    for batch in (1, 8):
        photos = smooth_photos(found.config.image_size, 8)[:batch]
        expected = ReferenceExecutor(program).run(photos, names)
        for executor in executors:
            got = executor.run(photos, names)
            wrong = [name for name in names if not np.array_equal(got[name], expected[name])]
            assert wrong == [], executor.name
    assert unequal_tensors(simulated, program, expected, photos) == {}
    with torch.inference_mode():
        exact = found.module.features(torch.from_numpy(photos)).numpy()
    feature = program.tensors[program.feature].real(expected[program.feature]).reshape(exact.shape)
    assert sqnr_db(exact, feature) > (28 if bits == 8 else 18)


@pytest.mark.parametrize(
    "family", ["Swin", "SigLIP", "DINOv3", "EVA-02", "EVA-02 with sub-LayerNorm", "BEiT"]
)
def test_the_qdq_form_comes_close(programs, family):
    found, _, program = programs(family, 8)
    photos = smooth_photos(found.config.image_size, 4)
    logits = open_session(build_onnx_qdq(program)).run(None, {PIXELS: photos})[0]
    stored = ReferenceExecutor(program).run(photos)[program.output]
    assert sqnr_db(program.tensors[program.output].real(stored).reshape(logits.shape), logits) > 25
