"""Train the LeNets whose features `lenet_fid` compares: `make lenet` writes their weights anew.

Each image is presented as it is, or with binary pixels drawn from it, with equal probability, since
the metric sees both kinds. Seed 0; float32 sums differ between machines, and so do the checksums of
the weights: specs name the ones that are committed.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import torch
from torch.nn import functional as F

from hwbench.datasets.digits import Digits
from hwbench.datasets.mnist import MNIST
from hwbench.evaluators.lenet import LeNet, Net, weights_file
from hwbench.protocols import Split, Splits, TrainSplit

BATCH = 100
RATE = 2e-3  # of Adam at the start; it falls linearly to zero
EPOCHS: dict[Net, int] = {"mnist": 8, "digits": 60}


def data_of(name: Net) -> Splits:
    """Return grey images with their classes."""
    validation = {"validation": 0}
    return (MNIST("grey", **validation) if name == "mnist" else Digits("grey", **validation)).load(
        0
    )


def untrained(name: Net) -> LeNet:
    """Return a net at its start."""
    torch.manual_seed(0)
    if name == "mnist":
        return LeNet()
    return LeNet(sides=(8, 12), kernels=(5, 4), channels=(8, 32), features=24)


def present(x: torch.Tensor) -> torch.Tensor:
    """Return images of which half, chosen at random, have drawn pixels."""
    drawn = torch.rand(len(x), 1) < 0.5
    return torch.where(drawn, (torch.rand_like(x) < x).float(), x)


def train(name: Net, train: TrainSplit, epochs: int) -> LeNet:
    """Return a trained net, with weights as they are stored."""
    net = untrained(name)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    steps = epochs * (len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(epochs):
        for index in torch.randperm(len(train))[: len(train) // BATCH * BATCH].split(BATCH):
            loss = F.cross_entropy(net(present(train.batch(index))), train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return LeNet.of_arrays(net.arrays())


@torch.no_grad()
def accuracy(net: LeNet, test: Split, drawn: bool = False) -> float:
    """Return the share of images classified correctly; with drawn pixels, of one draw."""
    torch.manual_seed(1)
    right = 0
    for index in torch.arange(len(test)).split(500):
        x = test.batch(index)
        x = (torch.rand_like(x) < x).float() if drawn else x
        right += int((net(x).argmax(1) == test.labels[index]).sum())
    return right / len(test)


def main() -> None:
    """Train all nets, or those named, and write their weights."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or list(EPOCHS):
        splits = data_of(name)
        net = train(name, splits.train, EPOCHS[name])
        np.savez_compressed(weights_file(name), allow_pickle=False, **net.arrays())
        checksum = hashlib.sha256(weights_file(name).read_bytes()).hexdigest()
        right = [accuracy(net, splits.test, drawn) for drawn in (False, True)]
        print(f"{name}: {right[0]:.4f} of grey test images are right, {right[1]:.4f} of drawn ones")
        print(f"sha256 {checksum}")


if __name__ == "__main__":
    main()
