import math

import pytest
import torch
from scipy import optimize

from hwbench.evaluators.restoration import FactorRestoration, MixtureRestoration
from hwbench.models.factorisation import NonnegativeFactorisation
from hwbench.models.mixture import BernoulliMixture
from hwbench.protocols import TestSplit


@pytest.fixture
def points():
    torch.manual_seed(0)
    return TestSplit((torch.rand(40, 9) < 0.4).to(torch.uint8))


@pytest.fixture
def model():
    torch.manual_seed(1)
    return NonnegativeFactorisation(9, factors=3, start=(0.2, 2.0), bias=-0.3)


def test_the_mode_is_that_of_scipy(model, points):
    """Means at the maximum of log p(x | u) + log p(u), found by BFGS from the objective alone."""
    x = points.values.float()[:2]
    found = FactorRestoration(steps=500, lr=0.05).restore(model, x).detach()
    weight, offset = model.factors().detach().double(), model.offsets().detach().double()
    for i in range(len(x)):

        def cost(u, i=i):
            u = torch.from_numpy(u)
            a = u @ weight + offset
            log_p = (x[i] * a - torch.nn.functional.softplus(a)).sum()
            prior = torch.nn.functional.logsigmoid(u) + torch.nn.functional.logsigmoid(-u)
            return -float(log_p + prior.sum())

        best = torch.from_numpy(optimize.minimize(cost, [0.0] * 3, tol=1e-8).x)
        expected = (best @ weight + offset).sigmoid().float()
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-3)


def test_a_point_is_restored_alike_among_others(model, points):
    x = points.values.float()
    evaluator = FactorRestoration(steps=50)
    with torch.no_grad():
        together = evaluator.restore(model, x)
        torch.testing.assert_close(evaluator.restore(model, x[3:5]), together[3:5])


def test_the_mean_image_has_the_error_of_the_means(points):
    """Exactly; its restoration does not depend on what is flipped, and about a tenth is."""
    model = BernoulliMixture(9, components=1)
    x = points.values.float()
    means = x.mean(0)
    with torch.no_grad():
        model.logits.copy_(means.logit()[None])
    found = MixtureRestoration(pictures=4)(model, points, seed=0)
    expected = (x - means).square().mean().item()
    assert found.metrics["reconstruction_mse"].value == pytest.approx(expected, abs=1e-6)
    assert found.metrics["denoising_mse"].value == pytest.approx(expected, abs=1e-6)
    entropy = -(means * means.log() + (1 - means) * (1 - means).log()).sum().item()
    assert found.metrics["denoising_nll"].value == pytest.approx(entropy, abs=1e-4)
    flipped = found.metrics["input_mse"].value
    assert abs(flipped - 0.1) < 5 * math.sqrt(0.09 / x.numel())
    assert (found.per_point["noisy"] != found.per_point["original"]).any()


def test_all_rows_see_the_same_noise(model, points):
    a = FactorRestoration(steps=1, pictures=40)(model, points, seed=3)
    b = MixtureRestoration(pictures=40)(BernoulliMixture(9, components=2), points, seed=3)
    assert (a.per_point["noisy"] == b.per_point["noisy"]).all()
    assert a.metrics["input_mse"] == b.metrics["input_mse"]


def test_a_share_beyond_1_is_refused():
    with pytest.raises(ValueError, match=r"flip must be from 0 to 1 \(found 1.5\)"):
        MixtureRestoration(flip=1.5)
