"""Train the tiny ViT of the benchmark ``digits``, in about a minute on two cores.

Run: ``python scripts/train_digits.py``. It writes ``src/p2vit/models/weights/digits.safetensors`` and prints
the accuracy on the held-out half, of which training sees nothing: it runs for a fixed number of epochs.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from p2vit.data.digits import digits
from p2vit.models.architectures import DIGITS
from p2vit.models.canonical import CanonicalViT
from p2vit.models.sources.random import random_tensor

WEIGHTS = Path(__file__).parent.parent / "src" / "p2vit" / "models" / "weights"
EPOCHS, BATCH, PEAK_RATE = 250, 64, 2e-3


def varied(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn, scale and move every digit a little, so that 898 photos are not learnt by heart."""
    turn, scale, right, down = torch.rand(4, len(pixels), generator=generator) * 2 - 1
    turn, scale = 0.2 * turn, 1 + 0.12 * scale  # radians; share of the size
    cos, sin = scale * torch.cos(turn), scale * torch.sin(turn)
    # One pixel is a quarter of the grid's half side.
    rows = [torch.stack([cos, -sin, 0.25 * right], dim=1), torch.stack([sin, cos, 0.25 * down], dim=1)]
    photos = pixels.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(torch.stack(rows, dim=1), list(photos.shape), align_corners=False)
    photos = F.grid_sample(photos, grid, align_corners=False)
    return photos.round().permute(0, 2, 3, 1).to(torch.uint8)


def main() -> None:
    torch.set_num_threads(1)  # one thread: the same bytes on every run
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(0)
    photos = digits(DIGITS.preprocessing)
    batches = list(photos.training())
    pixels = torch.from_numpy(np.concatenate([p for p, _ in batches]))
    labels = torch.from_numpy(np.concatenate([y for _, y in batches]))

    module = CanonicalViT(DIGITS.config, DIGITS.preprocessing.mean, DIGITS.preprocessing.std)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if "norm" not in name and not name.endswith("bias"):
                value.copy_(0.5 * random_tensor(name, tuple(value.shape), seed=0))
            elif name.endswith("bias"):
                value.zero_()

    steps = EPOCHS * (len(labels) // BATCH)
    optimizer = torch.optim.AdamW(module.parameters(), lr=PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.1)
    for _ in range(EPOCHS):
        order = torch.randperm(len(labels), generator=generator)
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            logits = module(varied(pixels[batch], generator))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    right = 0
    with torch.inference_mode():
        for unseen, truth in photos.evaluation():
            right += int((module(torch.from_numpy(unseen)).argmax(dim=1).numpy() == truth).sum())
    print(f"digits: top-1 {100 * right / len(photos):.2f} % of {len(photos)} photos")
    save_file(
        {name: value.detach() for name, value in module.named_parameters()}, WEIGHTS / "digits.safetensors"
    )


if __name__ == "__main__":
    main()
