"""Trains the reader of generated images: `make reader` writes its weights."""

import hashlib
import io

import numpy as np
import torch
from torch.nn import functional as F

from hwbench.captions import NOTHING, VOCABULARY, WORDS, decode, layouts
from hwbench.datasets.captions import CaptionedMNIST
from hwbench.evaluators.captions import named_right
from hwbench.evaluators.reader import SIDE, WEIGHTS, Reader, windows_of
from hwbench.numerics import set_arithmetic
from hwbench.protocols import Split

STEPS = 4000
BATCH = (100, 30)  # windows with a digit, and without one


def scenes_of(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images of a split, [N, 30, 30] from 0 to 1, and the digits in their places."""
    values = split.values.float() / split.scale
    codes = values[:, SIDE * SIDE :].view(-1, WORDS, len(VOCABULARY))
    return values[:, : SIDE * SIDE].view(-1, SIDE, SIDE), layouts(decode(codes))


def train(steps: int = STEPS, images: int = 40000) -> Reader:
    """Return a reader trained at seed 0; one window in ten is drawn, the others are grey."""
    set_arithmetic()
    split = CaptionedMNIST("grey", size=14, images=images, validation=1, test=2).load(0).train
    x, digits = scenes_of(split)
    windows, digits = windows_of(x).flatten(0, 1), digits.flatten()
    kinds = [(digits != NOTHING).nonzero()[:, 0], (digits == NOTHING).nonzero()[:, 0]]
    torch.manual_seed(0)
    reader = Reader()
    optimizer = torch.optim.Adam(reader.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=steps)
    for _ in range(steps):
        parts = zip(kinds, BATCH, strict=True)
        index = torch.cat([kind[torch.randint(len(kind), (n,))] for kind, n in parts])
        batch = windows[index]
        batch[::10] = batch[::10].bernoulli()
        loss = F.cross_entropy(reader(batch), digits[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return reader.eval()


def share_read(reader: Reader, pixels: str) -> float:
    """Return the share of the digits in test images that are read in their places."""
    test = CaptionedMNIST(pixels, size=14, images=1, validation=1, test=2000).load(0).test
    x, digits = scenes_of(test)
    read = reader.read(x)
    return float(named_right(read, digits).mean())


if __name__ == "__main__":
    trained = train()
    arrays = {name: value.half().numpy() for name, value in trained.state_dict().items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    WEIGHTS.write_bytes(buffer.getvalue())
    print(share_read(trained, "grey"), share_read(trained, "dynamic"))
    print(hashlib.sha256(buffer.getvalue()).hexdigest())
