"""Topology of an encoder block: patch merging, attention over all tokens or in windows, and the MLP."""

from p2vit.models.blueprint.step import Home, Sketch
from p2vit.models.windows import BlockShape


def encoder_block(sketch: Sketch, number: int, shape: BlockShape, stream: str) -> str:
    """Append one encoder block, with the patch merging before it.

    Args:
        sketch: Where to.
        number: Number of the block, from 0.
        shape: Shape of the block.
        stream: Residual stream that the block reads.

    Returns:
        The residual stream after the block.
    """
    at = f"blocks.{number}"
    if shape.merge is not None:
        sketch.within("merge", "block", number)
        side = sketch.gather(f"{at}.merge.gather", stream, shape.merge.index, "stream")
        normal = sketch.norm(f"{at}.merge.norm", side, "merge")
        stream = sketch.linear(f"{at}.merge.reduction", normal, shape.dim, "reduction", "merged", "stream")
    sketch.within("attention", "block", number)
    source = sketch.norm(f"{at}.norm1", stream, "norm1")
    mixed = _window_attention(sketch, at, shape, source)
    branch = sketch.linear(f"{at}.attn.proj", mixed, shape.dim, "proj", "branch1", "stream")
    tokens = sketch.shapes[stream]
    middle = sketch.add(f"{at}.add1", "Add", [stream, branch], tokens, grid="add1", width="stream")
    return mlp(sketch, at, shape, middle, "block", number)


def _window_attention(sketch: Sketch, at: str, shape: BlockShape, source: str) -> str:
    """Append attention from the normalised stream to the input of ``proj``, with the moves into windows and back."""
    windows = shape.windows
    moves, padded = windows is not None and windows.moves, windows is not None and windows.padding
    if windows is not None and moves and not padded:
        source = sketch.gather(f"{at}.attn.windows", source, windows.index, "activation")
    parts = []
    for name in "qkv":
        turned = shape.rotary is not None and name in "qk"
        grid, width = (f"{name}_linear", "wide") if turned else (name, "activation")
        part = sketch.linear(f"{at}.attn.{name}", source, shape.dim, name, grid, width)
        if turned:
            part = sketch.add(
                f"{part}.rotary", "Rotary", [part], sketch.shapes[part], grid=name, heads=shape.heads
            )
        if windows is not None and padded:
            # With the LayerNorm folded in, a padded token is not zero, so padding comes after the linear layers.
            part = sketch.gather(f"{part}.windows", part, windows.index, "activation", fill=name)
        parts.append(part)
    mixed = attention(sketch, f"{at}.attn", shape, parts, biased=windows is not None)
    if windows is None or not moves:
        return mixed
    return sketch.gather(f"{at}.attn.back", mixed, windows.inverse, "activation")


def attention(sketch: Sketch, at: str, shape: BlockShape, parts: list[str], *, biased: bool) -> str:
    """Append scores, their bias and mask, softmax, and attention × V.

    Args:
        sketch: Where to.
        at: Prefix of the names, without a dot at its end.
        shape: Shape of the block.
        parts: Queries, keys and values.
        biased: Whether a bias is added to the scores.

    Returns:
        The attention output, [queries, C].
    """
    queries, heads = sketch.shapes[parts[0]][0], shape.heads
    windows = 1 if shape.windows is None else shape.windows.count
    by_head = {"heads": heads, "windows": windows}
    scores = (heads, queries, sketch.shapes[parts[1]][0] // windows)
    last = sketch.add(f"{at}.scores", "Scores", parts[:2], scores, width="accumulator", **by_head)
    if biased:
        last = sketch.add(f"{at}.bias", "ScoreBias", [last], scores, width="accumulator", **by_head)
    codes = sketch.add(f"{at}.softmax", "Softmax", [last], scores, width="codes", **by_head)
    mixed = (queries, sketch.shapes[parts[2]][1])
    return sketch.add(f"{at}.values", "AttentionValues", [codes, parts[2]], mixed, grid="values", **by_head)


def mlp(sketch: Sketch, at: str, shape: BlockShape, stream: str, home: Home, number: int = -1) -> str:
    """Append the MLP half: LayerNorm, FC1, activation, the linear branch and product of a gate, FC2, residual add.

    Args:
        sketch: Where to.
        at: Prefix of the names, without a dot at its end.
        shape: Shape of the block.
        stream: Residual stream that the half reads.
        home: Owner of the weights and grids.
        number: Number of the block, or −1.

    Returns:
        The residual stream after the half.
    """
    sketch.within("mlp" if home == "block" else "head", home, number)
    rows, hidden = sketch.shapes[stream][0], shape.mlp_dim
    normal = sketch.norm(f"{at}.norm2", stream, "norm2")
    last = sketch.linear(f"{at}.mlp.fc1", normal, hidden, "fc1", "fc1", "activation")
    last = sketch.add(f"{at}.mlp.gelu", "Lookup", [last], (rows, hidden), grid="gelu")
    if shape.gated_mlp:
        up = sketch.linear(f"{at}.mlp.up", normal, hidden, "up", "up", "activation")
        width = "wide" if shape.mlp_norm else "activation"
        last = sketch.add(
            f"{at}.mlp.gated", "Multiply", [last, up], (rows, hidden), grid="gated", width=width
        )
    if shape.mlp_norm:
        last = sketch.norm(f"{at}.mlp.norm", last, "mlp_norm")
    branch = sketch.linear(f"{at}.mlp.fc2", last, shape.dim, "fc2", "branch2", "stream")
    shape_after = sketch.shapes[stream]
    return sketch.add(f"{at}.add2", "Add", [stream, branch], shape_after, grid="add2", width="stream")
