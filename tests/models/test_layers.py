import torch

from support.tiny import float_model, swin_model


def test_attention_in_windows_written_out():
    block = swin_model().module.blocks[1]  # padded, shifted and masked
    windows, heads = block.shape.windows, block.heads
    x = torch.randn(1, block.shape.tokens, 16)
    out = torch.zeros(windows.count * windows.area, 16)
    table, n = block.bias_table[torch.from_numpy(windows.bias_index)], windows.area
    for w in range(windows.count):
        places = windows.index[w * n : (w + 1) * n]
        rows = torch.stack([x[0, t] if t >= 0 else torch.zeros(16) for t in places])
        # Padding is zero where the linears read it.
        q, k, v = (linear(rows) for linear in (block.q, block.k, block.v))
        for h in range(heads):
            part = slice(8 * h, 8 * h + 8)
            scores = q[:, part] @ k[:, part].T / 8**0.5 + table[..., h]
            region = torch.from_numpy(windows.regions[w])
            scores = scores.masked_fill(region[:, None] != region[None], -1e9)
            out[w * n : (w + 1) * n, part] = scores.softmax(-1) @ v[:, part]
    want = block.proj(out[torch.from_numpy(windows.inverse.astype("int64"))])
    torch.testing.assert_close(block.attention(x)[0], want, rtol=1e-4, atol=1e-5)


def test_patch_merging_comes_first_in_its_block():
    block = swin_model().module.blocks[2]
    x = torch.randn(2, 140, 16)
    merged = block.merge(x)
    assert merged.shape == (2, 35, 32)
    y = merged + block.attention(block.norm1(merged))
    torch.testing.assert_close(block(x), y + block.mlp(block.norm2(y)))


def test_attention_pooling_written_out():
    model = float_model(class_token=False, pool="attention", num_classes=0)
    pool, x = model.module.attention_pool, torch.randn(2, 6, 24)
    q = pool.query.view(3, 8)
    k, v = (linear(x).view(2, 6, 3, 8) for linear in (pool.k, pool.v))
    weights = (torch.einsum("hd,bnhd->bhn", q, k) / 8**0.5).softmax(-1)
    y = pool.proj(torch.einsum("bhn,bnhd->bhd", weights, v).reshape(2, 24))
    want = y + pool.fc2(torch.nn.functional.gelu(pool.fc1(pool.norm2(y))))
    torch.testing.assert_close(pool(x), want, rtol=1e-4, atol=1e-5)
