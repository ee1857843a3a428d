"""From what people type to a workload."""

from p2vit.accel.problems import AccelError, did_you_mean
from p2vit.accel.workload import Workload
from p2vit.accel.workload_swin import SwinConfig, swin_workload
from p2vit.accel.workload_vit import Precision, vit_workload
from p2vit.models.config import ViTConfig

# Widths from the DeiT (Touvron et al., 2021, table 1), ViT (Dosovitskiy et al., 2021, table 1) and DINOv2 papers.
VITS = {
    config.name: config
    for config in (
        ViTConfig("deit_tiny_patch16_224", embed_dim=192, heads=3, mlp_dim=768),
        ViTConfig("deit_small_patch16_224", embed_dim=384, heads=6, mlp_dim=1536),
        ViTConfig("deit_base_patch16_224", embed_dim=768, heads=12, mlp_dim=3072),
        ViTConfig("vit_small_patch16_224", embed_dim=384, heads=6, mlp_dim=1536),
        ViTConfig("vit_base_patch16_224", embed_dim=768, heads=12, mlp_dim=3072),
        ViTConfig("vit_large_patch16_224", embed_dim=1024, heads=16, mlp_dim=4096, depth=24),
        ViTConfig(
            "vit_small_patch14_dinov2", patch_size=14, embed_dim=384, heads=6, mlp_dim=1536, num_classes=0
        ),
    )
}
# Liu et al., ICCV 2021, table 7.
SWINS = {
    config.name: config
    for config in (
        SwinConfig("swin_tiny_patch4_window7_224", 96, (2, 2, 6, 2), (3, 6, 12, 24)),
        SwinConfig("swin_small_patch4_window7_224", 96, (2, 2, 18, 2), (3, 6, 12, 24)),
        SwinConfig("swin_base_patch4_window7_224", 128, (2, 2, 18, 2), (4, 8, 16, 32)),
    )
}


def known_models() -> list[str]:
    """Names that `workload_of` takes."""
    return [*VITS, *SWINS]


def workload_of(model: str, precision: Precision | None = None) -> Workload:
    """The workload of an architecture name; no weights are needed.

    Args:
        model: A timm name, or ``random:NAME`` (the weights do not matter here).
        precision: Bits; default 8-bit weights and log2 attention.

    Returns:
        Every operation on one image.

    Raises:
        AccelError: if the name is unknown; the nearest known one is suggested.
    """
    name = model.removeprefix("random:")
    if name in VITS:
        return vit_workload(VITS[name], precision)
    if name in SWINS:
        return swin_workload(SWINS[name], precision)
    raise AccelError("model", [f"unknown architecture {model!r}; {did_you_mean(name, known_models())}"])
