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
EPOCHS, BATCH, PEAK_RATE = 120, 64, 2e-3


def shifted(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move every digit by up to one pixel, so that 898 photos are not learnt by heart."""
    padded = F.pad(pixels, (0, 0, 1, 1, 1, 1))
    corners = torch.randint(0, 3, (len(pixels), 2), generator=generator)
    return torch.stack([p[r : r + 8, c : c + 8] for p, (r, c) in zip(padded, corners.tolist(), strict=True)])


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
            logits = module(shifted(pixels[batch], generator))
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
