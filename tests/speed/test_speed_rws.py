"""Reweighted wake-sleep and NADE beside plain forms of the same algorithms."""

import time
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


def test_rws_step_is_no_slower_than_plain_torch(at_most, x):
    """SBN 200-200-10, K = 5, batch 100."""
    model, rule = BinaryHelmholtzMachine(784, SIZES[1:]), ReweightedWakeSleep(k=5)
    optimizer, plain = torch.optim.Adam(model.parameters()), PlainRWS()

    def step():
        optimizer.zero_grad()
        rule.backward(model, x)
        optimizer.step()

    at_most(1.0, step, lambda: plain.step(x))


def test_rws_step_nade(benchmark, x):
    """SBN 200 with NADE recognition, K = 5, batch 100."""
    model = BinaryHelmholtzMachine(784, [200], recognition="nade")
    rule = ReweightedWakeSleep(k=5)
    benchmark(rule.backward, model, x)


def scoring(form, model, x):
    """Return log p(x) with the logits in the given form, or in the model's own."""
    if form is None:
        return model.log_prob(x)
    layer = model.generative
    a = layer.hidden().expand(len(x), -1)
    logits = form(x, a, layer.encode, layer.decode) + layer.affine()
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


@pytest.mark.benchmark(timer=time.process_time)
@torch.no_grad()
def test_nade_scores_100_images_in_60_ms(within, x):
    """On one thread; 500 hidden units."""
    model = NADE(784, 500)
    within(0.060, lambda: model.log_prob(x), rounds=15)


@torch.no_grad()
def test_nade_scores_no_slower_than_the_loop(at_most, x):
    model = NADE(784, 500)
    at_most(1.0, lambda: model.log_prob(x), lambda: scoring(logits_by_loop, model, x))


def test_a_nade_step_takes_at_most_a_fifth_of_the_cumulative_sums(at_most, x):
    model = NADE(784, 500)

    def step(form):
        model.zero_grad()
        scoring(form, model, x).mean().neg().backward()

    at_most(0.2, lambda: step(None), lambda: step(cumulative_sum_logits), rounds=4)


def test_nade_sample(benchmark):
    """100 samples of a net of 500 hidden units."""
    model = NADE(784, 500)
    with torch.no_grad():
        model.generative.output_bias.fill_(-2.0)
    benchmark.pedantic(model.sample, (100,), rounds=5, warmup_rounds=1)
