"""Topology of what stands before and after the encoder blocks: embedding, feature maps, pooling and head."""

import numpy as np

from p2vit.models.blueprint.block import attention, mlp
from p2vit.models.blueprint.step import JOINED, NORMALISED, PIXELS, Sketch
from p2vit.models.config import ModelConfig, ViTConfig


def embedding(sketch: Sketch, config: ModelConfig) -> str:
    """Append the steps from pixels to the residual stream, and return the stream."""
    sketch.within("embedding")
    patches, dim = config.grid[0] * config.grid[1], config.embed_dim
    last = sketch.add("patches", "Patchify", [PIXELS], (patches, config.patch_dim))
    last = sketch.linear("patch_embed", last, dim, "patch_embed", "patch", "stream")
    if config.positions:
        shape = (config.tokens, dim)
        last = sketch.add("tokens", "AssembleTokens", [last], shape, grid="stream", width="stream")
    if not config.pre_norm:
        return last
    last = sketch.norm("pre_norm", last, NORMALISED)
    return sketch.add("pre_affine", "Affine", [last], sketch.shapes[last], grid="stream", width="stream")


def feature_map(sketch: Sketch, name: str, stream: str) -> None:
    """Append a feature map: all tokens behind a block, through the last LayerNorm."""
    sketch.within("head", "map")
    normal = sketch.norm(f"{name}.norm", stream, NORMALISED)
    sketch.add(name, "Affine", [normal], sketch.shapes[normal], grid=name)


def attention_pooling(sketch: Sketch, config: ViTConfig, stream: str) -> str:
    """Append SigLIP's pooling head: a constant query attends to all tokens, and an MLP follows."""
    sketch.within("head", "pool")
    shape = config.pool_shape
    source = sketch.norm("norm", stream, "norm1")
    parts = [sketch.add("pool.attn.q", "ConstantTokens", [source], (1, shape.dim), grid="q")]
    parts += [
        sketch.linear(f"pool.attn.{name}", source, shape.dim, name, name, "activation") for name in "kv"
    ]
    mixed = attention(sketch, "pool.attn", shape, parts, biased=False)
    pooled = sketch.linear("pool.attn.proj", mixed, shape.dim, "proj", "add1", "stream")
    return mlp(sketch, "pool", shape, pooled, "pool")


def pooling(sketch: Sketch, config: ModelConfig, stream: str) -> str:
    """Append pooling and the last LayerNorm, in the model's order. Returns the normalised vector, [1, channels]."""
    sketch.within("head")
    dim = sketch.shapes[stream][1]
    mean = {"width": "wide", "reads": (config.prefix_tokens, config.pooled_tokens)}
    if config.pool == "token_dist":
        both = sketch.gather("pool", stream, np.array([[0], [1]], np.int32), "stream")
        return sketch.gather(
            "pair", sketch.norm("norm", both, NORMALISED), np.array([[0, 1]], np.int32), "wide"
        )
    if config.pool == "token_avg":
        normal = sketch.norm("norm", stream, NORMALISED)
        pooled = sketch.add("pool", "SumTokens", [normal], (1, dim), **mean)
        # No operator concatenates tokens of different exponents: each half stands beside zeros, and both are added.
        first = sketch.gather("pair.token", normal, np.array([[0, -1]], np.int32), "wide")
        second = sketch.gather("pair.mean", pooled, np.array([[-1, 0]], np.int32), "wide")
        return sketch.add("pair", "Add", [first, second], (1, 2 * dim), grid=JOINED, width="wide")
    if config.pool == "token":
        token = sketch.add("pool", "SelectToken", [stream], (1, dim), width="stream", reads=(0, 1))
        return sketch.norm("norm", token, NORMALISED)
    if config.pool_before_norm:
        return sketch.norm("norm", sketch.add("pool", "SumTokens", [stream], (1, dim), **mean), NORMALISED)
    return sketch.add("pool", "SumTokens", [sketch.norm("norm", stream, NORMALISED)], (1, dim), **mean)


def feature_and_head(sketch: Sketch, config: ModelConfig, pooled: str) -> tuple[str, str]:
    """Append the feature, the image embedding and the head. Returns the names of the output and of the feature."""
    sketch.within("head")
    feature = sketch.add("feature", "Affine", [pooled], sketch.shapes[pooled], grid="feature")
    if size := config.embedding_dim:
        # Every number twice, once negated: their mean is zero, so LayerNorm divides by the root mean square alone.
        both = sketch.linear("projection", feature, 2 * size, "projection", "projected", "wide")
        normal = sketch.norm("normalised", both, "normal")
        feature = sketch.linear("embedding", normal, size, "halves", "embedding", "activation")
    if not config.num_classes:
        return feature, feature
    return sketch.linear("head", feature, config.num_classes, "head", "", "accumulator"), feature
