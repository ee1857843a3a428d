"""Options of quantization, and the named methods: ours, the paper's, the baselines and the ablations."""

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
#: Widths up to this one are narrow: weight rounding then causes most of the model's error.
NARROW_BITS = 6


@dataclass(frozen=True)
class QuantConfig:
    """How a float model is quantized.

    Attributes:
        weight_bits: Weight width in bits, 2 to 8, of every layer that ``layer_bits`` does not name.
        layer_bits: Layer name (``blocks.3.mlp.fc1``) → weight width, for mixed precision. A name that the model does
            not have is an error (:func:`p2vit.quant.names.check_widths`).
        residual_bits: Width of the residual stream. 16: one exponent for the whole stream. 8: one exponent per channel
            and add (the paper's PTF, here with powers of two).
        scales: How a scale becomes a power of two. ``pot`` starts at the smallest power of two that covers the range,
            and ``criterion`` chooses among candidates. ``ceil``, ``floor`` and ``nearest`` round the real-valued scale.
            ``float`` keeps the real-valued scale: a baseline that is only simulated and has no integer program.
        criterion: What ``pot`` minimises. ``block``: the error of the half block's output. ``tensor``: the squared
            error of the tensor itself (the paper's). ``range``: nothing; the range decides.
        smoothing: Exponents of LayerNorm outputs. ``channel``: one per channel, which covers the channel's range.
            ``alpha``: the paper's factors with exponents 0.35 and 0.5, rounded to powers of two, on one scale.
            ``none``: one exponent for all channels.
        channel_exponents: Use an exponent per channel for q, k, v and the attention output.
        separate_qkv: Use separate exponents for q, k and v instead of one for all three.
        weight_channels: Use a weight exponent per output channel instead of one per layer.
        weight_rounding: ``gptq`` compensates each weight's rounding error in the weights not yet rounded; ``nearest``
            rounds each weight alone.
        weight_target: Output that GPTQ reproduces. ``own``: the layer's own output on the quantized model's inputs.
            ``float``: the float model's values at the same place, which also corrects errors of earlier layers.
            ``auto``: ``float`` if any layer has at most 6 bits, otherwise ``own``, because at 8 bits overfitting to
            the calibration photos costs more than the correction gains.
        bias_correction: Subtract the mean error of a layer's output from its bias.
        balance: Raise the exponents of a layer's input channels where rounding the weights costs more than rounding
            the input, see :mod:`p2vit.quant.balance`.
        gelu_offset: Allow asymmetric grids for the activation's input and output; biases absorb the offsets.
        table_channels: Hidden channels that share one activation table, if this divides their number. 0: one table for
            all channels.
        softmax: Form of the softmax codes. ``linear`` (8 bits) and ``log2`` (4 bits) are relative to the row's maximum;
            ``auto`` chooses one of them for each block, see :mod:`p2vit.quant.softmax_form`.
            ``log2-probability`` (the paper's) and ``uniform-probability`` are relative to 1 and only simulated.
        guard_photos: Number of synthetic photos added to the calibration photos, see
            :mod:`p2vit.quant.synthetic_photos`.
        head_bits: Weight width of the patch embedding and the head.
        class_share: Share of the class token in a block's statistics, 0 to 1; the other tokens share the rest.
        last_share: The same in the last block of a model whose head reads the class token.
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
    balance: bool = True
    gelu_offset: bool = True
    table_channels: int = TABLE_CHANNELS
    softmax: Softmax | Literal["auto"] = "auto"
    guard_photos: int = 4
    head_bits: int = 8
    class_share: float = 0.05
    last_share: float = 0.9

    @property
    def integer(self) -> bool:
        """Whether the method can be lowered to an integer program."""
        return self.scales != "float" and self.softmax in ("auto", "linear", "log2")

    def check_integer(self) -> None:
        """Check that the method can be lowered to an integer program.

        Raises:
            ModelError: The method can only be simulated.
        """
        if not self.integer:
            raise ModelError(
                f"scales {self.scales!r} with softmax {self.softmax!r} have no integer program; they are a baseline "
                "for `p2vit ablate`. Choose a method with power-of-two scales, e.g. --method p2vit"
            )

    @property
    def aims_at_float(self) -> bool:
        """Whether weights are rounded to reproduce the float model's residual stream."""
        if self.weight_rounding != "gptq" or not self.bias_correction:
            return False
        if self.weight_target == "auto":
            return min([self.weight_bits, *self.layer_bits.values()]) <= NARROW_BITS
        return self.weight_target == "float"

    @property
    def first_softmax(self) -> Softmax:
        """Form of the softmax codes before one is chosen for the block."""
        return "linear" if self.softmax == "auto" else self.softmax

    def bits_of(self, layer: str) -> int:
        """Return the weight width of a layer in bits."""
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
    balance=False,
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
    "p2vit-linear": replace(OURS, softmax="linear"),
    "p2vit-log2": replace(OURS, softmax="log2"),
    "p2vit-residual8": replace(OURS, residual_bits=8),
    "p2vit-float-scales": replace(OURS, scales="float"),
    "paper": PAPER,
    "naive-ceil": replace(_NAIVE, scales="ceil"),
    "naive-floor": replace(_NAIVE, scales="floor"),
    "naive-nearest": replace(_NAIVE, scales="nearest"),
    "naive-float": replace(_NAIVE, scales="float"),
}

#: The ablation: our method with one part removed or replaced.
WITHOUT: dict[str, QuantConfig] = {
    "without the block criterion (range only)": replace(OURS, criterion="range"),
    "with the tensor's own error as criterion": replace(OURS, criterion="tensor"),
    "without smoothing (one exponent per LayerNorm output)": replace(OURS, smoothing="none"),
    "with the paper's smoothing": replace(OURS, smoothing="alpha"),
    "without exponents per channel in attention": replace(OURS, channel_exponents=False),
    "without weight exponents per channel": replace(OURS, weight_channels=False),
    "without error-compensating weight rounding": replace(OURS, weight_rounding="nearest"),
    "without bias correction": replace(OURS, bias_correction=False),
    "without balance between inputs and weights": replace(OURS, balance=False),
    "without GELU offsets": replace(OURS, gelu_offset=False),
    "with one table of the activation for all channels": replace(OURS, table_channels=0),
    "without synthetic photos beside the calibration photos": replace(OURS, guard_photos=0),
    "with 8-bit softmax codes in every block": replace(OURS, softmax="linear"),
    "with 8-bit softmax relative to 1": replace(OURS, softmax="uniform-probability"),
    "with the paper's log2 softmax relative to 1": replace(OURS, softmax="log2-probability"),
}


def method(name: str) -> QuantConfig:
    """Return the configuration of a method.

    Args:
        name: A key of ``METHODS``.

    Raises:
        P2vitError: There is no method of that name. The message lists the names.
    """
    if name in METHODS:
        return METHODS[name]
    raise P2vitError(
        f"--method {name!r} is unknown.{did_you_mean(name, METHODS)} Allowed: {', '.join(METHODS)}"
    )


def parse_bits(text: str) -> int:
    """Read the weight width, 2 to 8 bits, from ``w8a8``, ``w4a8`` and so on.

    Raises:
        P2vitError: The text is something else. Activations always have 8 bits.
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
