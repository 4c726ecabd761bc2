"""Importance-sampled test log-likelihoods beside the same by `torch.distributions`."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Independent, Normal

from hwbench.evaluators.importance import LogLikelihood, log_weights
from hwbench.models import layers
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.vae import VAE
from hwbench.protocols import TestSplit

DENSITY = 0.13  # of ink in binarised MNIST
IMAGES, SAMPLES = 4, 2000  # an image costs the same whatever their number
ROWS = 4096  # samples × images per pass


@pytest.fixture
def x():
    torch.manual_seed(0)
    return (torch.rand(IMAGES, 784) < DENSITY).float()


def plain_vae(vae, x):
    """log p̂(x) of a VAE of one layer, as one would first write it."""
    out = []
    for image in x:
        mean, log_std = vae.recognition[0](image[None], 1)
        q = Independent(Normal(mean, log_std.exp(), validate_args=False), 1)
        prior = Independent(Normal(torch.zeros(20), torch.ones(20), validate_args=False), 1)
        log_w = []
        for start in range(0, SAMPLES, ROWS):
            z = q.sample((min(ROWS, SAMPLES - start),))
            pixels = Bernoulli(logits=vae.generative[0](z, len(z)), validate_args=False)
            log_w.append(prior.log_prob(z) + Independent(pixels, 1).log_prob(image) - q.log_prob(z))
        out.append(torch.cat(log_w).logsumexp(0) - math.log(SAMPLES))
    return torch.cat(out)


@torch.no_grad()
def test_the_evaluation_of_an_iwae_beside_plain_torch(at_most, x):
    """784-400-20, 2000 samples; the evaluator also returns errors, K-curve, KL and Pareto k̂."""
    vae = VAE(visible=784, latent=20, hidden=[400])
    evaluator, points = LogLikelihood(k=SAMPLES), TestSplit(x.byte())
    own = torch.from_numpy(evaluator(vae, points, seed=0).per_point["log_px"])
    assert (own - plain_vae(vae, x)).abs().max() < 3  # estimates from other samples
    at_most(0.8, lambda: evaluator(vae, points, seed=0), lambda: plain_vae(vae, x), rounds=8)


def elementwise(x, logits):
    """`log_bernoulli` as it was: every term of every sample, a logarithm each."""
    x, logits = torch.broadcast_tensors(x, logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


@torch.no_grad()
def test_weights_of_a_sigmoid_belief_net_beside_terms_of_each_unit(at_most, x, monkeypatch):
    """SBN 200, 4096 samples of one image."""
    model = BinaryHelmholtzMachine(784, [200])
    fast = layers.log_bernoulli

    def weights(form, part):
        monkeypatch.setattr(layers, "log_bernoulli", form)
        monkeypatch.setattr("hwbench.evaluators.importance.PART", part)
        return log_weights(model, x[:1], ROWS)

    at_most(0.5, lambda: weights(fast, 1024), lambda: weights(elementwise, ROWS), rounds=12)


def test_the_evaluation_of_an_iwae_beside_pythae(at_most, x):
    """The same net and number of samples; pythae draws 100 of them at a time."""
    pythae = pytest.importorskip("pythae.models")

    config = pythae.VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    other = pythae.VAE(config)
    vae = VAE(visible=784, latent=20, hidden=[512])  # pythae's default width
    evaluator, points = LogLikelihood(k=SAMPLES), TestSplit(x.byte())
    images = x.view(-1, 1, 28, 28)

    def theirs():
        other.get_nll(images, n_samples=SAMPLES, batch_size=100)

    at_most(0.3, lambda: evaluator(vae, points, seed=0), theirs, rounds=5)
