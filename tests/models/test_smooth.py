import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from hwbench.evaluators.importance import LogLikelihood
from hwbench.models.smooth import Diagonal, RankOne, SmoothHelmholtzMachine
from hwbench.protocols import TestSplit, TrainSplit

FORMS = list(itertools.product(["bottom-up", "mean-field", "rank-one"], ["free", "network"]))


def all_binary(d):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d))).double()


def make(posterior="bottom-up", covariance="free", layers=(1, 1), visible=4, seed=0):
    """A float64 machine with weights far from their start."""
    torch.manual_seed(seed)
    model = SmoothHelmholtzMachine(visible, list(layers), posterior, covariance).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.7)
    return model


def nodes(n=60):
    """Nodes t and log weights of Gauss-Hermite quadrature, Σ w f(t) ≈ E f(t), t ~ N(0, 1)."""
    t, w = np.polynomial.hermite_e.hermegauss(n)
    return torch.from_numpy(t), torch.from_numpy(w / math.sqrt(2 * math.pi)).log()


def log_px(model, x):
    """Log p(x) of a machine with layers [1, 1], by quadrature over p(h2) and p(h1 | h2)."""
    t, log_w = nodes()
    h2 = t[:, None, None, None]
    p1 = model.generative[1](h2)
    h1 = p1.mean + p1.root(t[:, None, None])  # [T, T, 1, 1]
    log_p = model.log_likelihood(x, [h1, h2])  # [T, T, B]
    return (log_p + log_w[:, None, None] + log_w[:, None]).logsumexp((0, 1)).detach()


@pytest.mark.parametrize("shape", [(5,), (3, 2, 5)])
def test_rank_one_is_the_normal_with_that_precision(shape):
    torch.manual_seed(0)
    mean, log_var, u = (torch.randn(shape).double() for _ in range(3))
    q = RankOne(mean, log_var, u)
    precision = torch.diag_embed((-log_var).exp()) + u[..., :, None] * u[..., None, :]
    exact = MultivariateNormal(mean, precision_matrix=precision)
    h = torch.randn(shape).double()
    torch.testing.assert_close(q.log_prob(h), exact.log_prob(h))
    torch.testing.assert_close(q.entropy(), exact.entropy())
    torch.testing.assert_close(q.variance(), exact.variance)
    eye = torch.eye(5).double().view(5, *[1] * (len(shape) - 1), 5)
    root = q.root(eye).movedim(0, -1)  # R, column by column
    torch.testing.assert_close(root @ root.mT, exact.covariance_matrix)


def test_rank_one_without_u_is_diagonal():
    torch.manual_seed(0)
    mean, log_var, noise, h = (torch.randn(4, 3) for _ in range(4))
    a, b = RankOne(mean, log_var, torch.zeros(3)), Diagonal(mean, log_var)
    for name, argument in [("root", noise), ("log_prob", h)]:
        torch.testing.assert_close(getattr(a, name)(argument), getattr(b, name)(argument))
    torch.testing.assert_close(a.entropy(), b.entropy())
    torch.testing.assert_close(a.variance(), b.variance().expand(4, 3))


@pytest.mark.parametrize(("posterior", "covariance"), FORMS)
def test_log_q_is_that_of_the_draw(posterior, covariance):
    model = make(posterior, covariance, layers=(3, 2))
    x = all_binary(4)[:6]
    h, log_q = model.infer(x, 5)
    torch.testing.assert_close(model.log_q(h, x), log_q)
    torch.testing.assert_close(model.log_q(h, x.expand(5, 6, 4)), log_q)
    assert [h_l.shape for h_l in h] == [(5, 6, 3), (5, 6, 2)]


def test_mean_field_layers_do_not_see_each_other():
    model = make("mean-field", layers=(3, 2))
    x = all_binary(4)[:6]
    h, _ = model.infer(x, 5)
    other = [h[0] + 1, h[1]]
    torch.testing.assert_close(
        model.conditional(1, x, h).log_prob(h[1]), model.conditional(1, x, other).log_prob(h[1])
    )
    bottom_up = make("bottom-up", layers=(3, 2))
    assert not torch.allclose(
        bottom_up.conditional(1, x, h).mean, bottom_up.conditional(1, x, other).mean
    )


@pytest.mark.parametrize(("posterior", "covariance"), FORMS)
def test_only_pathwise_samples_carry_gradients(posterior, covariance):
    model = make(posterior, covariance, layers=(3, 2))
    x = all_binary(4)[:6]
    h, log_q = model.infer(x, 5)
    assert not any(h_l.requires_grad for h_l in h)
    log_q.sum().backward()
    assert all(p.grad is not None for p in model.recognition.parameters())
    assert all(p.grad is None for p in model.generative.parameters())
    h, _ = model.infer(x, 5, pathwise=True)
    assert all(h_l.requires_grad for h_l in h)
    x, h = model.dream(3)
    assert not x.requires_grad
    assert not any(h_l.requires_grad for h_l in h)


def test_probabilities_sum_to_one():
    model = make()
    total = log_px(model, all_binary(4)).logsumexp(0)
    assert total.item() == pytest.approx(0.0, abs=1e-10)


def test_log_joint_is_prior_and_likelihood_in_any_shape():
    model = make(layers=(3, 2))
    x = all_binary(4)[:6]
    h, _ = model.infer(x, 5)
    joint = model.log_joint(x, h)
    torch.testing.assert_close(joint, model.log_prior(h) + model.log_likelihood(x, h))
    torch.testing.assert_close(joint, model.log_joint(x.expand(5, 6, 4), h))
    torch.testing.assert_close(joint[2], model.log_joint(x, [h_l[2] for h_l in h]))
    shared = [h_l[:, :1] for h_l in h]
    torch.testing.assert_close(
        model.log_likelihood(x, shared),
        model.log_likelihood(x, [h_l.expand(-1, 6, -1) for h_l in shared]),
    )
    p = torch.distributions.Bernoulli(logits=model.generative[0](h[0]))
    torch.testing.assert_close(model.log_likelihood(x, h), p.log_prob(x.expand(5, 6, 4)).sum(-1))


@pytest.mark.statistical
def test_dreams_follow_the_model():
    """Frequencies of the 16 states, in 5 standard errors; and E h_1 h_2 of layer means."""
    model = make()
    torch.manual_seed(0)
    n = 100_000
    x, h = model.dream(n)
    code = (x @ 2.0 ** torch.arange(3, -1, -1).double()).long()
    share = torch.bincount(code, minlength=16) / n
    expected = log_px(model, all_binary(4)).exp()
    assert ((share - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()
    product = (h[0] - model.generative[1](h[1]).mean) * h[1]  # mean zero
    assert abs(product.mean()) < 5 * product.std() / n**0.5
    means = model.sample(n)
    difference = means.mean(0) - expected @ all_binary(4)
    assert (difference.abs() < 5 * means.std(0) / n**0.5).all()


def widened(model):
    """The machine with a q so wide that importance weights have a variance."""
    with torch.no_grad():
        for net in model.recognition:
            if net.covariance is None:
                net.free[0] = 0.5
            else:
                net.covariance.bias[0] = 0.5
                net.covariance.weight.mul_(0.1)
    return model


@pytest.mark.statistical
@pytest.mark.parametrize(("posterior", "covariance"), FORMS)
def test_importance_sampling_finds_the_likelihood(posterior, covariance):
    """E_q[p(x, h) / q(h | x)] = p(x), within 5 standard errors."""
    model = widened(make(posterior, covariance))
    x = all_binary(4)
    torch.manual_seed(0)
    h, log_q = model.infer(x, 50_000)
    w = (model.log_joint(x, h) - log_q).exp()
    error = w.std(0) / len(w) ** 0.5
    assert ((w.mean(0) - log_px(model, x).exp()).abs() < 5 * error).all()


@pytest.mark.statistical
def test_the_importance_evaluator_takes_it():
    """Within 5 of the evaluator's own Monte Carlo errors; its bias is of second order in them."""
    model = widened(make())
    found = LogLikelihood(k=5000)(model.float(), TestSplit(all_binary(4).byte()), seed=0)
    expected = log_px(model.double(), all_binary(4)).mean().item()
    metric = found.metrics["log_likelihood"]
    assert abs(metric.value - expected) < 5 * metric.mc_se < 0.1


def full_second_derivatives(model, x, noise):
    """The exact ∂²/∂h_l² of the cost with the layers above on fixed noise, by autograd."""
    h, out = [], []
    shifts = [torch.zeros(1, len(x), z).double().requires_grad_() for z in model.layers]
    for layer in range(len(model.layers)):
        q = model.conditional(layer, x, h)
        h.append(q.mean + q.root(noise[layer]) + shifts[layer])
    cost = -model.log_joint(x, h).sum()
    slopes = torch.autograd.grad(cost, shifts, create_graph=True)
    for slope, shift in zip(slopes, shifts, strict=True):
        columns = [
            torch.autograd.grad(slope[..., i].sum(), shift, retain_graph=True)[0][..., i]
            for i in range(slope.shape[-1])
        ]
        out.append(torch.stack(columns, -1))
    return [h_l.detach() for h_l in h], [s.detach() for s in slopes], out


@pytest.mark.parametrize("posterior", ["bottom-up", "mean-field", "rank-one"])
@pytest.mark.parametrize("layers", [(3,), (3, 2), (2, 3, 2)])
def test_curvature_is_exact_where_it_says_so(posterior, layers):
    model = make(posterior, layers=layers)
    x = all_binary(4)[[1, 6, 11]]
    noise = [torch.randn(1, 3, z).double() for z in layers]
    h, slopes, exact = full_second_derivatives(model, x, noise)
    found = model.curvature(x, h, slopes)
    torch.testing.assert_close(found[-1], exact[-1])
    if posterior == "mean-field":
        for a, b in zip(found, exact, strict=True):
            torch.testing.assert_close(a, b)
    elif len(layers) > 1:
        assert not torch.allclose(found[0], exact[0])
        with torch.no_grad():  # without a recognition path nothing is left out
            for net in model.recognition[1:]:
                net.mean.weight.zero_()
        h, slopes, exact = full_second_derivatives(model, x, noise)
        for a, b in zip(model.curvature(x, h, slopes), exact, strict=True):
            torch.testing.assert_close(a, b)


def test_log_variances_are_kept_in_range():
    model = make()
    with torch.no_grad():
        model.recognition[0].free.fill_(1e6)
        model.recognition[1].free.fill_(-1e6)
    h, log_q = model.infer(all_binary(4), 10)
    assert log_q.isfinite().all()
    assert h[0].abs().max() < 100


def test_adapt_starts_at_the_pixel_means():
    model = SmoothHelmholtzMachine(3, [2])
    model.adapt(TrainSplit(torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.uint8)))
    torch.testing.assert_close(
        model.generative[0].bias.detach().sigmoid(), torch.tensor([1e-3, 0.5, 1 - 1e-3])
    )
    with pytest.raises(ValueError, match="layers must list"):
        SmoothHelmholtzMachine(3, [])
