import math

import numpy as np
import pytest
import torch
from scipy import optimize, special

from hwbench.models.softplus import SoftplusGaussian
from hwbench.rules.posterior import GaussianPosterior, PriorSampling, gauss_hermite

WAITS = {"posterior.GaussianPosterior": "when L-BFGS has converged"}


@pytest.fixture
def model():
    return SoftplusGaussian(1, (1.0, 1.0), 0.5).double()


@pytest.fixture
def x():
    return torch.tensor([[-1.5], [0.0], [1.0]]).double()


class Linear(SoftplusGaussian):
    """x ~ N(b·z, σ²): its posterior is Gaussian, so the best q is exact."""

    def mean(self, z):
        return z @ self.slope


def linear_log_p(model, x):
    variance = model.slope.square().sum() + model.noise**2
    return -0.5 * (x[:, 0].square() / variance + variance.log() + math.log(2 * math.pi))


def gradient(value, model):
    return torch.autograd.grad(value.sum(), model.slope)[0]


def test_with_a_gaussian_posterior_the_best_q_gives_the_exact_gradient(x):
    """To the root of the change of the bound (1e-10) at which the search for q stops."""
    model = Linear(1, (1.0, 0.5), 0.5).double()
    found = gradient(GaussianPosterior("full").estimate(model, x), model)
    torch.testing.assert_close(found, gradient(linear_log_p(model, x), model), rtol=0, atol=1e-5)
    factorised = gradient(GaussianPosterior("factorised").estimate(model, x), model)
    assert (factorised - found).norm() > 0.05 * found.norm()


@pytest.mark.parametrize("covariance", ["full", "factorised"])
def test_the_best_q_is_a_maximum_of_the_bound(covariance, model, x):
    """No small step of its mean or of its scales raises the evidence lower bound of any point."""
    rule = GaussianPosterior(covariance)
    noise, weight = gauss_hermite(41, 2)

    def bound(mean, root):
        z = mean + torch.einsum("bij,nj->nbi", root, noise)
        return weight @ model.log_joint(x, [z]) + root.diagonal(dim1=1, dim2=2).log().sum(1)

    mean, root = rule._best(model, x, noise, weight)
    best = bound(mean, root)
    assert (best + 1 + math.log(2 * math.pi) <= model.log_prob(x)).all()
    for i in range(2):
        for step in (1e-3, -1e-3):
            shift = torch.zeros(2).double()
            shift[i] = step
            assert (bound(mean + shift, root) <= best + 1e-9).all()
            assert (bound(mean, root @ torch.diag(1 + shift)) <= best + 1e-9).all()


def on_a_line(x, b, noise, covariance):
    """Return the gradient with the best q by another program: numpy, scipy, and no product rule.

    log p(x | z) depends on a = b·z only, a Gaussian number under q, so every expectation is an
    integral over a line. The best full q has one axis along b, and is the prior across it.
    """
    r2, e = b @ b, np.linspace(-10, 10, 4001)
    weight = np.exp(-(e**2) / 2) / np.exp(-(e**2) / 2).sum()

    def parts(p):
        mean, variance = p[0] * b / np.sqrt(r2), np.exp(2 * p[1:])
        spread = b**2 @ variance if covariance == "factorised" else r2 * variance[0]
        return mean, variance, b @ mean + np.sqrt(spread) * e, spread

    def loss(p):
        mean, variance, a, _ = parts(p)
        error = (x - np.logaddexp(0, a) + r2) / noise
        return weight @ error**2 / 2 + (mean @ mean + variance.sum()) / 2 - p[1:].sum()

    size = 3 if covariance == "factorised" else 2
    start = np.array([0.0, -1.0, -1.0][:size])
    rough = optimize.minimize(loss, start, method="BFGS").x
    fine = {"xatol": 1e-8, "fatol": 1e-13, "maxiter": 4000}
    best = optimize.minimize(loss, rough, method="Nelder-Mead", options=fine).x
    mean, variance, a, spread = parts(best)
    share = b * variance / spread  # E[z | a] = m + share (a − b·m)
    z = mean[:, None] + share[:, None] * (a - b @ mean)
    slope = (x - np.logaddexp(0, a) + r2) / noise**2
    return (slope * (special.expit(a) * z - 2 * b[:, None])) @ weight


@pytest.mark.parametrize("covariance", ["full", "factorised"])
@pytest.mark.parametrize(("b", "sigma"), [((1.0, 1.0), 0.5), ((2.0, -1.0), 0.1)])
def test_the_gradient_with_the_best_q_is_that_of_another_program(covariance, b, sigma):
    """To 1e-4 of its norm: 41² Gauss-Hermite nodes and L-BFGS lose no more."""
    model = SoftplusGaussian(1, b, sigma).double()
    for x in (-3.0, -0.5, 0.8):
        point = torch.tensor([[x]]).double()
        found = gradient(GaussianPosterior(covariance).estimate(model, point), model).numpy()
        wanted = on_a_line(x, np.array(b), sigma, covariance)
        assert np.linalg.norm(found - wanted) < 1e-4 * np.linalg.norm(wanted)


@pytest.mark.statistical
def test_many_prior_samples_give_the_exact_gradient(model, x):
    torch.manual_seed(0)
    rule = PriorSampling(20_000)
    draws = torch.stack([gradient(rule.estimate(model, x), model) for _ in range(20)])
    error = draws.mean(0) - gradient(model.log_prob(x), model)
    assert (error.abs() < 5 * draws.std(0) / 20**0.5 + 2e-3).all()  # bias of 1/samples


def test_they_say_what_is_wrong(model):
    with pytest.raises(ValueError, match="samples must be at least 1"):
        PriorSampling(0)
    with pytest.raises(ValueError, match="nodes must be at least 2"):
        GaussianPosterior(nodes=1)
    with pytest.raises(ValueError, match="400 nodes for each of the 2 latents of SoftplusGaussian"):
        GaussianPosterior(nodes=400).check(model)
