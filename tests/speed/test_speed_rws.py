"""NADE beside plain forms of the same algorithms."""

import time

import pytest
import torch
import torch.nn.functional as F

from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.nade import NADE, logits_by_loop
from hwbench.rules.reweighted import ReweightedWakeSleep

DENSITY = 0.13  # of ink in binarised MNIST


@pytest.fixture
def x():
    torch.manual_seed(0)
    return (torch.rand(100, 784) < DENSITY).float()


def cumulative_sum_logits(x, a, encode, decode):
    """NADE's hidden states of every unit at once, by a cumulative sum over [N, D, H]."""
    seen = x[:, :, None] * encode
    return ((a[:, None] + seen.cumsum(1) - seen).sigmoid() * decode).sum(-1)


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
    x = benchmark.pedantic(model.sample, (100,), rounds=5, warmup_rounds=1)
    assert x.shape == (100, 784)
