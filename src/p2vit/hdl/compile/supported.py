"""Refuses programs with an operator that no engine of the accelerator executes, before anything else is checked."""

from p2vit.accel.workload.build import KINDS
from p2vit.hdl.compile.errors import require, unfit
from p2vit.numerics import (
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    Multiply,
    Operator,
    Rotary,
    ScoreBias,
    Scores,
)
from p2vit.program.graph import IntegerProgram

#: Operator that no engine executes → the part of a model that needs it.
NEEDED_BY: dict[type[Operator], str] = {
    Rotary: "rotary position embeddings, as in DINOv3 and EVA-02",
    Multiply: "gated MLPs, as in EVA-02",
    GatherTokens: "window partition and patch merging, as in Swin",
    ScoreBias: "relative position bias and window masks, as in Swin and BEiT",
    ConstantTokens: "attention pooling, as in SigLIP",
}
_LEVER = (
    "the accelerator holds ViT, DeiT, CLIP and DINOv2 with attention over all tokens; run this program on another "
    "back-end ('p2vit verify', 'p2vit export'), or cost it on a modelled machine ('p2vit simulate --hw paper')"
)


def require_supported(program: IntegerProgram) -> None:
    """Check that an engine executes every operator.

    Raises:
        UnfitProgramError: An operator has no engine. The message names the first such layer, the operator, the part of
            a model that needs it, and what to do instead.
    """
    for node in program.nodes:
        operator = node.operator
        if isinstance(operator, Scores | AttentionValues):
            require(
                operator.windows == 1,
                node.name,
                f"no engine of the accelerator executes attention within {operator.windows} windows, as in Swin",
                _LEVER,
            )
        if not _executed(operator):
            part = next((text for kind, text in NEEDED_BY.items() if isinstance(operator, kind)), "")
            raise unfit(
                node.name,
                f"no engine of the accelerator executes {type(operator).__name__}"
                + (f" ({part})" if part else ""),
                _LEVER,
            )


def _executed(operator: Operator) -> bool:
    """Return whether an engine executes an operator: every one that has a cost, except those in ``NEEDED_BY``."""
    return type(operator).__name__ in KINDS and not isinstance(operator, tuple(NEEDED_BY))
