"""The hot paths of the RBM: a CD-25 step beside the same step in plain torch, and annealing."""

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
def test_cd_step(benchmark, batch, k):
    model, rule = RBM(784, hidden=500), ContrastiveDivergence(k=k, weight_decay=2e-4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        rule.backward(model, batch)
        optimizer.step()

    benchmark.pedantic(step, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("k", [1, 25])
def test_cd_step_in_plain_torch(benchmark, batch, k):
    weight, b, c = 0.01 * torch.randn(784, 500), torch.zeros(784), torch.zeros(500)
    benchmark.pedantic(plain_step, (weight, b, c, batch, k), rounds=15, warmup_rounds=2)


def test_annealing_100_temperatures(benchmark, batch):
    """14 500 temperatures take 145 times as long."""
    model = RBM(784, hidden=500, init=0.05).double()
    base = Base(base_rates(model.data_means), torch.zeros(500).double())
    betas = temperatures([[0, 0.1, 100], [0.1, 1, 1]])[:-1]
    x, g = batch.double(), torch.Generator().manual_seed(0)
    benchmark.pedantic(anneal, (model.couplings(), base, betas, x, g), rounds=5, warmup_rounds=1)
