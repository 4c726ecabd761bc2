"""Nearest neighbours at the size of MNIST: all 10 000 test points among 60 000 in a minute."""

import torch

from hwbench.models.exemplars import KNN
from hwbench.protocols import TrainSplit

MOST = 60.0  # seconds, on two cores


def test_neighbours_of_10000_points_among_60000(within):
    draws = torch.Generator().manual_seed(0)
    values = torch.randint(256, (60_000, 784), generator=draws).to(torch.uint8)
    x = torch.randint(256, (10_000, 784), generator=draws).float() / 255
    model = KNN(visible=784, classes=10)
    model.keep(TrainSplit(values, torch.arange(60_000) % 10, scale=255.0), 5)

    def predict():
        for part in x.split(1000):
            model.logits(part)

    within(MOST, predict, rounds=1)
