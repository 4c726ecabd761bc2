"""Reweighted wake-sleep and NADE beside plain forms of the same algorithms; asserts nothing."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli

from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.nade import NADE, logits_by_loop
from hwbench.rules.reweighted import ReweightedWakeSleep

SIZES = [784, 200, 200, 10]
DENSITY = 0.13  # of ink in binarised MNIST


class PlainRWS:
    """The algorithm as one would first write it: all tensors expanded over K, torch's Bernoulli."""

    def __init__(self):
        pairs = list(pairwise(SIZES))
        self.q = nn.ModuleList(nn.Linear(below, above) for below, above in pairs)
        self.p = nn.ModuleList(nn.Linear(above, below) for below, above in pairs)
        self.top = nn.Parameter(torch.zeros(SIZES[-1]))
        self.optimizer = torch.optim.Adam([*self.q.parameters(), *self.p.parameters(), self.top])

    def log_p(self, x, h):
        below = [x, *h]
        log_p = Bernoulli(logits=self.top, validate_args=False).log_prob(h[-1]).sum(-1)
        for layer, b, a in zip(self.p, below, h, strict=False):
            log_p = log_p + Bernoulli(logits=layer(a), validate_args=False).log_prob(b).sum(-1)
        return log_p

    def log_q(self, x, h):
        log_q = 0
        for layer, b, a in zip(self.q, [x, *h], h, strict=False):
            log_q = log_q + Bernoulli(logits=layer(b), validate_args=False).log_prob(a).sum(-1)
        return log_q

    def step(self, x, k=5):
        x_k = x.expand(k, *x.shape)
        with torch.no_grad():
            h, a = [], x_k
            for layer in self.q:
                a = Bernoulli(logits=layer(a), validate_args=False).sample()
                h.append(a)
        log_p, log_q = self.log_p(x_k, h), self.log_q(x_k, h)
        w = (log_p - log_q).detach().softmax(0)
        loss = -(w * (log_p + log_q)).sum(0).mean()
        with torch.no_grad():
            a = Bernoulli(logits=self.top, validate_args=False).sample((len(x),))
            dream = [a]
            for layer in reversed(self.p):
                a = Bernoulli(logits=layer(a), validate_args=False).sample()
                dream.insert(0, a)
        loss = loss - self.log_q(dream[0], dream[1:]).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


@pytest.fixture
def x():
    torch.manual_seed(0)
    return (torch.rand(100, 784) < DENSITY).float()


def cumulative_sum_logits(x, a, encode, decode):
    """NADE's hidden states of every unit at once, by a cumulative sum over [N, D, H]."""
    seen = x[:, :, None] * encode
    return ((a[:, None] + seen.cumsum(1) - seen).sigmoid() * decode).sum(-1)


@pytest.mark.benchmark(group="RWS step, SBN 200-200-10, K = 5, batch 100")
@pytest.mark.parametrize("form", ["plain", "hwbench"])
def test_rws_step(benchmark, x, form):
    if form == "plain":
        benchmark(PlainRWS().step, x)
        return
    model = BinaryHelmholtzMachine(784, SIZES[1:])
    rule = ReweightedWakeSleep(k=5)
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        rule.backward(model, x)
        optimizer.step()

    benchmark(step)


@pytest.mark.benchmark(group="RWS step, SBN 200 with NADE recognition, K = 5, batch 100")
def test_rws_step_nade(benchmark, x):
    model = BinaryHelmholtzMachine(784, [200], recognition="nade")
    rule = ReweightedWakeSleep(k=5)
    benchmark(rule.backward, model, x)


FORMS = {"cumulative sum": cumulative_sum_logits, "loop": logits_by_loop, "blocks": None}


def nade_logits(form, model, x):
    layer = model.generative
    if FORMS[form] is None:
        return layer().logits(x)
    a = layer.hidden().expand(len(x), -1)
    return FORMS[form](x, a, layer.encode, layer.decode) + layer.affine()


@pytest.mark.benchmark(group="NADE 500, scoring 100 images")
@pytest.mark.parametrize("form", FORMS)
def test_nade_score(benchmark, x, form):
    model = NADE(784, 500)
    with torch.no_grad():
        benchmark.pedantic(nade_logits, (form, model, x), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="NADE 500, training step on 100 images")
@pytest.mark.parametrize("form", FORMS)
def test_nade_step(benchmark, x, form):
    model = NADE(784, 500)

    def step():
        model.zero_grad()
        F.binary_cross_entropy_with_logits(nade_logits(form, model, x), x).backward()

    benchmark.pedantic(step, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="NADE 500, 100 samples")
def test_nade_sample(benchmark):
    model = NADE(784, 500)
    with torch.no_grad():
        model.generative.output_bias.fill_(-2.0)
    benchmark.pedantic(model.sample, (100,), rounds=5, warmup_rounds=1)
