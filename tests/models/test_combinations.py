"""Model class × weight wrapper × image processor: the float form is the original library's, on its own pixels.

Small models of the libraries' own classes with random values everywhere, saved as people save them and read as
people read them. Nothing that p2vit computed stands on the other side: module, weights and pixels are the library's.
The photos are neither square nor grey. Every combination is generated; a part of them runs by default, all of them
with the mark ``slow``.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from p2vit.data.preprocess import to_pixels  # noqa: E402
from p2vit.models.architectures import ARCHITECTURES, find  # noqa: E402
from p2vit.models.registry import load_model  # noqa: E402
from p2vit.program.preprocessing import Preprocessing  # noqa: E402
from support.hf_classes import HF_CLASSES, SHAPE, shaken  # noqa: E402
from support.wrappers import WRAPPERS  # noqa: E402


def photos():
    """Structure at all scales, wide and tall, in colour."""
    rng, made = np.random.default_rng(0), []
    for height, width in ((61, 83), (97, 50), (40, 75)):
        total = np.full((height, width, 3), 255 * rng.random(3))
        for cells in (2, 7, 23):
            noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            total += 0.4 * (np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) - 128.0)
        made.append(Image.fromarray(total.clip(0, 255).astype(np.uint8)))
    return made


PHOTOS = photos()


def assert_same(found, wanted):
    """The float form of prepared photos against the library's outputs, to 1e-4 of the largest."""
    pixels = np.stack([to_pixels(photo, found.preprocessing) for photo in PHOTOS])
    with torch.inference_mode():
        got = found.module(torch.from_numpy(pixels))
    assert got.shape == wanted.shape
    largest = float(wanted.abs().max())
    assert float((wanted[0] - wanted[1]).abs().max()) > 1e-3 * largest  # photos make a difference
    assert float((got - wanted).abs().max()) < 1e-4 * largest


@dataclass(frozen=True)
class Timm:
    """A class of timm.

    Attributes:
        arch: timm's name, with a tag or without.
        side: Pixels.
        changes: Of the small model.
        config: The same in our words.
        options: What the user must state.
    """

    arch: str
    side: int = 32
    changes: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}
OURS = {"depth": 2, "embed_dim": 48, "heads": 3, "mlp_dim": 192}
AVERAGE = {"class_token": True}
SWIN = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
STATED = {"mean": (0.2, 0.3, 0.4), "std": (0.3, 0.3, 0.2), "crop_pct": 0.8, "interpolation": "bilinear"}
CLASSES = {
    "DeiT": Timm("deit_tiny_patch16_224"),
    "ViT": Timm("vit_tiny_patch16_224"),
    "ViT tagged .dino": Timm("vit_small_patch16_224.dino"),
    "ViT with fc_norm": Timm("vit_tiny_patch16_224", changes={"global_pool": "avg"}),
    "ViT averaged": Timm(
        "vit_tiny_patch16_224", changes={"global_pool": "avg", "fc_norm": False}, options={"pool": "avg"}
    ),
    "ViT, preparation stated": Timm("vit_tiny_patch16_224", options=STATED),
    "ViT, squashed": Timm("vit_tiny_patch16_224", options={"crop_mode": "squash", "crop_pct": 0.8}),
    "ViT of 48 pixels": Timm("vit_tiny_patch16_224", side=48),
    "DeiT distilled": Timm("deit_tiny_distilled_patch16_224"),
    "DeiT III": Timm("deit3_small_patch16_224"),
    "DINOv2": Timm("vit_small_patch14_dinov2", side=28),
    "DINOv2 with registers": Timm("vit_small_patch14_reg4_dinov2", side=28),
    "CLIP": Timm("vit_base_patch16_clip_quickgelu_224"),
    "Perception Encoder": Timm(
        "vit_pe_core_tiny_patch16_384",
        changes={**SMALL, "attn_pool_num_heads": 4, "ref_feat_shape": (2, 2)},
        config={**OURS, "pool_heads": 4, "rope_reference": 2},
    ),
    "BEiT": Timm("beit_base_patch16_224"),
    "BEiT v2 of 48 pixels": Timm("beitv2_base_patch16_224", side=48),
    "SigLIP": Timm("vit_base_patch16_siglip_224"),
    "Swin": Timm(
        "swin_tiny_patch4_window7_224",
        changes=SWIN,
        config={"embed_dim": 16, "depths": (2, 2), "heads": (2, 4), "window": 4},
    ),
}


@pytest.fixture(scope="module")
def timm_models(timm):
    """Class → (state dict, outputs of timm's model on timm's pixels); each made once."""
    made = {}

    def make(name):
        if name not in made:
            case = CLASSES[name]
            known = find(case.arch).config
            classes = {"num_classes": 7} if known.num_classes else {}
            changes = {**(case.changes if case.config else {**SMALL, **case.changes}), **classes}
            model = shaken(timm.create_model(case.arch, pretrained=False, img_size=case.side, **changes))
            data = timm.data.resolve_model_data_config(model) | {"input_size": (3, case.side, case.side)}
            data |= {key: value for key, value in case.options.items() if key != "pool"}
            transform = timm.data.create_transform(**data, is_training=False)
            with torch.inference_mode():
                made[name] = model.state_dict(), model(torch.stack([transform(photo) for photo in PHOTOS]))
        return made[name]

    return make


def _by_default(index: int, other: int, count: int) -> bool:
    """Whether a combination runs by default: each of the longer list once, with the shorter one going round."""
    return index == other % count


TIMM_CASES = [
    pytest.param(
        name,
        wrapper,
        marks=() if _by_default(i, j, len(CLASSES)) or j == 0 else pytest.mark.slow,
        id=f"{name}, {wrapper}",
    )
    for i, name in enumerate(CLASSES)
    for j, wrapper in enumerate(WRAPPERS)
]


@pytest.mark.parametrize(("name", "wrapper"), TIMM_CASES)
def test_files_of_timm(timm_models, name, wrapper, tmp_path, monkeypatch):
    case, (state, wanted) = CLASSES[name], timm_models(name)
    plain = case.arch.split(".")[0]
    # The architecture's own entry, but small: what a name says beside sizes is what is tried here.
    known = find(case.arch)
    side = 32 if known.config.patch_size != 14 else 28
    shape = replace(known.config, image_size=(side, side), **(case.config or OURS))
    monkeypatch.setitem(
        ARCHITECTURES,
        plain,
        replace(find(plain), config=shape, preprocessing=find(plain).preprocessing.for_size((side, side))),
    )
    path = WRAPPERS[wrapper](state, tmp_path)
    found = load_model(path, arch=case.arch, check=False, **case.options)
    assert found.config.image_size == (case.side, case.side)
    assert_same(found, wanted)
    if case.side != side:
        assert any("--image-size" in note for note in found.notes)
    if name in ("DeiT", "ViT"):
        assert any("--pool avg" in note for note in found.notes)


CROP = {"crop_size": {"height": 32, "width": 32}}
HF_PROCESSORS = {
    "ViT": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    "ViT, nothing normalised": (
        "ViTImageProcessor",
        {"size": {"height": 32, "width": 32}, "do_normalize": False},
    ),
    "DeiT squashes, then crops": ("DeiTImageProcessor", {"size": {"height": 37, "width": 41}, **CROP}),
    "DeiT without the crop": ("DeiTImageProcessor", {"size": 32, "do_center_crop": False, "resample": 0}),
    "Bit": ("BitImageProcessor", {"size": {"shortest_edge": 37}, **CROP}),
    "CLIP": ("CLIPImageProcessor", {"size": {"shortest_edge": 36}, **CROP, "resample": 1}),
    "CLIP that squashes": ("CLIPImageProcessor", {"size": {"height": 36, "width": 36}, **CROP}),
    "CLIP without a resize": ("CLIPImageProcessor", {"do_resize": False, **CROP}),
    "SigLIP": ("SiglipImageProcessor", {"size": {"height": 32, "width": 32}, "rescale_factor": 1 / 127.5}),
    "BEiT": ("BeitImageProcessor", {"size": {"height": 37, "width": 41}, **CROP, "do_reduce_labels": True}),
    "ConvNext": ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.8}),
    "another size": ("ViTImageProcessor", {"size": {"height": 48, "width": 48}}),
}
#: transformers' Swin resamples nothing; its photos may be of any size.
NOT_TOGETHER: set[tuple[str, str]] = set()
HF_CASES = [
    pytest.param(
        name,
        processor,
        marks=(pytest.mark.slow if (i + j) % 4 else pytest.mark.extended if (i + j) % 8 else ()),
        id=f"{name}, {processor}",
    )
    for i, name in enumerate(HF_CLASSES)
    for j, processor in enumerate(HF_PROCESSORS)
]


@pytest.fixture(scope="module")
def hf_models(transformers):
    """Class → module; each made once."""
    made = {}

    def make(name):
        if name not in made:
            shape, values, _ = HF_CLASSES[name]
            made[name] = shaken(getattr(transformers, name)(getattr(transformers, shape)(**values)))
        return made[name]

    return make


def own_output(model, processor, output, resized):
    """What the library puts out for the photos through its own processor."""
    x = processor(images=PHOTOS, return_tensors="pt")["pixel_values"]
    options = {"interpolate_pos_encoding": True} if resized and "Dinov2" not in type(model).__name__ else {}
    if type(model).__name__.startswith("ViTMAE"):
        # Nothing is masked, and the patches keep their order.
        model = getattr(model, "vit", model)
        model.config.mask_ratio = 0.0
        options["noise"] = torch.arange(x[0, 0].numel() // model.config.patch_size**2)[None].expand(
            len(x), -1
        )
    with torch.inference_mode():
        found = model(x, **options)
    if output in ("class token", "mean"):
        tokens = found["last_hidden_state"]
        return tokens[:, 0] if output == "class token" else tokens.mean(dim=1)
    return found[output]


@pytest.mark.parametrize(("name", "processor"), HF_CASES)
def test_folders_of_transformers(hf_models, transformers, name, processor, tmp_path):
    model, (kind, values) = hf_models(name), HF_PROCESSORS[processor]
    model.save_pretrained(tmp_path)
    getattr(transformers, kind)(**values).save_pretrained(tmp_path)
    read = transformers.AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    wanted = own_output(model, read, HF_CLASSES[name][2], processor == "another size")
    assert_same(load_model(f"hf:{tmp_path}", check=False), wanted)


def test_towers_of_two_tower_models(transformers, tmp_path):
    vision = {key: value for key, value in SHAPE.items() if key != "num_labels"}
    text = {
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 60,
    }
    for name in ("CLIP", "Siglip"):
        tower = getattr(transformers, f"{name}VisionConfig")(**vision)
        words = getattr(transformers, f"{name}TextConfig")(**text)
        both = getattr(transformers, f"{name}Config").from_text_vision_configs(words, tower)
        model = shaken(getattr(transformers, f"{name}Model")(both))
        folder = tmp_path / name
        model.save_pretrained(folder)
        transformers.SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
        read = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
        with torch.inference_mode():
            wanted = model.get_image_features(read(images=PHOTOS, return_tensors="pt")["pixel_values"])
        assert_same(load_model(f"hf:{folder}", check=False), wanted)


TORCHVISION = {
    "ViT": lambda models: models.VisionTransformer(32, 8, 2, 2, 128, 256, num_classes=5),
    "Swin": lambda models: models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=5),
}


@pytest.mark.parametrize(
    ("kind", "wrapper"),
    [
        pytest.param(kind, wrapper, marks=() if j % 8 == i else pytest.mark.slow, id=f"{kind}, {wrapper}")
        for i, kind in enumerate(TORCHVISION)
        for j, wrapper in enumerate(WRAPPERS)
    ],
)
def test_files_of_torchvision(torchvision_operators, kind, wrapper, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    model = shaken(TORCHVISION[kind](torchvision.models))
    transform = torchvision.transforms._presets.ImageClassification(crop_size=32, resize_size=36)
    with torch.inference_mode():
        wanted = model(torch.stack([transform(photo) for photo in PHOTOS]))
    path = WRAPPERS[wrapper](model.state_dict(), tmp_path)
    assert_same(load_model(path, check=False, image_size=32), wanted)


def test_there_are_sixty_and_more():
    count = len(TIMM_CASES) + len(HF_CASES) + len(TORCHVISION) * len(WRAPPERS)
    default = sum(not case.marks for case in TIMM_CASES + HF_CASES)
    assert count >= 600
    assert default >= 60
    assert isinstance(find("vit_tiny_patch16_224").preprocessing, Preprocessing)
