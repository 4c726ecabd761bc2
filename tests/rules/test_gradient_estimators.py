"""Pathwise, second-order and REINFORCE gradients against quadrature, differences and each other."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.smooth import SmoothHelmholtzMachine
from hwbench.protocols import Gaussian, TrainSplit
from hwbench.rules.backprop import StochasticBackpropagation
from hwbench.rules.reinforce import REINFORCE

REPEATS = 30


def estimators(k=200, score_k=1000):
    """All unbiased ones, fresh; those by the score need more samples to tell as much."""
    return {
        "pathwise": StochasticBackpropagation(order=1, k=k),
        "exact": StochasticBackpropagation(order=2, hessian="exact", k=k),
        "hutchinson": StochasticBackpropagation(order=2, hessian="hutchinson", k=k),
        "REINFORCE, none": REINFORCE("none", k=score_k),
        "REINFORCE, mean": REINFORCE("mean", k=score_k),
        "REINFORCE, leave-one-out": REINFORCE("leave-one-out", k=score_k),
    }


def all_binary(d):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d))).double()


def make(posterior="bottom-up", covariance="free", layers=(1, 1), seed=0):
    torch.manual_seed(seed)
    model = SmoothHelmholtzMachine(4, list(layers), posterior, covariance).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.7)
        for net in model.recognition:  # variances near 1, so that every term counts
            if net.covariance is None:
                net.free[0] *= 0.5
    return model


X = all_binary(4)[[1, 6, 7, 12]]


def free_energy(model, x):
    """Mean F(x) of a machine with layers [1, 1], by quadrature over both units of q."""
    t, w = np.polynomial.hermite_e.hermegauss(40)
    t, w = torch.from_numpy(t), torch.from_numpy(w / math.sqrt(2 * math.pi))
    q1 = model.conditional(0, x, [])
    h1 = (q1.mean + q1.root(t[:, None, None])).repeat_interleave(40, 0)
    q2 = model.conditional(1, x, [h1])
    h2 = q2.mean + q2.root(t.repeat(40)[:, None, None])
    cost = model.log_q([h1, h2], x) - model.log_joint(x, [h1, h2])
    return (w[:, None] * w).flatten() @ cost.mean(1)


def gradient(model, loss):
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    filled = [
        torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)
    ]
    return torch.cat([g.flatten() for g in filled])


def draws(model, rule, x, repeats):
    return torch.stack([gradient(model, rule(model, x)) for _ in range(repeats)])


def assert_mean(samples, expected):
    """Every entry's mean is within 5 standard errors of what is expected."""
    assert_close(samples.mean(0), expected, samples.std(0) / math.sqrt(len(samples)), expected)


def assert_close(found, expected, error, gradient):
    """Every entry is within 5 standard errors, of which the largest is small enough to tell.

    5 of it are less than half of the gradient's largest entry: half the gradient would not pass.
    """
    assert ((found - expected).abs() <= 5 * error + 1e-9).all()
    assert 5 * error.max() < 0.5 * gradient.abs().max()


def differences(model, expectation, step=1e-5):
    """Central finite differences of an exact expectation in every parameter."""
    out = []
    with torch.no_grad():
        for p in model.parameters():
            for i in range(p.numel()):
                values = []
                for sign in (1, -1):
                    p.view(-1)[i] += sign * step
                    values.append(expectation())
                    p.view(-1)[i] -= sign * step
                out.append((values[0] - values[1]) / (2 * step))
    return torch.stack(out)


@pytest.mark.parametrize(
    ("posterior", "covariance"),
    [
        pytest.param("bottom-up", "free", marks=pytest.mark.slow),
        ("bottom-up", "network"),
        pytest.param("mean-field", "network", marks=pytest.mark.slow),
        pytest.param("rank-one", "free", marks=pytest.mark.slow),
    ],
)
@pytest.mark.statistical
def test_estimators_agree_with_finite_differences_of_the_free_energy(posterior, covariance):
    """Bonnet's and Price's identities, the path's and the score's, two stochastic layers deep.

    5 standard errors over 30 gradients of 200 samples each (1000 for the score), for every
    parameter.
    """
    model = make(posterior, covariance)
    expected = differences(model, lambda: free_energy(model, X))
    torch.testing.assert_close(
        expected, gradient(model, free_energy(model, X)), atol=1e-6, rtol=1e-5
    )
    for rule in estimators().values():
        torch.manual_seed(0)
        assert_mean(draws(model, rule, X, REPEATS), expected)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("posterior", "layers"),
    [
        pytest.param("rank-one", (3,), marks=pytest.mark.slow),
        pytest.param("bottom-up", (3, 2), marks=pytest.mark.slow),
        pytest.param("mean-field", (3, 2), marks=pytest.mark.slow),
        ("rank-one", (3, 2)),
    ],
)
def test_estimators_agree_in_expectation(posterior, layers):
    """Differences of means in 5 of their standard errors; more units, full covariances."""
    model = make(posterior, "network", layers)
    found = {}
    for name, rule in estimators(score_k=8000).items():
        torch.manual_seed(0)
        found[name] = draws(model, rule, X, REPEATS)
    a = found.pop("pathwise")
    for b in found.values():
        error = ((a.var(0) + b.var(0)) / REPEATS).sqrt()
        assert_close(b.mean(0), a.mean(0), error, a.mean(0))


@pytest.mark.statistical
def test_the_diagonal_form_is_exact_for_one_layer_and_biased_for_two():
    """So says its docstring; 5 and 10 standard errors."""
    diagonal = StochasticBackpropagation(order=2, hessian="diagonal", k=50)
    exact = StochasticBackpropagation(order=2, hessian="exact", k=50)
    model = make(layers=(3,))
    torch.manual_seed(0)
    one = gradient(model, diagonal(model, X))
    torch.manual_seed(0)
    torch.testing.assert_close(one, gradient(model, exact(model, X)))

    model = make(layers=(3, 2))
    torch.manual_seed(0)
    difference = draws(model, diagonal, X, REPEATS)
    torch.manual_seed(0)
    difference = difference - draws(model, exact, X, REPEATS)
    error = difference.std(0) / math.sqrt(REPEATS)
    worst = (difference.mean(0).abs() / (error + 1e-12)).max()
    assert worst > 10


def test_price_has_no_variance_for_a_quadratic():
    """For a quadratic cost the second derivative is the same at every sample."""

    class Quadratic(SmoothHelmholtzMachine):
        def log_joint(self, x, h):
            return -(h[0] - x[..., :3]).square().sum(-1)

    torch.manual_seed(0)
    model = Quadratic(4, [3]).double()
    q = model.recognition[0]
    expected = torch.autograd.grad(
        ((q(X).mean - X[:, :3]).square() + q(X).variance()).sum(-1).mean() - q(X).entropy().mean(),
        [q.mean.weight, q.free],
    )
    rule = StochasticBackpropagation(order=2, k=2)
    for _ in range(2):
        (weight, free) = torch.autograd.grad(rule(model, X), [q.mean.weight, q.free])
        torch.testing.assert_close(free, expected[1])
        assert not torch.allclose(weight, expected[0])  # the mean's part does depend on it


# --- a function on R³ under a full covariance

PAIRS = [(i, j) for i in range(3) for j in range(i, 3)]  # of Σ, an off-diagonal pair as one
A, B, SHIFT = (
    torch.tensor(values).double() for values in ([0.9, -0.7, 0.5], [0.3, 0.5, -0.4], 0.4)
)


def f(y):
    """y₁ y₂ y₃ + y₁² y₂ + 2 cos(a·y + ½) + exp(b·y): every derivative of it varies."""
    cubic = y.prod(-1) + y[..., 0].square() * y[..., 1]
    return cubic + 2 * (y @ A + SHIFT).cos() + (y @ B).exp()


def mean_of_f(mu, cov):
    """E f(y), y ~ N(mu, cov), in closed form."""
    products = mu.prod() + mu[0] * cov[1, 2] + mu[1] * cov[0, 2] + mu[2] * cov[0, 1]
    square = (mu[0].square() + cov[0, 0]) * mu[1] + 2 * mu[0] * cov[0, 1]
    wave = 2 * (mu @ A + SHIFT).cos() * (-0.5 * A @ cov @ A).exp()
    return products + square + wave + (mu @ B + 0.5 * B @ cov @ B).exp()


class Full(Gaussian):
    """N(mean, Σ) with Σ as it is given."""

    def __init__(self, mean, cov):
        self.mean, self.cov = mean, cov
        self.normal = MultivariateNormal(mean, cov)

    def root(self, noise):
        return noise @ torch.linalg.cholesky(self.cov).t()

    def variance(self):
        return self.cov.diagonal()

    def log_prob(self, h):
        return self.normal.log_prob(h)

    def entropy(self):
        return self.normal.entropy()


class OnR3(SmoothHelmholtzMachine):
    """q is N(μ, Σ) whatever x is, and −log p(x, h) is f(h): all parameters are μ and Σ."""

    def __init__(self):
        super().__init__(1, [3])
        del self.generative, self.recognition
        self.mu = nn.Parameter(torch.tensor([0.4, -0.6, 0.8]).double())
        self.entries = nn.Parameter(torch.tensor([0.9, 0.35, -0.25, 0.7, 0.2, 0.5]).double())

    def covariance(self):
        cov = torch.zeros(3, 3).double()
        for (i, j), entry in zip(PAIRS, self.entries, strict=True):
            cov[i, j] = entry
            cov[j, i] = entry
        return cov

    def conditional(self, layer, x, h):
        return Full(self.mu, self.covariance())

    def log_joint(self, x, h):
        return -f(h[0])


def free_energy_on_r3(model):
    cov = model.covariance()
    return mean_of_f(model.mu, cov) - MultivariateNormal(model.mu, cov).entropy()


def test_the_expectation_in_closed_form_is_that_of_quadrature():
    model = OnR3()
    t, w = np.polynomial.hermite_e.hermegauss(30)
    t, w = torch.from_numpy(t), torch.from_numpy(w / math.sqrt(2 * math.pi))
    with torch.no_grad():
        noise = torch.cartesian_prod(t, t, t)
        values = f(model.mu + Full(model.mu, model.covariance()).root(noise))
        exact = mean_of_f(model.mu, model.covariance())
    torch.testing.assert_close(torch.cartesian_prod(w, w, w).prod(1) @ values, exact)


@pytest.mark.statistical
@pytest.mark.parametrize("name", estimators())
def test_bonnet_and_price_on_r3_with_a_full_covariance(name):
    """∂F/∂μ_i and ∂F/∂Σ_ij of every rule against finite differences of the expectation (HM-C9).

    Off-diagonal entries vary in pairs, so that Price's identity has no ½ there. 5 standard errors
    of the mean of 30 gradients, each below a fifth of the entry it measures.
    """
    model, x = OnR3(), torch.zeros(1, 1).double()
    expected = differences(model, lambda: free_energy_on_r3(model))
    assert expected.abs().min() > 0.1  # no entry is idle
    torch.manual_seed(0)
    samples = draws(model, estimators(k=2000, score_k=20_000)[name], x, REPEATS)
    assert_mean(samples, expected)
    error = samples.std(0) / math.sqrt(REPEATS)
    assert (5 * error < 0.2 * expected.abs()).all()


def test_bonnet_and_price_are_identities_at_a_fixed_point():
    """The same by autograd's ∇f and ∇²f, averaged by quadrature: no sampling at all."""
    model = OnR3()
    t, w = np.polynomial.hermite_e.hermegauss(30)
    t, w = torch.from_numpy(t), torch.from_numpy(w / math.sqrt(2 * math.pi))
    weight = torch.cartesian_prod(w, w, w).prod(1)
    q = Full(model.mu.detach(), model.covariance().detach())
    y = (q.mean + q.root(torch.cartesian_prod(t, t, t))).requires_grad_()
    (slope,) = torch.autograd.grad(f(y).sum(), y, create_graph=True)
    rows = [torch.autograd.grad(slope[:, i].sum(), y, retain_graph=True)[0] for i in range(3)]
    bend = torch.stack(rows, 1)
    price = torch.einsum("n,nij->ij", weight, bend)
    halved = torch.stack([price[i, j] * (0.5 if i == j else 1.0) for i, j in PAIRS])
    expected = differences(model, lambda: mean_of_f(model.mu, model.covariance()))
    torch.testing.assert_close(
        torch.cat([weight @ slope.detach(), halved]), expected, atol=1e-7, rtol=1e-6
    )


@pytest.mark.parametrize("name", estimators())
def test_the_loss_is_the_free_energy(name):
    """Its value is −ELBO, in 5 standard errors of the difference of two means."""
    model = make(layers=(3, 2))
    torch.manual_seed(0)
    h, log_q = model.infer(X, 4000)
    sampled = (log_q - model.log_joint(X, h)).detach()
    rule = estimators()[name]
    values = torch.stack([rule(model, X).detach() for _ in range(REPEATS)])
    error = (sampled.mean(1).var() / 4000 + values.var() / REPEATS).sqrt()
    assert abs(values.mean() - sampled.mean()) < 5 * error


def test_no_gradient_leaks_to_the_generative_net_through_samples():
    """θ gets −∇ log p(x, h) at the drawn h, and nothing else."""
    model = make(layers=(3, 2))
    for name, rule in estimators(k=50, score_k=50).items():
        if name == "pathwise":
            continue  # its θ gradient is the same sum; its draws differ in order
        torch.manual_seed(0)
        found = torch.autograd.grad(rule(model, X), list(model.generative.parameters()))
        torch.manual_seed(0)
        h, _ = model.infer(X, 50)
        expected = torch.autograd.grad(
            -model.log_joint(X, h).mean(), list(model.generative.parameters())
        )
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


# --- REINFORCE's baselines


@pytest.mark.statistical
@pytest.mark.parametrize("baseline", ["none", "mean", "network", "leave-one-out"])
def test_reinforce_on_binary_units_is_the_enumerated_gradient(baseline):
    """5 standard errors over 30 gradients of 2000 samples; enumerated over all 32 states."""
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(4, [3, 2], init="glorot").double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.7)
    states = all_binary(5)[:, None].expand(-1, len(X), -1)
    h = [states[..., :3], states[..., 3:]]
    log_q, log_p = model.log_q(h, X), model.log_joint(X, h)
    expected = gradient(model, (log_q.exp() * (log_q - log_p)).sum(0).mean())
    rule = REINFORCE(baseline, k=2000)
    rule.begin(model, TrainSplit(X))
    rule.double()
    torch.manual_seed(0)
    assert_mean(draws(model, rule, X, REPEATS), expected)


def spread(rule, model, repeats=80):
    torch.manual_seed(0)
    rule.begin(model, TrainSplit(X))
    rule.double()
    if rule.network is not None:  # let it learn first
        optimizer = torch.optim.Adam(rule.parameters(), lr=3e-2)
        for _ in range(100):
            optimizer.zero_grad()
            rule(model, X).backward()
            optimizer.step()
    for _ in range(30):
        rule(model, X)
    return draws(model, rule, X, repeats).var(0).sum().item()


@pytest.mark.statistical
def test_baselines_lower_the_variance():
    """Far from zero F̂ makes the score's variance large; each better-informed baseline cuts it."""
    model = make(layers=(3, 2))
    with torch.no_grad():
        model.generative[0].bias.copy_(torch.tensor([6.0, -6.0, 6.0, -6.0]))
    variance = {b: spread(REINFORCE(b, k=2), model) for b in ("none", "mean", "network")}
    variance["leave-one-out"] = spread(REINFORCE("leave-one-out", k=2), model)
    assert variance["mean"] < 0.9 * variance["none"]
    assert variance["network"] < 0.9 * variance["mean"]
    assert variance["leave-one-out"] < 0.9 * variance["none"]


def test_the_running_mean_lags_and_survives_a_checkpoint():
    """Batch 1 uses the mean of its other samples; batch 2 what batch 1 left behind."""
    rule = REINFORCE("mean", decay=0.75)
    first, second = torch.tensor([[1.0, 2.0, 6.0]]), torch.tensor([[100.0, 0.0, 0.0]])
    x = torch.zeros(3, 4)
    torch.testing.assert_close(rule._baseline(x, first), torch.tensor([[4.0, 3.5, 1.5]]))
    again = REINFORCE("mean", decay=0.75)
    again.load_state_dict(rule.state_dict())
    torch.testing.assert_close(again._baseline(x, second), torch.tensor(3.0).expand(1, 3))
    assert again.running_mean.item() == pytest.approx(0.75 * 3 + 0.25 * 100 / 3)


def test_the_baseline_net_learns_and_the_model_does_not_feel_it():
    model = make(layers=(3, 2))
    rule = REINFORCE("network")
    with pytest.raises(ValueError, match="call begin first"):
        rule(model, X)
    rule.begin(model, TrainSplit(X))
    rule.double()
    rule(model, X).backward()
    assert all(p.grad.abs().sum() > 0 for p in rule.parameters())


def test_leave_one_out_needs_two():
    with pytest.raises(ValueError, match="leave-one-out needs k ≥ 2"):
        REINFORCE("leave-one-out")
