"""Every choice the quantizer has, by name: the product's own, the paper's, and the baselines between."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from p2vit.errors import ModelError, P2vitError, did_you_mean
from p2vit.numerics.lookup import TABLE_CHANNELS
from p2vit.text import is_number

Scales = Literal["pot", "ceil", "floor", "nearest", "float"]
Criterion = Literal["block", "tensor", "range"]
Smoothing = Literal["channel", "alpha", "none"]
Softmax = Literal["linear", "log2", "log2-probability", "uniform-probability"]
#: Up to this width a weight's rounding is what a model's error consists of.
NARROW_BITS = 6


@dataclass(frozen=True)
class QuantConfig:
    """How a float model is quantized.

    Attributes:
        weight_bits: Width of every weight that ``layer_bits`` does not name, 2 to 8.
        layer_bits: Layer name (``blocks.3.mlp.fc1``) → width, for mixed precision; a name that the model does not
            have is refused when quantizing starts (:func:`p2vit.quant.names.check_widths`).
        residual_bits: 16: one exponent for the whole stream; 8: one per channel and add (the paper's PTF, here with
            powers of two).
        scales: How a scale is brought to a power of two: ``pot`` starts at the smallest power of two that covers the
            range and lets ``criterion`` choose; ``ceil``, ``floor`` and ``nearest`` round the real-valued scale;
            ``float`` leaves it real: no integer program comes of it, it is the baseline that is only simulated.
        criterion: What ``pot`` minimises among the candidates: the error of the half block's output (``block``), the
            tensor's own squared error (the paper's, ``tensor``), or nothing: the range decides (``range``).
        smoothing: LayerNorm outputs get an exponent per channel that covers the channel's range (``channel``), the
            paper's factors with exponents 0.35 and 0.5 rounded to powers of two on one scale (``alpha``), or one
            exponent (``none``).
        channel_exponents: Exponents per channel for q, k, v and the attention output.
        separate_qkv: An exponent each for q, k and v instead of one for all.
        weight_channels: An exponent per output channel instead of one per layer.
        weight_rounding: ``gptq`` compensates each weight's rounding error in those not yet rounded; ``nearest``.
        weight_target: What GPTQ rounds towards: the layer's own output on the quantized model's inputs (``own``), or
            what the float model has at the same place, so that a layer also makes good what those before it got
            wrong (``float``); ``auto`` is ``float`` where some layer has at most 6 bits: there is much to make good,
            and at 8 bits the calibration photos' own chance would weigh more.
        bias_correction: Give the mean error of a layer's output back to its bias.
        gelu_offset: Ranges of the GELU's input and output need not be symmetric; biases absorb the offsets.
        table_channels: Hidden channels that share a table of the activation, where that divides their number; 0:
            all.
        softmax: ``linear`` 8-bit or ``log2`` 4-bit codes relative to the row's maximum; the two ``-probability`` forms
            are relative to 1 and only simulated: the paper's and the uniform one.
        guard_photos: Synthetic photos beside the calibration photos, see :mod:`p2vit.quant.synthetic_photos`.
        head_bits: Width of patch embedding and head weights.
    """

    weight_bits: int = 8
    layer_bits: Mapping[str, int] = field(default_factory=dict)
    residual_bits: int = 16
    scales: Scales = "pot"
    criterion: Criterion = "block"
    smoothing: Smoothing = "channel"
    channel_exponents: bool = True
    separate_qkv: bool = True
    weight_channels: bool = True
    weight_rounding: Literal["gptq", "nearest"] = "gptq"
    weight_target: Literal["auto", "own", "float"] = "auto"
    bias_correction: bool = True
    gelu_offset: bool = True
    table_channels: int = TABLE_CHANNELS
    softmax: Softmax = "linear"
    guard_photos: int = 4
    head_bits: int = 8
    class_share: float = 0.05
    last_share: float = 0.9

    @property
    def integer(self) -> bool:
        """Whether an integer program can come of it."""
        return self.scales != "float" and self.softmax in ("linear", "log2")

    def check_integer(self) -> None:
        """See that an integer program can come of it.

        Raises:
            ModelError: it is only simulated.
        """
        if not self.integer:
            raise ModelError(
                f"scales {self.scales!r} with softmax {self.softmax!r} have no integer program; they are a baseline "
                "for `p2vit ablate`. Choose a method with power-of-two scales, e.g. --method p2vit"
            )

    @property
    def aims_at_float(self) -> bool:
        """Whether rounding needs the float model's stream beside the quantized model's."""
        if self.weight_rounding != "gptq" or not self.bias_correction:
            return False
        if self.weight_target == "auto":
            return min([self.weight_bits, *self.layer_bits.values()]) <= NARROW_BITS
        return self.weight_target == "float"

    def bits_of(self, layer: str) -> int:
        """Weight width of a layer."""
        return self.layer_bits.get(layer, self.weight_bits)


OURS = QuantConfig()
PAPER = QuantConfig(
    criterion="tensor",
    smoothing="alpha",
    channel_exponents=False,
    separate_qkv=False,
    weight_channels=False,
    weight_rounding="nearest",
    bias_correction=False,
    gelu_offset=False,
    softmax="log2-probability",
    residual_bits=8,
    guard_photos=0,
)
_NAIVE = replace(
    PAPER,
    criterion="range",
    smoothing="none",
    softmax="uniform-probability",
    weight_channels=True,
    separate_qkv=True,
)

#: Methods by the name that ``--method`` takes.
METHODS: dict[str, QuantConfig] = {
    "p2vit": OURS,
    "p2vit-log2": replace(OURS, softmax="log2"),
    "p2vit-residual8": replace(OURS, residual_bits=8),
    "p2vit-float-scales": replace(OURS, scales="float"),
    "paper": PAPER,
    "naive-ceil": replace(_NAIVE, scales="ceil"),
    "naive-floor": replace(_NAIVE, scales="floor"),
    "naive-nearest": replace(_NAIVE, scales="nearest"),
    "naive-float": replace(_NAIVE, scales="float"),
}

#: The ablation: our method with one piece taken away.
WITHOUT: dict[str, QuantConfig] = {
    "without the block criterion (range only)": replace(OURS, criterion="range"),
    "with the tensor's own error as criterion": replace(OURS, criterion="tensor"),
    "without smoothing (one exponent per LayerNorm output)": replace(OURS, smoothing="none"),
    "with the paper's smoothing": replace(OURS, smoothing="alpha"),
    "without exponents per channel in attention": replace(OURS, channel_exponents=False),
    "without weight exponents per channel": replace(OURS, weight_channels=False),
    "without error-compensating weight rounding": replace(OURS, weight_rounding="nearest"),
    "without bias correction": replace(OURS, bias_correction=False),
    "without GELU offsets": replace(OURS, gelu_offset=False),
    "with one table of the activation for all channels": replace(OURS, table_channels=0),
    "without synthetic photos beside the calibration photos": replace(OURS, guard_photos=0),
    "with 8-bit softmax relative to 1": replace(OURS, softmax="uniform-probability"),
    "with the paper's log2 softmax relative to 1": replace(OURS, softmax="log2-probability"),
}


def method(name: str) -> QuantConfig:
    """The configuration of a method's name.

    Raises:
        P2vitError: no such method; says which there are.
    """
    if name in METHODS:
        return METHODS[name]
    raise P2vitError(
        f"--method {name!r} is unknown.{did_you_mean(name, METHODS)} Allowed: {', '.join(METHODS)}"
    )


def parse_bits(text: str) -> int:
    """Weight width from ``w8a8``, ``w4a8``, ``w6a8`` ...

    Raises:
        P2vitError: anything else; activations have 8 bits.
    """
    lowered = text.lower()
    if (
        lowered.startswith("w")
        and lowered.endswith("a8")
        and is_number(lowered[1:-2])
        and 2 <= int(lowered[1:-2]) <= 8
    ):
        return int(lowered[1:-2])
    raise P2vitError(f"--bits {text!r} is not understood; allowed are w2a8 to w8a8 (activations have 8 bits)")
