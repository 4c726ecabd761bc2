"""The hot paths of the RBM: a CD-25 step beside the same step in plain torch, and annealing."""

import time

import pytest
import torch

from hwbench.evaluators.ais import Base, anneal, base_rates, temperatures
from hwbench.models.rbm import RBM
from hwbench.rules.contrastive import ContrastiveDivergence


@pytest.fixture
def batch():
    return torch.rand(100, 784, generator=torch.Generator().manual_seed(0)).round()


class PlainCD:
    """CD-k as one would write it in torch without autograd, with momentum and weight decay.

    Bernoulli draws are comparisons with uniform numbers, several times faster than torch.bernoulli.
    """

    def __init__(self, k, lr=0.05, momentum=0.9, weight_decay=2e-4):
        self.k, self.lr, self.momentum, self.weight_decay = k, lr, momentum, weight_decay
        self.weight, self.b, self.c = (
            0.01 * torch.randn(784, 500),
            torch.zeros(784),
            torch.zeros(500),
        )
        self.speeds = [torch.zeros_like(p) for p in (self.weight, self.b, self.c)]

    @torch.no_grad()
    def step(self, x):
        weight, b, c = self.weight, self.b, self.c
        ph = torch.sigmoid(x @ weight + c)
        h = (torch.rand_like(ph) < ph).float()
        for i in range(self.k):
            pv = torch.sigmoid(h @ weight.t() + b)
            v = (torch.rand_like(pv) < pv).float()
            qh = torch.sigmoid(v @ weight + c)
            if i < self.k - 1:
                h = (torch.rand_like(qh) < qh).float()
        ascent = [
            (x.t() @ ph - v.t() @ qh) / len(x) - self.weight_decay * weight,
            (x - v).mean(0),
            (ph - qh).mean(0),
        ]
        for p, speed, g in zip((weight, b, c), self.speeds, ascent, strict=True):
            speed.mul_(self.momentum).add_(g)
            p.add_(speed, alpha=self.lr)


# CD-1 comes out a tenth slower than the plain form, which returns no loss
@pytest.mark.parametrize(("k", "ratio"), [(1, 1.2), (25, 1.0)])
def test_cd_step_is_no_slower_than_plain_torch(at_most, batch, k, ratio):
    model, rule = RBM(784, hidden=500), ContrastiveDivergence(k=k, weight_decay=2e-4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    plain = PlainCD(k)

    def step():
        optimizer.zero_grad(set_to_none=True)
        rule.backward(model, batch)
        optimizer.step()

    at_most(ratio, step, lambda: plain.step(batch))


@pytest.mark.benchmark(timer=time.process_time)
def test_annealing_14500_temperatures_takes_at_most_90_seconds(within, batch):
    """On one thread: a hundred of them, 145 times; 100 chains, 500 hidden units, float64."""
    model = RBM(784, hidden=500, init=0.05).double()
    base = Base(base_rates(model.data_means), torch.zeros(500).double())
    betas = temperatures([[0, 0.1, 100], [0.1, 1, 1]])[:-1]
    x, g = batch.double(), torch.Generator().manual_seed(0)
    within(90.0, lambda: anneal(model.couplings(), base, betas, x, g), times=145)
