"""Ranges of the float model's activations on synthetic photos, which widen the ranges of the calibration photos."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from p2vit.models.canonical import AttentionPool, Block, CanonicalViT
from p2vit.models.layers import merge_heads, rotate, split_heads
from p2vit.quant.activation_grids import Ranges
from p2vit.quant.disk_array import BATCH
from p2vit.quant.fold import normalise, score_factor
from p2vit.quant.workers import Workers

See = Callable[[Tensor], None]


class RangeRecorder:
    """Records ranges by name while a float model runs. Several threads may run the model at the same time.

    Attributes:
        ranges: Name → ranges of all values seen under that name.
    """

    def __init__(self) -> None:
        """Start without ranges."""
        self.ranges: dict[str, Ranges] = {}
        self._hooks = ExitStack()
        self._lock = Lock()

    def __enter__(self) -> "RangeRecorder":
        """Return the recorder itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove all hooks from the model."""
        self._hooks.close()

    def see(self, name: str, x: Tensor) -> None:
        """Add the values of some photos, [B, ..., C], under a name."""
        found = Ranges.of(x)
        with self._lock:
            self.ranges[name] = widened(found, self.ranges, name)

    def inputs(self, module: nn.Module, see: See) -> None:
        """Call ``see`` with the input of a module whenever it runs."""
        self._hooks.enter_context(module.register_forward_pre_hook(lambda _, inputs: see(inputs[0])))

    def outputs(self, module: nn.Module, see: See) -> None:
        """Call ``see`` with the output of a module whenever it runs."""
        self._hooks.enter_context(module.register_forward_hook(lambda _, __, output: see(output)))

    def watch(self, module: Block | AttentionPool, name: str, read: int | None = None) -> None:
        """Record what a block and a pooling head have in common.

        Args:
            module: The block, or the head.
            name: Its name.
            read: Number of tokens that are read after it; None for all. All keys and values are read.
        """

        def see(site: str, x: Tensor) -> None:
            self.see(f"{name}.{site}", x[:, :read])

        factor = score_factor(module.k.out_features // module.heads)[1]
        # 1/√d is part of the folded queries where it is no power of two.
        edges = [("k", module.k, 1.0), *([("q", module.q, factor)] if isinstance(module, Block) else [])]
        for edge, linear, scale in edges:
            self.outputs(
                linear, partial(self.turned, module, f"{name}.{edge}", scale, read if edge == "q" else None)
            )
        self.outputs(module.v, lambda x: self.see(f"{name}.v", x))
        self.inputs(module.proj, lambda x: see("values", x))
        self.outputs(module.proj, lambda x: see("branch1", x))
        self.outputs(module.fc2, lambda x: see("branch2", x))
        self.inputs(module.norm2, lambda x: see("add1", x))
        self.normal(module.norm2, f"{name}.norm2", read)
        self.outputs(module.fc1, lambda x: see("fc1", x))
        self.outputs(module, lambda x: see("add2", x))
        if isinstance(module, Block) and module.up is not None:
            self.outputs(module.up, lambda x: see("up", x))
            self.inputs(module.mlp_norm or module.fc2, lambda x: see("gated", x))
            if module.mlp_norm is not None:
                self.normal(module.mlp_norm, f"{name}.mlp_norm", read)

    def turned(
        self, module: Block | AttentionPool, name: str, scale: float, read: int | None, x: Tensor
    ) -> None:
        """Record queries or keys [B, N, C], and with rotary positions also what they were before."""
        x = x * scale
        if isinstance(module, Block) and module.shape.rotary is not None:
            self.see(f"{name}_linear", x[:, :read])
            x = merge_heads(rotate(split_heads(x, module.heads), module.cosine, module.sine))
        self.see(name, x[:, :read])

    def normal(self, norm: nn.LayerNorm, name: str, read: int | None = None) -> None:
        """Record the output of a LayerNorm without its gain and bias."""
        self.inputs(norm, lambda x: self.see(name, normalise(x, norm.eps)[:, :read]))


def float_ranges(
    model: CanonicalViT, photos: Iterable[NDArray[np.uint8]], workers: Workers, read: int | None = None
) -> dict[str, Ranges]:
    """Run the float model on photos and return the ranges of the activations that get a grid.

    Args:
        model: Float model in canonical form.
        photos: Batches of photos, uint8 [B, H, W, 3].
        workers: Threads that share the work.
        read: Number of tokens, the first ones, that are read after the last block; None for all.

    Returns:
        Name → ranges. The residual stream has the names of :class:`p2vit.quant.pipeline.FloatStatistics`. A block has
        ``blocks.N.norm1`` and ``.norm2`` (without gain and bias), ``.q``, ``.k``, ``.v``, ``.values`` and ``.fc1``;
        with patch merging also ``.merge.norm``. A pooling head has the same names under ``pool``, without ``q``.
        Gated MLPs add ``.up``, ``.gated`` and ``.mlp_norm``, rotary positions ``.q_linear`` and ``.k_linear``.
        ``feature`` is the pooled vector.
    """
    with RangeRecorder() as recorder:
        for index, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            name = f"blocks.{index}"
            last = index == len(model.blocks) - 1
            _watch_block(recorder, block, name, first=index == 0, read=read if last else None)
        recorder.outputs(model.patch_embed, lambda x: recorder.see("tokens", x))
        if model.pre_norm is not None:
            recorder.inputs(model.pre_norm, lambda x: recorder.see("tokens", x))
        if model.attention_pool is not None:
            recorder.normal(model.norm, "pool.norm1")
            recorder.watch(model.attention_pool, "pool")
        batches = [part for batch in photos for part in torch.from_numpy(batch).split(BATCH)]
        for feature in workers.map(lambda x: model.pool(model.encode(x)), batches):
            recorder.see("feature", feature)
    return recorder.ranges


def widened(seen: Ranges, further: Mapping[str, Ranges], name: str) -> Ranges:
    """Return ranges that also cover those that ``further`` has under a name, if it has any."""
    return Ranges.merge([seen, further[name]]) if name in further else seen


def _watch_block(recorder: RangeRecorder, block: Block, name: str, *, first: bool, read: int | None) -> None:
    """Record one encoder block, and the residual stream that it reads if no other block records that."""
    if block.merge is not None:
        recorder.normal(block.merge.norm, f"{name}.merge.norm")
        recorder.outputs(block.merge, lambda x: recorder.see(f"{name}.merge", x))
    elif first:
        recorder.inputs(block, lambda x: recorder.see("tokens", x))
    recorder.normal(block.norm1, f"{name}.norm1")
    recorder.watch(block, name, read)
