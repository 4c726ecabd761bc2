"""The Gaussian VAE and random weights against quadrature, explicit draws, arithmetic by hand."""

import math

import pytest
import torch

from hwbench.models.vae import VAE, RandomLinear
from hwbench.numerics import log_mean_exp
from hwbench.protocols import TrainSplit

SIGMA = 5.0  # statistical tests: standard errors allowed


def assert_mean(samples, expected, dim=0):
    """The mean over `dim` lies within SIGMA standard errors of what is expected, everywhere."""
    se = samples.std(dim) / math.sqrt(samples.shape[dim])
    z = (samples.mean(dim) - expected).abs() / se.clamp_min(1e-12)
    assert z.max() < SIGMA, f"{z.max():.1f} standard errors off"


def quadrature(model, x, points=400, width=9.0):
    """Return log p(x) = log ∫ p(x | z) N(z) dz of a one-layer model with 1 or 2 latent units."""
    grid = torch.linspace(-width, width, points, dtype=torch.float64)
    axes = torch.meshgrid(*[grid] * model.latent[0], indexing="ij")
    z = torch.stack([a.reshape(-1) for a in axes], -1)[:, None]
    cell = model.latent[0] * math.log(grid[1] - grid[0])
    return (model.log_joint(x, [z.expand(-1, len(x), -1)]) + cell).logsumexp(0)


def all_binary(n):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * n)


def trained(model, steps=150):
    """Move a model away from its start, so that no test passes by symmetry."""
    torch.manual_seed(1)
    x = (torch.rand(64, model.visible) < torch.linspace(0.1, 0.9, model.visible)).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        h, log_q = model.infer(x, 4, pathwise=True)
        (-log_mean_exp(model.log_joint(x, h) - log_q)).mean().backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("latent", [1, 2])
@pytest.mark.statistical
def test_importance_weights_average_to_the_quadrature(latent):
    """E_q[p(x, z) / q(z | x)] = p(x), for all 16 images of 4 pixels."""
    torch.manual_seed(0)
    model = trained(VAE(4, latent=latent, hidden=[5])).double()
    x = all_binary(4).double()
    exact = quadrature(model, x)
    assert exact.exp().sum().item() == pytest.approx(1.0, abs=1e-6)
    with torch.no_grad():
        h, log_q = model.infer(x, 40_000)
        w = (model.log_joint(x, h) - log_q - exact).exp()
    assert_mean(w, torch.ones(16, dtype=torch.float64))


def test_two_layer_log_joint_by_hand():
    """log p = log N(h2; 0, 1) + log N(h1; μ(h2), σ(h2)) + Σ log Bern(x; f(h1))."""
    torch.manual_seed(0)
    model = VAE(3, latent=[2, 1], hidden=[[4], [3]]).double()
    x = torch.tensor([[1.0, 0.0, 1.0]]).double()
    h1, h2 = torch.randn(1, 1, 2).double(), torch.randn(1, 1, 1).double()
    pixels, gaussian = model.generative[0].layers, model.generative[1].net.layers

    def affine(layer, a):
        return a @ layer.weight.T + layer.bias

    head = affine(gaussian[1], torch.tanh(affine(gaussian[0], h2)))
    mean, log_std = head[..., :2], head[..., 2:]
    logits = affine(pixels[1], torch.tanh(affine(pixels[0], h1)))
    by_hand = (
        torch.distributions.Normal(0.0, 1.0).log_prob(h2).sum(-1)
        + torch.distributions.Normal(mean, log_std.exp()).log_prob(h1).sum(-1)
        + torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)
    )
    torch.testing.assert_close(model.log_joint(x, [h1, h2]), by_hand)


def test_log_q_of_inferred_latents_is_what_infer_returned():
    torch.manual_seed(0)
    model = VAE(6, latent=[3, 2], hidden=[[5], [4]])
    x = (torch.rand(7, 6) < 0.5).float()
    h, log_q = model.infer(x, 3)
    torch.testing.assert_close(model.log_q(h, x), log_q)


@pytest.mark.statistical
@pytest.mark.parametrize("shared_input", [True, False])
def test_local_reparameterisation_has_the_moments_of_explicit_weight_draws(shared_input):
    """Pre-activations by explicit W, b and by the local trick: same mean and variance per unit."""
    torch.manual_seed(0)
    layer = RandomLinear(4, 3, log_var=-1.0).double()
    with torch.no_grad():
        layer.weight_log_var.uniform_(-3, 0)
        layer.bias_log_var.uniform_(-3, 0)
    k, a = 60_000, torch.randn(2, 4).double()
    with torch.no_grad():
        local = layer(a if shared_input else a.expand(k, 2, 4), k)
        w = (
            layer.mean.weight
            + (0.5 * layer.weight_log_var).exp() * torch.randn(k, 2, 3, 4).double()
        )
        b = layer.mean.bias + (0.5 * layer.bias_log_var).exp() * torch.randn(k, 2, 3).double()
        explicit = torch.einsum("kboi,bi->kbo", w, a) + b
        mean, var = layer.moments(a)
    for draws in (local, explicit):
        assert_mean(draws, mean)
        assert_mean((draws - mean).square(), var)
        cross = (draws - mean)[..., 0] * (draws - mean)[..., 1]
        assert_mean(cross, torch.zeros(2).double())  # units use disjoint weights
        between = (draws - mean)[:, 0] * (draws - mean)[:, 1]
        assert_mean(between, torch.zeros(3).double())  # each datum has its own draw


def explicit_log_weights(model, x, k):
    """Return log w with every weight of both nets drawn explicitly for each sample and datum."""

    def draw(layer, a):
        w = layer.mean.weight + (0.5 * layer.weight_log_var).exp() * torch.randn(
            *a.shape[:2], *layer.mean.weight.shape
        )
        b = layer.mean.bias + (0.5 * layer.bias_log_var).exp() * torch.randn(
            *a.shape[:2], *layer.mean.bias.shape
        )
        return torch.einsum("kboi,kbi->kbo", w, a) + b

    def net(layers, a):
        for i, layer in enumerate(layers):
            a = draw(layer, torch.tanh(a) if i else a)
        return a

    mean, log_std = net(model.recognition[0].net.layers, x.expand(k, *x.shape)).chunk(2, -1)
    q = torch.distributions.Normal(mean, log_std.exp())
    z = q.sample()
    logits = net(model.generative[0].layers, z)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_p = log_p + torch.distributions.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(
        -1
    )
    return log_p - q.log_prob(z).sum(-1)


@pytest.mark.statistical
def test_random_weight_bound_equals_the_bound_with_explicit_draws():
    """The IWAER bound by local reparameterisation and by explicit weights, k = 4, within SIGMA."""
    torch.manual_seed(0)
    model = VAE(5, latent=2, hidden=[4], random=["generative", "recognition"], weight_log_var=-1.5)
    x = (torch.rand(6, 5) < 0.5).float()
    groups = 6000
    with torch.no_grad():
        h, log_q = model.infer(x, 4 * groups)
        local = log_mean_exp((model.log_joint(x, h) - log_q).view(groups, 4, 6), 1)
        explicit = log_mean_exp(explicit_log_weights(model, x, 4 * groups).view(groups, 4, 6), 1)
    se = (local.var(0) / groups + explicit.var(0) / groups).sqrt()
    z = (local.mean(0) - explicit.mean(0)).abs() / se
    assert z.max() < SIGMA
    with model.mean_weights(), torch.no_grad():
        h, log_q = model.infer(x, 4 * groups)
        at_means = log_mean_exp((model.log_joint(x, h) - log_q).view(groups, 4, 6), 1)
    assert (
        (at_means.mean(0) - explicit.mean(0)).abs() / se
    ).max() > SIGMA  # the noise does matter here


def test_weight_kl_is_the_closed_form():
    torch.manual_seed(0)
    model = VAE(4, latent=2, hidden=[3], random=["generative"], weight_log_var=-2.0)
    total = 0.0
    for layer in model.generative[0].layers:
        for mean, log_var in [
            (layer.mean.weight, layer.weight_log_var),
            (layer.mean.bias, layer.bias_log_var),
        ]:
            q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
            total += torch.distributions.kl_divergence(
                q, torch.distributions.Normal(0.0, 1.0)
            ).sum()
    torch.testing.assert_close(model.weight_kl(), total)
    assert VAE(4, latent=2, hidden=[3]).weight_kl() == 0


@pytest.mark.statistical
def test_dreams_follow_p():
    """Frequencies of dreamt images against the quadrature's probabilities."""
    torch.manual_seed(0)
    model = trained(VAE(3, latent=1, hidden=[4])).double().float()
    p = quadrature(model.double(), all_binary(3).double()).exp()
    x, h = model.float().dream(100_000)
    assert h[0].shape == (100_000, 1)
    code = (x @ torch.tensor([4.0, 2.0, 1.0])).long()
    onehot = torch.nn.functional.one_hot(code, 8).double()
    assert_mean(onehot, p)


def test_pathwise_carries_gradients_and_plain_samples_do_not_leak():
    model = VAE(4, latent=[3, 2], hidden=[[5], [4]], random=["recognition"])
    x = torch.ones(2, 4)
    assert all(z.requires_grad for z in model.infer(x, 3, pathwise=True).h)
    assert not any(z.requires_grad for z in model.infer(x, 3).h)


def test_output_bias_starts_at_the_logit_of_the_pixel_means():
    train = TrainSplit(torch.tensor([[0, 255], [0, 51]], dtype=torch.uint8), None, 255.0)
    model = VAE(2, latent=1, hidden=[3])
    model.adapt(train)
    expected = torch.tensor([0.001, 0.6]).logit()
    torch.testing.assert_close(model.generative[0].head_bias.detach(), expected)
    zero = VAE(2, latent=1, hidden=[3], output_bias="zero")
    zero.adapt(train)
    assert (zero.generative[0].head_bias == 0).all()


def test_float32_agrees_with_float64():
    torch.manual_seed(0)
    model = trained(VAE(20, latent=3, hidden=[8]))
    x = (torch.rand(10, 20) < 0.4).float()
    h, log_q = model.infer(x, 5)
    single = model.log_joint(x, h) - log_q
    model = model.double()
    x64, h64 = x.double(), [z.double() for z in h]
    double = model.log_joint(x64, h64) - model.log_q(h64, x64)
    torch.testing.assert_close(single.double(), double, atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
@pytest.mark.parametrize("scale", ["log_std", "log_var"])
def test_every_setting_builds_and_samples(activation, scale):
    torch.manual_seed(0)
    model = VAE(6, latent=[3, 2], hidden=[[5, 4], [4]], activation=activation, scale=scale)
    means = model.sample(3)
    assert means.shape == (3, 6)
    assert ((means > 0) & (means < 1)).all()


def test_hidden_lists_must_match_the_stochastic_layers():
    with pytest.raises(ValueError, match="hidden has 3 lists for 2 stochastic layers"):
        VAE(6, latent=[3, 2], hidden=[[5], [4], [3]])


@pytest.mark.parametrize("latent", [[3], [3, 2]])
def test_log_likelihood_broadcasts_latents_that_points_share(latent):
    """log p(x_b | h_k) for every pair, Π_d f^x (1 − f)^(1 − x), for h [K, 1, Z] and [K, B, Z]."""
    model = trained(VAE(5, latent=latent, hidden=[4])).double()
    x = torch.rand(6, 5).round().double()
    h = [torch.randn(7, 1, size).double() for size in latent]
    f = model.generative[0](h[0], 7).sigmoid()  # [7, 1, 5]
    expected = torch.where(x == 1, f, 1 - f).prod(-1).log()
    each = [h_l.expand(-1, 6, -1) for h_l in h]
    torch.testing.assert_close(model.log_likelihood(x, h), expected)
    torch.testing.assert_close(model.log_likelihood(x, each), expected)
    torch.testing.assert_close(model.log_likelihood(x.expand(7, 6, 5), each), expected)
    torch.testing.assert_close(model.log_likelihood(x[:1], h), expected[:, :1])
    torch.testing.assert_close(model.log_joint(x, h), model.log_prior(h) + expected)
    torch.testing.assert_close(model.log_joint(x, each), model.log_joint(x, h))
