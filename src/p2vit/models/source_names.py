"""Family of an architecture, and the names of its weights in timm and on the Hugging Face Hub."""

import re

#: Pattern of an architecture's name → its family. The first match counts.
FAMILIES = (
    (r"deit3_", "deit3"),
    (r"deit_", "deit"),
    (r"swin", "swin"),
    (r"vit_.*_reg\d*_dinov2", "dinov2-registers"),
    (r"vit_.*_dinov2", "dinov2"),
    (r"vit_.*_dinov3", "dinov3"),
    (r"eva02_", "eva02"),
    (r"beit", "beit"),
    (r"vit_pe_", "perception-encoder"),
    (r"vit_.*_siglip", "siglip"),
    (r"vit_.*_clip", "clip"),
    (r"vit_", "vit"),
)
#: Pattern of an architecture's name → the repository on the Hub of those who trained it.
REPOSITORIES = (
    (r"deit_(tiny|small|base)_patch16_224", r"facebook/deit-\1-patch16-224"),
    (r"deit_base_patch16_384", r"facebook/deit-base-patch16-384"),
    (r"deit_(tiny|small|base)_distilled_patch16_(224|384)", r"facebook/deit-\1-distilled-patch16-\2"),
    (r"vit_(base|large)_patch16_(224|384)", r"google/vit-\1-patch16-\2"),
    (r"vit_(small|base|large)_patch14_dinov2(?:_224)?", r"facebook/dinov2-\1"),
    (r"vit_(small|base|large)_patch14_reg4_dinov2(?:_224)?", r"facebook/dinov2-with-registers-\1"),
    (r"vit_(small|base|large)_patch16_dinov3(?:_qkvb)?", r"facebook/dinov3-vit\1-pretrain-lvd1689m"),
    (r"vit_base_patch(16|32)_clip_quickgelu_224", r"openai/clip-vit-base-patch\1"),
    (r"vit_base_patch16_siglip_(224|256|384|512)", r"google/siglip-base-patch16-\1"),
    (r"vit_base_patch32_siglip_256", r"google/siglip2-base-patch32-256"),
    (r"vit_large_patch16_siglip_512", r"google/siglip2-large-patch16-512"),
    (r"vit_so400m_patch16_siglip_(256|384|512)", r"google/siglip2-so400m-patch16-\1"),
    (r"vit_large_patch16_siglip_(256|384)", r"google/siglip-large-patch16-\1"),
    (r"vit_so400m_patch14_siglip_224", r"google/siglip-so400m-patch14-224"),
    (r"vit_so400m_patch14_siglip_378", r"google/siglip-so400m-patch14-384"),
    (r"beit_(base|large)_patch16_(224|384|512)", r"microsoft/beit-\1-patch16-\2"),
    (r"swin_(tiny|small|base|large)_patch4_window7_224", r"microsoft/swin-\1-patch4-window7-224"),
    (r"swin_(base|large)_patch4_window12_384", r"microsoft/swin-\1-patch4-window12-384"),
)
#: Names that only p2vit has: in timm, they are another name with an image size.
RESIZED = re.compile(r"(.*_dinov2)_224")


def family(name: str) -> str:
    """Return the family of an architecture, or the name itself if it belongs to no known family."""
    return next((found for pattern, found in FAMILIES if re.match(pattern, name)), name)


def sources(name: str) -> dict[str, str]:
    """Say where the weights of an architecture are available.

    Args:
        name: Name of an architecture.

    Returns:
        Under ``timm`` and ``hf``, what a user types to get them; empty for this project's own models.
    """
    if family(name) == name:
        return {}
    resized = RESIZED.fullmatch(name)
    found = {"timm": f"{resized[1]} --image-size 224" if resized else name}
    for pattern, repository in REPOSITORIES:
        if match := re.fullmatch(pattern, name):
            found["hf"] = f"hf:{match.expand(repository)}" + (" --image-size 224" if resized else "")
    return found
