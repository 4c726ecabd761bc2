"""Wake-sleep ends at the ML solution if q can be the posterior (Ikeda et al., 1999)."""

import itertools

import pytest
import torch

from hwbench.evaluators.exact import exact_log_prob
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.mixture import BernoulliMixture
from hwbench.protocols import TrainSplit
from hwbench.rules.em import EM
from hwbench.rules.reweighted import ReweightedWakeSleep

EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))


@pytest.fixture
def points():
    """2000 points of two clusters of unequal size."""
    g = torch.Generator().manual_seed(0)
    mu = torch.tensor([[0.9, 0.8, 0.1, 0.3], [0.1, 0.3, 0.9, 0.8]])
    c = (torch.rand(2000, generator=g) < 0.3).long()
    return (torch.rand(2000, 4, generator=g) < mu[c]).float()


@pytest.mark.statistical
def test_wake_sleep_reaches_the_likelihood_of_em(points):
    """One hidden unit is a mixture of two; its posterior is logistic in x, as q is.

    Annealed wake-sleep ends within 0.001 nats per point of EM's optimum, from 0.1 or more away.
    """
    mixture = BernoulliMixture(4, components=2)
    em = EM(iterations=500, smoothing=0.0, clip=1e-6, tolerance=1e-9)
    em(mixture, TrainSplit(points), None, 0, lambda fraction, message: None)
    best = mixture.log_prob(points).mean().item()

    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(4, [1], init="glorot", bias=0.0)
    rule = ReweightedWakeSleep(k=1, wake=False)
    before = exact_log_prob(model, points, [1]).mean().item()
    steps = 300
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(steps):
        optimizer.zero_grad()
        rule.backward(model, points)
        optimizer.step()
        schedule.step()
    after = exact_log_prob(model, points, [1]).mean().item()
    assert before < best - 0.1
    assert best - 0.001 < after < best + 1e-5

    h = torch.tensor([0.0, 1.0]).view(2, 1, 1).expand(2, 16, 1)  # and q is then the posterior
    posterior = model.log_joint(EVERY, [h]).softmax(0)
    q = model.log_q([h], EVERY).exp()
    p = exact_log_prob(model, EVERY, [1]).exp().float()
    torch.testing.assert_close(q.sum(0), torch.ones(16))
    kl = (p * (posterior * (posterior / q).log()).sum(0)).sum().item()
    assert kl < 0.001
