import math

import pytest
import torch

from hwbench.datasets.softplus import SoftplusDraws
from hwbench.evaluators.gradient_error import GradientError, _summary, jacobian
from hwbench.models.plane import GaussianMixture
from hwbench.models.softplus import SoftplusGaussian


@pytest.fixture(scope="module")
def drawn():
    return SoftplusDraws(slope=(1.0, 1.0), noise=0.5).load(0).test


def test_jacobian_is_that_of_one_backward_pass_for_each_point():
    model = SoftplusGaussian(1, (1.0, 0.5), 0.5).double()
    x = torch.tensor([[-1.0], [0.5], [2.0]]).double()
    found = jacobian(model.log_prob(x), [model.slope])
    expected = [torch.autograd.grad(model.log_prob(p[None]).sum(), model.slope)[0] for p in x]
    torch.testing.assert_close(found, torch.stack(expected))


def test_metrics_of_a_known_error():
    """An offset of norm 0.5 for gradients of norm 2, and noise of known variance."""
    draws = torch.Generator().manual_seed(0)
    truth = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).double().repeat(50, 1)
    offset = torch.tensor([0.3, 0.4]).double()
    exact = _summary(offset.expand(4, 100, 2), truth).metrics
    assert exact["relative_error"].value == pytest.approx(0.25)
    assert exact["log_relative_error"].value == pytest.approx(math.log(0.25))
    assert exact["bias"].value == pytest.approx(0.25)
    assert exact["spread"].value == pytest.approx(0.0, abs=1e-9)
    noise = 0.8 * torch.randn(30, 100, 2, generator=draws).double()
    noisy = _summary(offset + noise, truth).metrics
    assert abs(noisy["bias"].value - 0.25) < 5 * noisy["bias"].mc_se < 0.1
    spread = noisy["spread"]
    assert abs(spread.value - 0.8 * 2**0.5 / 2) < 5 * spread.mc_se < 0.1


def test_a_rule_without_chance_has_bias_and_no_spread(drawn):
    block = {"use": "posterior.GaussianPosterior", "nodes": 21, "covariance": "factorised"}
    found = GradientError(block, repeats=3, points=10)(
        SoftplusGaussian(1, (1.0, 1.0), 0.5), drawn, seed=0
    ).metrics
    assert found["bias"].value > 0.05
    assert found["spread"].value == pytest.approx(0.0, abs=1e-9)
    assert found["relative_error"].mc_se == pytest.approx(0.0, abs=1e-9)


@pytest.mark.statistical
def test_the_error_falls_with_the_number_of_dreams(drawn):
    model, errors = SoftplusGaussian(1, (1.0, 1.0), 0.5), {}
    for n in (100, 800):
        block = {"use": "kernel.AmortisedLearning", "samples": n}
        errors[n] = GradientError(block, repeats=5, points=30)(model, drawn, seed=0)
    few, many = (errors[n].metrics["log_relative_error"] for n in (100, 800))
    assert few.value - many.value > 5 * math.hypot(few.mc_se, many.mc_se) / 2


def test_it_says_what_is_wrong():
    with pytest.raises(ValueError, match="repeats ≥ 3"):
        GradientError({"use": "kernel.AmortisedLearning"}, repeats=2)
    with pytest.raises(ValueError, match=r"likelihood.MaximumLikelihood gives no estimate"):
        GradientError({"use": "likelihood.MaximumLikelihood"})


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            {"use": "kernel.AmortisedLearning", "form": "exponential"},
            "form: exponential needs an ExponentialDreamer; GaussianMixture is none",
        ),
        (
            {"use": "posterior.GaussianPosterior"},
            "posterior.GaussianPosterior needs a GaussianDreamer; GaussianMixture is not one",
        ),
    ],
)
def test_an_estimator_that_the_model_does_not_suit_is_refused(block, message):
    with pytest.raises(ValueError, match=message):
        GradientError(block).refuse(GaussianMixture.tiny(), (2,))
