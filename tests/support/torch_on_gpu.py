"""The torch kernels in the forms that they have on a GPU, on a CPU: padded matrices, and float16 operands."""


def as_on_a_gpu(monkeypatch):
    """Pad all matrices as cuBLAS needs it, and multiply float16 operands.

    A CPU has no product of float16 with float32 sums, so the operands, which are float16, are converted before it. All
    other code is that of a GPU.
    """
    from p2vit.engine.torch.kernels import products

    monkeypatch.setattr(products, "needs_alignment", lambda device: True)
    monkeypatch.setattr(products, "half_bmm", lambda left, right: left.float() @ right.float())
    products.half_product_is_exact.cache_clear()
    aligned_sizes_only(monkeypatch)


def aligned_sizes_only(monkeypatch):
    """Refuse the sizes that cuBLAS refuses."""
    import torch

    multiply = torch._int_mm

    def checked(a, b):
        rows, depth, columns = *a.shape, b.shape[1]
        assert rows > 16, rows
        assert depth % 8 == 0, depth
        assert columns % 8 == 0, columns
        return multiply(a, b)

    monkeypatch.setattr(torch, "_int_mm", checked)
