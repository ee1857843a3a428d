"""Published ImageNet-1k top-1 of the P²-ViT paper and of FQ-ViT, each with its source.

The accuracy tables of the P²-ViT paper were not available. Its rows here come from its motivation table, which rounds
the scales of FQ-ViT to powers of two by naive rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from p2vit.errors import P2vitError, did_you_mean

#: Name of a model in tables → timm name of the weights with that float accuracy.
MODELS = {
    "DeiT-T": "deit_tiny_patch16_224.fb_in1k",
    "DeiT-S": "deit_small_patch16_224.fb_in1k",
    "DeiT-B": "deit_base_patch16_224.fb_in1k",
    "ViT-B": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "ViT-L": "vit_large_patch16_224.augreg_in21k_ft_in1k",
    "Swin-T": "swin_tiny_patch4_window7_224.ms_in1k",
    "Swin-S": "swin_small_patch4_window7_224.ms_in1k",
    "Swin-B": "swin_base_patch4_window7_224.ms_in1k",
}
FLOAT = "float"
CHECKPOINTS = "the checkpoints' own (timm, official repositories); a range where they differ"
FQ_VIT = "FQ-ViT's README; float scales"
PAPER = (
    "arXiv 2405.19915, motivation table, from fragments: which model a column is, is inferred from its size"
)


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes:
        model: A key of `MODELS`.
        method: Name that the authors give to the method.
        bits: Bits of weights/activations/attention; empty for float.
        top1: ImageNet-1k top-1 in percent.
        top1_to: Upper end of a range, if sources differ.
        source: Source of the figure.
    """

    model: str
    method: str
    bits: str
    top1: float
    source: str
    top1_to: float | None = None


def _rows(
    method: str, bits: str, source: str, figures: Mapping[str, float | tuple[float, float]]
) -> Iterator[Published]:
    """Yield the figures of one row of a table, one per model."""
    for model, value in figures.items():
        low, high = value if isinstance(value, tuple) else (value, None)
        yield Published(model, method, bits, low, source, high)


def _deit(tiny: float, small: float, base: float) -> dict[str, float]:
    """Return one row of the paper's motivation table, which has three columns."""
    return {"DeiT-T": tiny, "DeiT-S": small, "DeiT-B": base}


PUBLISHED: tuple[Published, ...] = (
    *_rows(
        FLOAT,
        "",
        CHECKPOINTS,
        {
            "DeiT-T": 72.21,
            "DeiT-S": 79.85,
            "DeiT-B": (81.80, 81.85),
            "ViT-B": (84.53, 84.54),
            "ViT-L": 85.81,
            "Swin-T": 81.35,
            "Swin-S": (83.20, 83.23),
            "Swin-B": 83.60,
        },
    ),
    *_rows(
        "MinMax",
        "8/8/8",
        FQ_VIT,
        {**_deit(70.94, 75.05, 78.02), "ViT-B": 23.64, "ViT-L": 3.37, "Swin-T": 64.38, "Swin-S": 74.37},
    ),
    *_rows(
        "OMSE",
        "8/8/8",
        FQ_VIT,
        {**_deit(71.30, 75.03, 79.57), "ViT-B": 73.39, "Swin-T": 79.30, "Swin-S": 78.96},
    ),
    *_rows(
        "FQ-ViT",
        "8/8/8",
        FQ_VIT,
        {
            **_deit(71.61, 79.17, 81.20),
            "ViT-B": 83.31,
            "ViT-L": 85.03,
            "Swin-T": 80.51,
            "Swin-S": 82.71,
            "Swin-B": 82.97,
        },
    ),
    *_rows(
        "FQ-ViT",
        "8/8/4",
        FQ_VIT,
        {
            **_deit(71.07, 78.40, 80.85),
            "ViT-B": 82.68,
            "ViT-L": 84.89,
            "Swin-T": 80.04,
            "Swin-S": 82.47,
            "Swin-B": 82.38,
        },
    ),
    *_rows("FQ-ViT, scales rounded up to 2^k", "8/8/4", PAPER, _deit(69.82, 76.80, 79.36)),
    *_rows("FQ-ViT, scales rounded down to 2^k", "8/8/4", PAPER, _deit(68.29, 73.26, 80.09)),
    *_rows("FQ-ViT, as the paper ran it", "4/8/4", PAPER, _deit(65.63, 76.07, 79.65)),
    *_rows("FQ-ViT, scales rounded to the nearest 2^k", "4/8/4", PAPER, _deit(63.39, 71.94, 78.01)),
    *_rows("FQ-ViT, scales rounded up to 2^k", "4/8/4", PAPER, _deit(62.46, 71.49, 76.66)),
    *_rows("FQ-ViT, scales rounded down to 2^k", "4/8/4", PAPER, _deit(61.49, 69.04, 78.17)),
)


def choose_models(patterns: tuple[str, ...]) -> dict[str, str]:
    """Return the models to measure.

    Args:
        patterns: Shell-style patterns of the keys of `MODELS` or of timm names, in any case. Other names are models
            without published figures. Empty for all of `MODELS`.

    Returns:
        Name of the model in tables → name for ``p2vit quantize``.

    Raises:
        P2vitError: A pattern matches nothing.
    """
    from fnmatch import fnmatchcase

    chosen: dict[str, str] = {}
    for pattern in patterns or ("*",):
        lower = pattern.lower()
        found = {
            label: name
            for label, name in MODELS.items()
            if any(fnmatchcase(form.lower(), lower) for form in (label, name, name.split(".")[0]))
        }
        if not found and any(sign in pattern for sign in "*?["):
            raise P2vitError(f"--models {pattern}: matches none of {', '.join([*MODELS, *MODELS.values()])}")
        if not found and (near := did_you_mean(pattern, MODELS)):
            raise P2vitError(
                f"--models {pattern}: no such model.{near} Models: {', '.join(MODELS)}, or a timm name"
            )
        chosen |= found or {pattern: pattern}
    return chosen
