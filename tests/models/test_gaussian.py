"""The Gaussian-binary RBM against integration over x and enumeration of h."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from hwbench.evaluators.ais import AIS
from hwbench.models.gaussian import GaussianRBM
from hwbench.protocols import TestSplit, TrainSplit
from hwbench.rules.contrastive import ContrastiveDivergence

SPREADS = [0.6, 1.0, 1.7]
spreads = pytest.mark.parametrize("spread", SPREADS)


def make(visible=3, hidden=4, spread=1.0, seed=0, scale=0.7):
    torch.manual_seed(seed)
    model = GaussianRBM(visible, hidden=hidden, spread=spread).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, scale)
    return model


def grid(visible, half=15.0, n=301):
    """Return points of a grid and the log of a cell's volume."""
    axis = torch.linspace(-half, half, n, dtype=torch.float64)
    x = torch.cartesian_prod(*[axis] * visible).view(-1, visible)
    return x, visible * math.log(2 * half / (n - 1))


def minus_energies(model, x, every):
    """Return −E(x, h) for every point (rows) and state of h (columns)."""
    n, m = len(x), len(every)
    return -model.energy(x[:, None].expand(-1, m, -1), every.expand(n, -1, -1)).detach()


@spreads
def test_the_energy_is_that_of_the_formula(spread):
    model = make(2, 3, spread)
    x, h = torch.randn(5, 2).double(), torch.rand(5, 3).double().round()
    w, b, c = model.weight, model.visible_bias, model.hidden_bias
    for i in range(5):
        expected = sum((x[i, d] - b[d]) ** 2 / (2 * spread**2) for d in range(2))
        expected -= sum(c[j] * h[i, j] for j in range(3))
        expected -= sum(x[i, d] / spread * w[d, j] * h[i, j] for d in range(2) for j in range(3))
        torch.testing.assert_close(model.energy(x, h)[i], expected)


@spreads
def test_free_energy_sums_over_hidden_states(spread, all_binary):
    model, x = make(spread=spread), 2 * torch.randn(9, 3).double()
    summed = -minus_energies(model, x, all_binary(4)).logsumexp(1)
    torch.testing.assert_close(model.free_energy(x).detach(), summed)


@spreads
@pytest.mark.parametrize(("visible", "hidden"), [(1, 5), (2, 3)])
def test_the_density_integrates_to_one(spread, visible, hidden):
    """∫ exp(−F(x) − log Z) dx on a fine grid, in one and two dimensions."""
    model = make(visible, hidden, spread)
    x, log_cell = grid(visible)
    log_p = -model.free_energy(x).detach() - model.log_partition()
    assert log_p.logsumexp(0).item() + log_cell == pytest.approx(0.0, abs=1e-10)


@spreads
def test_it_is_a_mixture_of_gaussians(spread, all_binary):
    """p(h) from log Z's own terms and p(x | h) = N(b + s W h, s² I): an independent formula."""
    model, every = make(spread=spread), all_binary(4)
    w, b, c = (p.detach() for p in (model.weight, model.visible_bias, model.hidden_bias))
    means = b + spread * every @ w.t()
    weights = every @ c + (means.square() - b.square()).sum(1) / (2 * spread**2)
    x = 2 * torch.randn(20, 3).double()
    parts = [multivariate_normal(m, spread**2 * np.eye(3)).logpdf(x.numpy()) for m in means.numpy()]
    expected = torch.logsumexp(torch.tensor(np.stack(parts, 1)) + weights.log_softmax(0), 1)
    torch.testing.assert_close(-model.free_energy(x).detach() - model.log_partition(), expected)


def test_log_z_of_many_units_without_couplings():
    """log Z = D/2 log 2π + Σ_j softplus(c_j), over more states than one chunk holds."""
    model = make(3, 16)
    with torch.no_grad():
        model.weight.zero_()
    expected = 1.5 * math.log(2 * math.pi) + torch.nn.functional.softplus(model.hidden_bias).sum()
    torch.testing.assert_close(model.log_partition(), expected.detach())


@spreads
def test_conditionals_are_those_of_the_joint(spread, all_binary):
    model, every = make(2, 3, spread), all_binary(3)
    x, _ = grid(2)
    log_joint = minus_energies(model, x, every)
    near = x.square().sum(1) < 9
    hidden = log_joint[near].softmax(1) @ every
    torch.testing.assert_close(model.hidden_logits(x[near]).sigmoid().detach(), hidden)
    p = log_joint.softmax(0).t()  # of x given h
    means = p @ x
    torch.testing.assert_close(model.visible_means(every).detach(), means)
    variances = p @ x.square() - means.square()
    torch.testing.assert_close(variances, torch.full_like(variances, spread**2))


@pytest.mark.statistical
@spreads
def test_a_gibbs_sweep_follows_both_conditionals(spread):
    """From one start: mean and covariance of the next x, exact through p(h | x): 5 s.e."""
    model = make(spread=spread)
    n, start = 200_000, torch.tensor([0.5, -1.0, 2.0]).double()
    torch.manual_seed(0)
    x = model.gibbs(start.expand(n, -1), 1)
    q = model.hidden_logits(start).sigmoid().detach()
    w = model.weight.detach()
    mean = model.visible_bias.detach() + spread * w @ q
    covariance = spread**2 * (w @ torch.diag(q * (1 - q)) @ w.t() + torch.eye(3).double())
    centred = x - mean
    products = centred[:, :, None] * centred[:, None]
    for found, expected in ((centred, torch.zeros(3)), (products, covariance)):
        error = 5 * found.std(0) / n**0.5
        assert ((found.mean(0) - expected).abs() < error).all()


def exact_gradient(model, x, every):
    """Of −mean log p(x): h is enumerated, and the means of x given h are known."""
    weight = model.weight
    linear = model.hidden_bias + model.visible_bias @ weight / model.spread
    log_z = (every @ linear + (every @ weight.t()).square().sum(1) / 2).logsumexp(0)
    loss = model.free_energy(x).mean() + log_z
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.statistical
def test_the_mean_update_of_cd_tends_to_the_exact_gradient(all_binary):
    """The distance falls with k and for k = 30 is within 5 standard errors, unlike at k = 1."""
    model, x = make(scale=0.6), torch.randn(4, 3).double()
    exact = exact_gradient(model, x, all_binary(4))
    many = x.repeat(1000, 1)
    distances, z = [], []
    for k in (1, 4, 30):
        rule = ContrastiveDivergence(k=k)
        torch.manual_seed(0)
        draws = []
        for _ in range(20):
            model.zero_grad()
            rule.backward(model, many)
            draws.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        draws = torch.stack(draws)
        off = draws.mean(0) - exact
        distances.append(off.norm().item())
        z.append((off.abs() / (draws.std(0) / len(draws) ** 0.5)).max().item())
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 5 * distances[-1]
    assert z[0] > 10
    assert z[-1] < 5


@pytest.mark.statistical
def test_training_finds_the_modes_of_a_mixture():
    """Exact log-likelihood near that of the mixture that drew the points."""
    draws = torch.Generator().manual_seed(0)
    means = torch.tensor([[2.0, 2.0], [-2.0, -2.0]])
    x = means[torch.randint(2, (4000,), generator=draws)]
    x = x + torch.randn(x.shape, generator=draws)
    torch.manual_seed(0)
    model = GaussianRBM(2, hidden=4, init=0.1)
    model.adapt(TrainSplit(x))
    rule, optimizer = ContrastiveDivergence(k=5), torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(250):
        optimizer.zero_grad()
        rule.backward(model, x[torch.randint(4000, (100,))])
        optimizer.step()
    truth = torch.logsumexp(-(x[:, None] - means).square().sum(2) / 2, 1) - math.log(4 * math.pi)
    found = -model.free_energy(x).mean() - model.log_partition()
    assert truth.mean() - found < 0.05
    at_start = GaussianRBM(2, hidden=4, init=0.0)
    assert truth.mean() - (-at_start.free_energy(x).mean() - at_start.log_partition()) > 1


@pytest.mark.statistical
def test_samples_follow_the_model():
    """Their mean is the mean of p(x), by quadrature."""
    model = make(2, 3)
    x, _ = grid(2)
    expected = (-model.free_energy(x)).softmax(0).detach() @ x
    torch.manual_seed(0)
    means = model.sample(20_000, sweeps=50)
    assert ((means.mean(0) - expected).abs() < 5 * means.std(0) / len(means) ** 0.5).all()


def test_adapt_keeps_the_means_and_starts_the_biases():
    split = TrainSplit(torch.tensor([[-3.0, 0.0], [5.0, 0.5]]))
    model = GaussianRBM(2, hidden=2)
    model.adapt(split)
    torch.testing.assert_close(model.data_means, torch.tensor([1.0, 0.25]))
    torch.testing.assert_close(model.visible_bias.detach(), model.data_means)
    flat = GaussianRBM(2, hidden=2, visible_bias="zero")
    flat.adapt(split)
    assert (flat.visible_bias == 0).all()


def test_bad_input():
    with pytest.raises(ValueError, match="k ≥ 0 sweeps"):
        make().gibbs(torch.zeros(1, 3).double(), -1)
    with pytest.raises(ValueError, match="26 hidden units are too many to enumerate"):
        GaussianRBM(2, hidden=26).log_partition()
    with pytest.raises(ValueError, match="spread above 0, found 0"):
        GaussianRBM(2, spread=0.0)
    with pytest.raises(ValueError, match="GaussianRBM has real observed units"):
        AIS.tiny()(make(), TestSplit(torch.zeros(3, 3)), seed=0)
