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


def plain_step(weight, b, c, x, k):
    """CD-k as one would write it in torch without autograd."""
    with torch.no_grad():
        ph = torch.sigmoid(x @ weight + c)
        h = torch.bernoulli(ph)
        for i in range(k):
            v = torch.bernoulli(torch.sigmoid(h @ weight.t() + b))
            qh = torch.sigmoid(v @ weight + c)
            if i < k - 1:
                h = torch.bernoulli(qh)
        weight += 0.05 * (x.t() @ ph - v.t() @ qh) / len(x)
        b += 0.05 * (x - v).mean(0)
        c += 0.05 * (ph - qh).mean(0)


@pytest.mark.parametrize("k", [1, 25])
def test_cd_step_is_no_slower_than_plain_torch(at_most, batch, k):
    model, rule = RBM(784, hidden=500), ContrastiveDivergence(k=k, weight_decay=2e-4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    plain = 0.01 * torch.randn(784, 500), torch.zeros(784), torch.zeros(500)

    def step():
        optimizer.zero_grad(set_to_none=True)
        rule.backward(model, batch)
        optimizer.step()

    at_most(1.0, step, lambda: plain_step(*plain, batch, k))


@pytest.mark.benchmark(timer=time.process_time)
def test_annealing_14500_temperatures_takes_at_most_90_seconds(within, batch):
    """On one thread: a hundred of them, 145 times; 100 chains, 500 hidden units, float64."""
    model = RBM(784, hidden=500, init=0.05).double()
    base = Base(base_rates(model.data_means), torch.zeros(500).double())
    betas = temperatures([[0, 0.1, 100], [0.1, 1, 1]])[:-1]
    x, g = batch.double(), torch.Generator().manual_seed(0)
    within(90.0, lambda: anneal(model.couplings(), base, betas, x, g), times=145)
