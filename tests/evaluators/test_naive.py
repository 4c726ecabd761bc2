import itertools
import math

import numpy as np
import pytest
import torch

from hwbench.evaluators.exact import EnumeratedLogLikelihood
from hwbench.evaluators.importance import LogLikelihood
from hwbench.evaluators.naive import NaiveLogLikelihood
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.smooth import SmoothHelmholtzMachine
from hwbench.models.vae import VAE
from hwbench.protocols import TestSplit
from hwbench.rules.backprop import StochasticBackpropagation

EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    machine = SmoothHelmholtzMachine.tiny()
    with torch.no_grad():
        for p in machine.parameters():
            p.normal_(0, 0.7)
        machine.generative[0].weight.mul_(4)
    return machine


def log_px(model, x):
    """By quadrature over p(h2) and p(h1 | h2)."""
    t, w = np.polynomial.hermite_e.hermegauss(80)
    t, log_w = torch.from_numpy(t), torch.from_numpy(w / math.sqrt(2 * math.pi)).log()
    model, h2 = model.double(), t[:, None, None, None]
    p1 = model.generative[1](h2)
    h1 = p1.mean + p1.root(t[:, None, None])
    log_p = model.log_likelihood(x.double(), [h1, h2])
    return (log_p + log_w[:, None, None] + log_w[:, None]).logsumexp((0, 1)).detach()


@pytest.mark.statistical
def test_it_is_unbiased_in_the_exponential_domain(model):
    """E (1/K) Σ p(x | h_k) = p(x): 5 standard errors over 300 runs of 20 samples."""
    points = TestSplit(EVERY.byte())
    runs = [NaiveLogLikelihood(k=20, repeats=1)(model, points, seed=s) for s in range(300)]
    p = np.exp([r.per_point["log_px"] for r in runs])
    error = p.std(0, ddof=1) / math.sqrt(len(p))
    assert (np.abs(p.mean(0) - log_px(model, EVERY).exp().numpy()) < 5 * error).all()


@pytest.mark.statistical
def test_it_converges_and_knows_its_error(model):
    """To the quadrature, within 5 Monte Carlo errors of the mean over points."""
    found = NaiveLogLikelihood(k=20_000, repeats=8)(model, TestSplit(EVERY.byte()), seed=0)
    metric = found.metrics["log_likelihood"]
    exact = log_px(model, EVERY).mean().item()
    assert abs(metric.value - exact) < 5 * metric.mc_se < 0.1
    assert found.metrics["nll"].value == -metric.value
    assert metric.kind == "lower bound"
    curve = found.curves["k_curve"]
    assert curve.y == sorted(curve.y)
    assert curve.x[-1] == 20_000


@pytest.mark.statistical
def test_importance_sampling_beats_it_at_equal_k(model):
    """With a trained q: a tighter bound by 5 errors of the difference, and a smaller variance."""
    torch.manual_seed(0)
    model.recognition = SmoothHelmholtzMachine.tiny().recognition
    optimizer = torch.optim.Adam(model.recognition.parameters(), lr=0.05)
    rule = StochasticBackpropagation(k=20)
    for _ in range(100):
        optimizer.zero_grad()
        rule.backward(model, EVERY)
        optimizer.step()
    points, name = TestSplit(EVERY.byte()), "estimator_variance"
    naive = NaiveLogLikelihood(k=5, repeats=400)(model, points, seed=0).metrics["log_likelihood"]
    sampled = LogLikelihood(k=5, repeats=100)(model, points, seed=0).metrics["log_likelihood"]
    variances = [
        np.mean([evaluator(k=50)(model, points, seed=s).metrics[name].value for s in range(20)])
        for evaluator in (LogLikelihood, NaiveLogLikelihood)
    ]
    exact = log_px(model, EVERY).mean().item()
    assert sampled.value - naive.value > 5 * math.hypot(sampled.mc_se, naive.mc_se)
    assert sampled.value < exact + 5 * sampled.mc_se
    assert sampled.mc_se < 0.5 * naive.mc_se
    assert variances[0] < 0.5 * variances[1]


@pytest.mark.statistical
def test_estimator_variance_is_that_between_runs(model):
    """Blocks of 30 in runs of 300, against runs of 30; 5 standard errors."""
    points = TestSplit(EVERY.byte())
    blocks = [NaiveLogLikelihood(k=300, repeats=1)(model, points, seed=s) for s in range(100)]
    found = np.array([run.metrics["estimator_variance"].value for run in blocks])
    small = np.stack(
        [
            NaiveLogLikelihood(k=30, repeats=1)(model, points, seed=s).per_point["log_px"]
            for s in range(500)
        ]
    ).astype(np.float64)
    each = ((small - small.mean(0)) ** 2).mean(1) * 500 / 499
    error = math.hypot(found.std(ddof=1) / 10, each.std(ddof=1) / math.sqrt(500))
    assert abs(found.mean() - each.mean()) < 5 * error < 0.5 * each.mean()


@pytest.mark.statistical
@pytest.mark.parametrize("random", [False, True])
def test_it_measures_a_vae(random):
    """Against quadrature; random weights, all but known, change nothing. 5 Monte Carlo errors."""
    torch.manual_seed(0)
    nets = ["generative"] if random else None
    vae = VAE(4, latent=1, hidden=[5], random=nets, weight_log_var=-20.0)
    with torch.no_grad():
        for p in vae.generative.parameters():
            if p.min() > -19:
                p.mul_(2)
    found = NaiveLogLikelihood(k=5000, repeats=8)(vae, TestSplit(EVERY.byte()), seed=0)
    grid = torch.linspace(-9, 9, 2000)
    with torch.no_grad(), vae.mean_weights():
        log_p = vae.log_joint(EVERY, [grid[:, None, None].expand(-1, 16, 1)]).double()
    exact = (log_p + math.log(grid[1] - grid[0])).logsumexp(0).mean().item()
    metric = found.metrics["log_likelihood"]
    assert abs(metric.value - exact) < 5 * metric.mc_se < 0.02


@pytest.mark.statistical
@pytest.mark.parametrize("kind", ["sbn", "ar-sbn", "nade", "dsbn"])
def test_it_measures_binary_nets(kind):
    """Against enumeration, within 5 Monte Carlo errors of the mean over points."""
    torch.manual_seed(0)
    net = BinaryHelmholtzMachine(4, [3, 2], generative=kind)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.7)
    points = TestSplit(EVERY.byte())
    metric = NaiveLogLikelihood(k=5000, repeats=8)(net, points, seed=0).metrics["log_likelihood"]
    exact = EnumeratedLogLikelihood()(net, points, seed=0).metrics["log_likelihood"].value
    assert abs(metric.value - exact) < 5 * metric.mc_se < 0.05


def test_groups_of_points_share_their_samples(model):
    """More points than one group holds: the same p(x) for the same x."""
    found = NaiveLogLikelihood(k=30, repeats=1)(
        model, TestSplit(EVERY.repeat(40, 1).byte()), seed=0
    )
    values = found.per_point["log_px"].reshape(40, 16)
    np.testing.assert_allclose(values, np.broadcast_to(values[0], values.shape), rtol=1e-5)
    assert math.isnan(found.metrics["log_likelihood"].mc_se)


class Silent(SmoothHelmholtzMachine):
    @property
    def log_likelihood(self):
        raise AttributeError


def test_bad_input():
    with pytest.raises(ValueError, match="expected k, repeats ≥ 1"):
        NaiveLogLikelihood(k=0)
    with pytest.raises(ValueError, match="has no log_likelihood"):
        NaiveLogLikelihood(k=3)(Silent.tiny(), TestSplit(EVERY.byte()), seed=0)
