"""What the shapes of a file's tensors say about the model, and which known architectures they fit."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.sources.layouts import Layout, find_roots
from p2vit.models.swin_config import SwinConfig

#: More blocks or channels than any ViT has; what is beyond is refused before memory is taken.
MOST_BLOCKS, MOST_CHANNELS = 1000, 1 << 16


@dataclass(frozen=True)
class Facts:
    """Sizes that tensors have, whatever their names.

    Attributes:
        embed_dim: Channels of the residual stream; of a Swin's first stage.
        patch_size: Side of a patch, pixels.
        depth: Blocks of all stages.
        mlp_dim: Hidden channels of the first block's MLP.
        classes: Outputs of the head, 0 without one.
        rows: Position embeddings, 0 without any.
        prefix: Tokens before the patches that the file has: class token, distillation token, registers.
        depths: Blocks of each stage of a Swin.
        heads: Heads of each stage of a Swin.
        window: Side of a Swin's windows.
        swin: Whether it is a Swin.
        pooled: Whether it has SigLIP's pooling head.
        pre_norm: Whether it has CLIP's LayerNorm behind the embedding.
        gated: Whether its MLPs are gated.
    """

    embed_dim: int
    patch_size: int
    depth: int
    mlp_dim: int
    classes: int = 0
    rows: int = 0
    prefix: int = 0
    depths: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    window: int = 0
    swin: bool = False
    pooled: bool = False
    pre_norm: bool = False
    gated: bool = False

    @property
    def grid(self) -> int | None:
        """Patches along a side of the square photo that the positions are for; None where they are for none."""
        for tokens in dict.fromkeys((self.prefix, min(1, self.prefix), 0)):
            patches = self.rows - tokens
            if patches > 0 and math.isqrt(patches) ** 2 == patches:
                return math.isqrt(patches)
        return None


def facts_of(state: Mapping[str, Tensor], layout: Layout, source: str) -> Facts:
    """Read the sizes off a state dict.

    Args:
        state: Names as the layout has them -> tensors.
        layout: Of the names.
        source: Named in errors.

    Returns:
        The sizes.

    Raises:
        ModelError: a tensor that says them is not there, or has another number of dimensions than it should.
    """
    names = {_bare(name, layout): value for name, value in state.items()}
    patch = _tensor(names, layout.patch, 2 if layout.kind == "own" else 4, source)
    numbers = {tuple(map(int, found.groups())) for name in names if (found := re.match(layout.block, name))}
    first = next((name for name in layout.hidden if name in names), "")
    hidden = names.get(first)
    if hidden is None or hidden.ndim != 2:
        raise ModelError(f"{source}: not a whole model: {layout.hidden[0]} is not there, or is no matrix")
    head = next((names[f"{name}.weight"] for name in layout.head if f"{name}.weight" in names), None)
    patch_size = math.isqrt(patch.shape[1] // 3) if layout.kind == "own" else patch.shape[-1]
    swin = _swin_facts(names, numbers, layout, source) if layout.swin else {}
    facts = Facts(
        embed_dim=len(patch),
        patch_size=patch_size,
        depth=len(numbers),
        mlp_dim=_hidden(names, first),
        gated=_gated(names, first),
        classes=0 if head is None else len(head),
        rows=_rows(names.get(layout.positions), len(patch)),
        prefix=_prefix(names, layout),
        pooled=any(
            mark in name for name in names for mark in ("attn_pool.", "head.probe", "attention_pool.")
        ),
        pre_norm=any(name.startswith(("norm_pre.", "pre_layrnorm.", "pre_norm.")) for name in names),
        swin=layout.swin,
        **swin,
    )
    if not 0 < facts.embed_dim <= MOST_CHANNELS or facts.depth > MOST_BLOCKS or not facts.patch_size:
        raise ModelError(
            f"{source}: {facts.depth} blocks of {facts.embed_dim} channels are no ViT's; the file is damaged, or "
            "made by hand"
        )
    return facts


def of_config(config: ModelConfig) -> Facts:
    """The sizes that an architecture's tensors have.

    Args:
        config: The shape.
    """
    shared = (config.embed_dim, config.patch_size, config.depth, config.blocks[0].mlp_dim, config.num_classes)
    if isinstance(config, SwinConfig):
        windows = config.blocks[0].windows
        assert windows is not None
        side = config.window if isinstance(config.window, int) else config.window[0][0]
        return Facts(*shared, depths=config.depths, heads=config.heads, window=side, swin=True)
    return Facts(
        *shared,
        rows=config.tokens,
        prefix=config.prefix_tokens,
        pooled=config.pool == "attention",
        pre_norm=config.pre_norm,
        gated=config.gated_mlp,
    )


#: Field of `Facts` → what people call it. The others may differ without another architecture being meant.
COMPARED = {
    "embed_dim": "channels",
    "patch_size": "patch size",
    "depth": "blocks",
    "mlp_dim": "channels in the MLP",
    "depths": "blocks per stage",
    "heads": "heads per stage",
    "window": "window",
    "prefix": "tokens before the patches",
    "pooled": "attention pooling",
    "pre_norm": "LayerNorm behind the embedding",
    "gated": "gated MLP",
}


def differences(facts: Facts, config: ModelConfig) -> list[str]:
    """In what a file's sizes are not an architecture's.

    Args:
        facts: Of the file.
        config: Of the architecture.

    Returns:
        Texts such as ``channels are 192, not 384``; empty where they agree.
    """
    wanted = of_config(config)
    if facts.swin != wanted.swin:
        return [f"its tensors are {'a' if facts.swin else 'no'} Swin's"]
    return [
        f"{COMPARED[field.name]}: {_say(getattr(facts, field.name))}, not {_say(getattr(wanted, field.name))}"
        for field in fields(Facts)
        if field.name in COMPARED and getattr(facts, field.name) != getattr(wanted, field.name)
    ]


def fitting(facts: Facts) -> list[str]:
    """Known architectures whose sizes are those of a file.

    Args:
        facts: Of the file.

    Returns:
        Names; those made for as many patches as the file has positions, where there are any.
    """
    fit = [name for name, known in ARCHITECTURES.items() if not differences(facts, known.config)]
    # timm has a name of its own for biases, which the shape does not depend on.
    fit = [name for name in fit if not (name.endswith("_qkvb") and name.removesuffix("_qkvb") in fit)]
    exact = [
        name
        for name in fit
        if isinstance(config := ARCHITECTURES[name].config, ViTConfig) and facts.grid == config.grid[0]
    ]
    return exact or fit


def check_fit(facts: Facts, config: ModelConfig, source: str) -> None:
    """Refuse a file whose sizes are not the architecture's, before a tensor is touched.

    Args:
        facts: Of the file.
        config: Of the architecture.
        source: Named in errors.

    Raises:
        ModelError: says what disagrees and which architectures fit.
    """
    if not (found := differences(facts, config)):
        return
    known = fitting(facts)
    fit = f"These fit: {some(known, 8)}" if known else "None that 'p2vit list' shows fits"
    raise ModelError(f"{source} does not fit {config.name}: {'; '.join(found)}; name another --arch. {fit}")


def check_sizes(state: Mapping[str, Tensor], config: ModelConfig, said_by: str, source: str) -> None:
    """Refuse tensors that are not of the sizes that a configuration says, before memory is taken for these.

    Args:
        state: Names as a known layout has them -> tensors.
        config: The shape that the configuration says.
        said_by: What says it, for the message.
        source: Named in errors.

    Raises:
        ModelError: says what disagrees, or that there is no model in the tensors.
    """
    roots = [root for root in find_roots(state) if not root.prefix]
    if not roots:
        raise ModelError(
            f"{source}: its weights are no encoder's that is known; they begin with {some(sorted(state), 3)}"
        )
    facts, wanted = facts_of(state, roots[0].layout, source), of_config(config)
    sizes = ("swin", "embed_dim", "patch_size", "depth", "mlp_dim", "depths", "heads", "window")
    found = [
        f"{COMPARED.get(name, name)}: {_say(getattr(facts, name))} in the weights, {_say(getattr(wanted, name))}"
        for name in sizes
        if getattr(facts, name) != getattr(wanted, name)
    ]
    if found:
        raise ModelError(f"{said_by} is not of these weights: {'; '.join(found)} in the configuration")


def _say(value: object) -> str:
    """A size as people read it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _bare(name: str, layout: Layout) -> str:
    """A name as an encoder without a head has it."""
    return next((name.removeprefix(word) for word in layout.inner if name.startswith(word)), name)


def _tensor(names: Mapping[str, Tensor], name: str, dimensions: int, source: str) -> Tensor:
    """A tensor that must be there, with so many dimensions and values."""
    if name not in names:
        raise ModelError(f"{source}: not a whole model: {name} is missing")
    value = names[name]
    if value.ndim != dimensions or not value.numel():
        raise ModelError(f"{source}: {name} is {list(value.shape)}, where {dimensions} dimensions are needed")
    return value


def _hidden(names: Mapping[str, Tensor], first: str) -> int:
    """Hidden channels of an MLP; a gated one may have gate and linear branch in one tensor.

    Args:
        names: Names -> tensors.
        first: Name of the weight of its first linear.
    """
    rows = len(names[first])
    return rows // 2 if _is_packed(names, first) else rows


def _gated(names: Mapping[str, Tensor], first: str) -> bool:
    """Whether an MLP has a gate: a tensor of its own, or half of the first linear."""
    beside = first.replace("up_proj", "gate_proj").replace("fc1.", "up.")
    return "fc1_g" in first or (beside != first and beside in names) or _is_packed(names, first)


def _is_packed(names: Mapping[str, Tensor], first: str) -> bool:
    """Whether gate and linear branch are one tensor: it then has twice the rows that the last linear reads."""
    last = first.replace("weights_in", "weights_out").replace("fc1.", "fc2.")
    second = None if last == first else names.get(last)
    return second is not None and second.ndim == 2 and len(names[first]) == 2 * second.shape[1]


def _rows(positions: Tensor | None, channels: int) -> int:
    """Number of position embeddings."""
    return 0 if positions is None or not channels else positions.numel() // channels


def _prefix(names: Mapping[str, Tensor], layout: Layout) -> int:
    """Tokens before the patches that a file has."""
    if layout.kind == "own":
        return len(names["prefix"]) if "prefix" in names and names["prefix"].ndim else 0
    count = int(layout.class_token in names)
    for name in ("dist_token", "embeddings.distillation_token"):
        count += int(name in names)
    for name in ("reg_token", "register_tokens", "embeddings.register_tokens"):
        count += names[name].shape[-2] if name in names and names[name].ndim >= 2 else 0
    return count


def _swin_facts(
    names: Mapping[str, Tensor], numbers: set[tuple[int, ...]], layout: Layout, source: str
) -> dict[str, Any]:
    """Blocks and heads of each stage, and the window."""
    stages = sorted({number[0] for number in numbers})
    depths = tuple(sum(number[0] == stage for number in numbers) for stage in stages)
    first = layout.anchor.removesuffix(layout.table)
    heads, side = [], 0
    for stage in stages:
        name = re.sub(r"\d+", str(stage), first, count=1) + layout.table
        table = _tensor(names, name, 2, source)
        heads.append(table.shape[1])
        side = side or (math.isqrt(len(table)) + 1) // 2
    return {"depths": depths, "heads": tuple(heads), "window": side}
