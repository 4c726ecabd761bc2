"""Variational bounds as rules: gradients against their formulas, bounds against quadrature."""

import math

import pytest
import torch

from hwbench.models.vae import VAE
from hwbench.numerics import log_mean_exp
from hwbench.protocols import TrainSplit
from hwbench.rules.bounds import ELBO, IWAE, log_weights

SIGMA = 5.0


def gradients(rule, model, x, seed=3):
    model.zero_grad()
    torch.manual_seed(seed)
    rule.backward(model, x)
    return [p.grad.clone() for p in model.parameters()]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VAE(6, latent=[3, 2], hidden=[[5], [4]]).double()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return (torch.rand(8, 6) < 0.5).double()


def test_vae_and_iwae_gradients_are_equal_at_one_sample(model, x):
    for a, b in zip(gradients(ELBO(1), model, x), gradients(IWAE(1), model, x), strict=True):
        torch.testing.assert_close(a, b)


def test_vae_and_iwae_gradients_differ_at_more_samples(model, x):
    pairs = zip(gradients(ELBO(5), model, x), gradients(IWAE(5), model, x), strict=True)
    assert any(not torch.allclose(a, b) for a, b in pairs)


@pytest.mark.parametrize("random", [[], ["recognition"], ["generative", "recognition"]])
def test_iwae_gradient_is_the_weighted_sum(random, x):
    """∇L_k = Σ_j w̃_j ∇ log w_j, with w̃ held constant, on the same draws."""
    torch.manual_seed(0)
    model = VAE(6, latent=2, hidden=[4], random=random, weight_log_var=-2.0).double()
    automatic = gradients(IWAE(7), model, x)
    model.zero_grad()
    torch.manual_seed(3)
    log_w = log_weights(model, x, 7)
    w = log_w.detach().softmax(0)
    torch.testing.assert_close(w.sum(0), torch.ones(8).double())
    (-(w * log_w).sum(0).mean()).backward()
    for a, p in zip(automatic, model.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad)


def test_iwae_gradient_against_finite_differences(x):
    """On frozen noise the bound is a smooth function of every parameter."""
    torch.manual_seed(0)
    model = VAE(6, latent=2, hidden=[3], random=["generative"], weight_log_var=-2.0).double()
    grads = gradients(IWAE(4), model, x)
    step = 1e-6
    for p, g in zip(model.parameters(), grads, strict=True):
        flat, index = p.data.view(-1), int(torch.randint(p.numel(), ()))
        values = []
        for sign in (1, -1):
            flat[index] += sign * step
            torch.manual_seed(3)
            values.append(IWAE(4)(model, x).item())
            flat[index] -= sign * step
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(
            g.view(-1)[index].item(), rel=1e-4, abs=1e-8
        )


@pytest.mark.statistical
def test_bounds_rise_with_samples_and_stay_below_the_likelihood():
    """L_1 ≤ L_5 ≤ L_50 ≤ log p(x) on independent draws, in standard errors; p by quadrature."""
    torch.manual_seed(0)
    model = VAE(4, latent=1, hidden=[5], output_bias="zero").double()
    with torch.no_grad():
        for p in model.generative.parameters():
            p.mul_(3.0)  # a bound that is visibly loose
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0]]).double()
    grid = torch.linspace(-9, 9, 4000, dtype=torch.float64)
    exact = (
        (model.log_joint(x, [grid[:, None, None]]) + math.log(grid[1] - grid[0]))
        .logsumexp(0)
        .item()
    )
    bounds, errors = [], []
    for k in (1, 5, 50):
        with torch.no_grad():
            values = log_mean_exp(log_weights(model, x, 4000 * k).view(4000, k), 1)
        bounds.append(values.mean().item())
        errors.append(values.std().item() / math.sqrt(4000))
    bounds.append(exact)
    errors.append(0.0)
    for i in range(3):
        rise = (bounds[i + 1] - bounds[i]) / math.hypot(errors[i], errors[i + 1])
        assert rise > SIGMA, f"from bound {i}: {rise:.1f} standard errors"


def test_weight_kl_is_added_per_training_point(x):
    torch.manual_seed(0)
    model = VAE(6, latent=2, hidden=[4], random=["generative"]).double()
    train = TrainSplit(torch.zeros(50, 6, dtype=torch.uint8))
    plain, with_kl = IWAE(3), IWAE(3, weight_kl=True)
    with_kl.begin(model, train)
    torch.manual_seed(5)
    a = plain(model, x)
    torch.manual_seed(5)
    b = with_kl(model, x)
    torch.testing.assert_close(b - a, model.weight_kl() / 50)


@pytest.mark.parametrize("random", [None, ["recognition"]])
def test_weight_kl_without_random_generative_weights_is_refused(random):
    """It would be 0 whatever the weights are."""
    model = VAE(6, latent=2, hidden=[4], random=random)
    train = TrainSplit(torch.zeros(50, 6, dtype=torch.uint8))
    rule = IWAE(3, weight_kl=True)
    for refuse in (lambda: rule.check(model), lambda: rule.begin(model, train)):
        with pytest.raises(ValueError, match="weight_kl: this VAE has no random generative"):
            refuse()
    IWAE(3).begin(model, train)
    rule.check(VAE(6, latent=2, hidden=[4], random=["generative", "recognition"]))


@pytest.mark.statistical
def test_elbo_of_many_samples_has_the_same_mean_and_less_noise(model, x):
    with torch.no_grad():
        one = torch.stack([ELBO(1)(model, x) for _ in range(400)])
        ten = torch.stack([ELBO(10)(model, x) for _ in range(400)])
    se = math.hypot(one.std().item(), ten.std().item()) / math.sqrt(400)
    assert abs(one.mean() - ten.mean()).item() < SIGMA * se
    assert ten.var() < 0.2 * one.var()
