import pytest
import torch

from p2vit.models.canonical import Block, CanonicalViT
from p2vit.models.config import ViTConfig

TINY = {
    "name": "t",
    "image_size": (8, 12),
    "patch_size": 4,
    "embed_dim": 8,
    "depth": 2,
    "heads": 2,
    "mlp_dim": 16,
}


def build(**more):
    torch.manual_seed(0)
    module = CanonicalViT(ViTConfig(**{**TINY, "num_classes": 3, **more})).eval()
    torch.nn.init.normal_(module.prefix)
    torch.nn.init.normal_(module.position)
    return module


def pixels(batch=2):
    return torch.randint(0, 256, (batch, 8, 12, 3), dtype=torch.uint8)


def test_patches_are_row_column_channel():
    module = build()
    module.mean.zero_()
    module.std.fill_(1 / 255)
    x = pixels()
    cut = module.patches(x)
    assert cut.shape == (2, 6, 48)
    torch.testing.assert_close(cut[1, 4].reshape(4, 4, 3), x[1, 4:8, 4:8].float())  # row 1, column 1


def test_shapes_and_tokens():
    module = build(register_tokens=2, pre_norm=True)
    assert module.embed(pixels()).shape == (2, 3 + 6, 8)
    assert module(pixels()).shape == (2, 3)
    assert build(num_classes=0)(pixels()).shape == (2, 8)


def test_token_pool_equals_norm_then_token():
    module = build()
    x = module.encode(pixels())
    torch.testing.assert_close(module.pool(x), module.norm(x)[:, 0])


@pytest.mark.parametrize("before", [True, False])
def test_average_pool_leaves_prefix_tokens_out(before):
    module = build(pool="avg", pool_before_norm=before)
    torch.nn.init.normal_(module.norm.weight)
    x = module.encode(pixels())
    want = module.norm(x[:, 1:].mean(1)) if before else module.norm(x)[:, 1:].mean(1)
    torch.testing.assert_close(module.pool(x), want)


def test_block_is_its_halves():
    module = build()
    block: Block = module.blocks[0]
    x = module.embed(pixels())
    y = x + block.attention(block.norm1(x))
    torch.testing.assert_close(block(x), y + block.mlp(block.norm2(y)))


def test_attention_written_out():
    block = build().blocks[0]
    x = torch.randn(1, 5, 8)
    heads = []
    for h in range(2):
        q, k, v = (f(x)[..., 4 * h : 4 * h + 4] for f in (block.q, block.k, block.v))
        heads.append(torch.softmax(q @ k.transpose(1, 2) / 2, dim=-1) @ v)
    torch.testing.assert_close(block.attention(x), block.proj(torch.cat(heads, dim=-1)))


@pytest.mark.parametrize("wrong", [torch.zeros(1, 8, 12, 3), torch.zeros(1, 12, 8, 3, dtype=torch.uint8)])
def test_wrong_pixels_are_refused(wrong):
    with pytest.raises(ValueError, match=r"uint8 \[B, 8, 12, 3\]"):
        build()(wrong)
