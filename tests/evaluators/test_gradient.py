"""Bias and spread of gradients against their exact values, by enumeration of every draw."""

import itertools
import math

import pytest
import torch

from hwbench.evaluators.exact import all_binary
from hwbench.evaluators.gradient import GradientBias, spread, squared_norm
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.protocols import TestSplit as Points

SIGMA = 5.0  # statistical tests: standard errors allowed


def small():
    torch.manual_seed(4)
    model = BinaryHelmholtzMachine(3, [2])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5)
    return model


X = torch.tensor([[1.0, 0, 1], [0, 1, 1]])


def exact_moments(model, k, net):
    """E g_K, E_posterior and √tr Cov g_K of the mean over X, by all 4^K draws for each x."""
    mean, truth, variance = 0.0, 0.0, 0.0
    h = [all_binary(2)[:, None]]
    module = getattr(model, net)
    for x in X:
        log_p, log_q = model.log_joint(x[None], h)[:, 0], model.log_q(h, x[None])[:, 0]
        target = log_p if net == "generative" else log_q
        rows = []
        for value in target:
            g = torch.autograd.grad(value, list(module.parameters()), retain_graph=True)
            rows.append(torch.cat([v.flatten() for v in g]).double())
        g, q = torch.stack(rows), log_q.detach().double().exp()
        w = (log_p - log_q).detach().double().exp()
        truth = truth + log_p.detach().double().softmax(0) @ g / len(X)
        draws = torch.tensor(list(itertools.product(range(4), repeat=k)))
        probability = q[draws].prod(1)
        weights = w[draws] / w[draws].sum(1, keepdim=True)
        g_k = (weights[..., None] * g[draws]).sum(1)
        mean_x = probability @ g_k
        mean = mean + mean_x / len(X)
        variance = variance + probability @ (g_k - mean_x).square().sum(1) / len(X) ** 2
    return mean, truth, math.sqrt(variance)


@pytest.mark.statistical
@pytest.mark.parametrize("rows", [4096, 900])
def test_bias_and_spread_are_the_exact_ones(rows, monkeypatch):
    """K = 1, 2, 4, both nets, in 5 standard errors and the reference's own bias; also in chunks."""
    monkeypatch.setattr("hwbench.evaluators.gradient.ROWS", rows)
    model = small()
    reference, ks = 2048, [1, 2, 4]
    evaluator = GradientBias(k=ks, reference=reference, repeats=30, points=2)
    found = evaluator(model, Points(X.to(torch.uint8)), seed=0)
    for net in ("generative", "recognition"):
        _, truth, _ = exact_moments(model, 1, net)
        norm = found.metrics[f"norm_{net}"]
        assert abs(norm.value - float(truth.norm())) < SIGMA * norm.mc_se + 2 / reference
        for i, k in enumerate(ks):
            mean, _, expected_spread = exact_moments(model, k, net)
            expected = float((mean - truth).norm())
            bias, sd = found.metrics[f"bias_{net}_k{k}"], found.metrics[f"spread_{net}_k{k}"]
            assert abs(bias.value - expected) < SIGMA * bias.mc_se + 2 / reference
            assert abs(sd.value - expected_spread) < SIGMA * sd.mc_se
            assert bias.mc_se < 0.1 * expected  # so that this could fail
            assert sd.mc_se < 0.2 * expected_spread
            assert found.curves[f"bias_{net}"].y[i] == bias.value
            assert found.curves[f"spread_{net}"].x[i] == k


@pytest.mark.statistical
def test_measured_bias_falls_like_one_over_k():
    """bias(K) / (1/K − 1/reference) is one constant over K = 2 … 32 in 5 errors plus its O(1/K)."""
    ks, reference = [2, 4, 8, 16, 32], 4096
    evaluator = GradientBias(k=ks, reference=reference, repeats=60, points=2)
    found = evaluator(small(), Points(X.to(torch.uint8)), seed=0)
    for net in ("generative", "recognition"):
        metrics = [found.metrics[f"bias_{net}_k{k}"] for k in ks]
        scale = [1 / (1 / k - 1 / reference) for k in ks]
        level = [m.value * s for m, s in zip(metrics, scale, strict=True)]
        error = [m.mc_se * s for m, s in zip(metrics, scale, strict=True)]
        limit, limit_error = level[-1], error[-1]
        for k, value, se in zip(ks, level, error, strict=True):
            assert abs(value - limit) < SIGMA * math.hypot(se, limit_error) + limit / k
            assert se < 0.1 * value  # so that this could fail: a bias like 1/√K grows fourfold
        steep = [math.log(a / b, 2) for a, b in itertools.pairwise(level)]
        assert abs(sum(steep) / len(steep)) < 0.15  # the exponent of K is −1


def test_a_seed_fixes_the_numbers_and_nothing_else_changes():
    model, split = small(), Points(X.to(torch.uint8))
    evaluator = GradientBias(k=[1, 4], reference=64, repeats=3, points=2)
    state = torch.random.get_rng_state()
    first = evaluator(model, split, seed=0)
    assert evaluator(model, split, seed=0) == first
    assert evaluator(model, split, seed=1) != first
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.statistical
def test_norms_are_free_of_noise():
    """‖E d‖² and √tr Cov d of a Gaussian in 1000 dimensions, within 5 of their standard errors."""
    torch.manual_seed(0)
    d = torch.randn(20, 1000)
    value, se = squared_norm(d)
    assert abs(value) < SIGMA * se
    assert d.mean(0).square().sum() > 40  # what the naive norm would say
    value, se = squared_norm(d + 1.0)
    assert abs(value - 1000) < SIGMA * se
    assert se < 100
    value, se = spread(d)
    assert abs(value - math.sqrt(1000)) < SIGMA * se
    assert se < 0.5


@pytest.mark.parametrize(
    "wrong",
    [{"k": [2, 1]}, {"k": [3], "reference": 100}, {"k": [100], "reference": 100}, {"k": []}],
)
def test_counts_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^GradientBias: (each )?k must"):
        GradientBias(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": [0]}, r"k must be at least 1 \(found 0\)"),
        ({"k": [-5, 1]}, r"k must be at least 1 \(found -5\)"),
        ({"reference": 0}, r"reference must be at least 1 \(found 0\)"),
        ({"repeats": 1}, r"repeats must be at least 3 \(found 1\)"),
        ({"points": 0}, r"points must be at least 1 \(found 0\)"),
    ],
)
def test_counts_that_are_too_small_are_refused(wrong, message):
    with pytest.raises(ValueError, match=f"^GradientBias: {message}$"):
        GradientBias(**wrong)


def test_a_single_k_needs_no_suffix():
    found = GradientBias(k=[4], reference=16, repeats=3, points=2)(
        small(), Points(X.to(torch.uint8)), seed=0
    )
    assert {"bias_generative", "spread_recognition", "norm_generative"} <= found.metrics.keys()


def test_dynamic_pixels_are_drawn_by_the_seed():
    """Whatever torch's own stream is at, and leaving it there."""
    grey = Points(torch.full((30, 3), 128, dtype=torch.uint8), None, 255.0, resample=True)
    model, found = small(), []
    for seed, own in [(0, 1), (0, 2), (1, 1)]:
        torch.manual_seed(own)
        state = torch.get_rng_state()
        found.append(repr(GradientBias.tiny()(model, grey, seed=seed).metrics))
        assert torch.equal(state, torch.get_rng_state())
    assert found[0] == found[1] != found[2]
