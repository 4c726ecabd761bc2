"""Wake-sleep on the smooth net against its two updates, written out, at the very same draws."""

import itertools

import pytest
import torch

from hwbench.models.smooth import SmoothHelmholtzMachine
from hwbench.rules.reweighted import ReweightedWakeSleep

FORMS = list(itertools.product(["bottom-up", "mean-field", "rank-one"], ["free", "network"]))
SEED = 5
X = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double()[[1, 6, 7, 12, 13]]


def make(posterior, covariance):
    torch.manual_seed(0)
    model = SmoothHelmholtzMachine(4, [3, 2], posterior, covariance).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.7)
    return model


def normal(h, mean, precision):
    """Return log N(h; mean, precision⁻¹), the precision a matrix for each point."""
    d = (h - mean)[..., None]
    squares = (d.mT @ precision @ d)[..., 0, 0]
    return -0.5 * (squares - precision.logdet() + h.shape[-1] * torch.tensor(2 * torch.pi).log())


def log_p(model, x, h):
    """Return log p(x, h) from the parameters alone."""
    pixels, layer = model.generative
    p = (h[0] @ pixels.weight.t() + pixels.bias).sigmoid()
    below = (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
    mean = (h[1] @ layer.mean.weight.t() + layer.mean.bias).tanh()
    inner = normal(h[0], mean, torch.diag((-layer.free[0]).exp()).expand(len(x), 3, 3))
    top = normal(h[1], torch.zeros(2).double(), torch.eye(2).double().expand(len(x), 2, 2))
    return below + inner + top


def log_q(model, x, h):
    """Return log q(h | x) from the parameters alone."""
    total, a = 0.0, x
    for net, h_l in zip(model.recognition, h, strict=True):
        mean = (a @ net.mean.weight.t() + net.mean.bias).tanh()
        if net.covariance is None:
            rows = net.free.flatten().expand(len(x), -1)
        else:
            rows = a @ net.covariance.weight.t() + net.covariance.bias
        units = h_l.shape[-1]
        precision = torch.diag_embed((-rows[:, :units]).exp())
        if model.posterior == "rank-one":
            u = rows[:, units:]
            precision = precision + u[:, :, None] * u[:, None]
        total = total + normal(h_l, mean, precision)
        a = mean if model.posterior == "mean-field" else h_l
    return total


def draws(model, x):
    """Return what the rule draws after the seed: h ~ q at the data, then a dream."""
    torch.manual_seed(SEED)
    with torch.no_grad():
        h, _ = model.infer(x, 1)
    return [h_l[0] for h_l in h], model.dream(len(x))


def assert_wake_sleep(rule, model, x):
    """θ gets −∇ log p at h ~ q, φ gets −∇ log q at a dream; each mean over the batch."""
    h, (dreamt, latents) = draws(model, x)
    model.zero_grad()
    torch.manual_seed(SEED)
    rule.backward(model, x)
    expected = {
        "generative": (-log_p(model, x, h).mean(), model.generative),
        "recognition": (-log_q(model, dreamt, latents).mean(), model.recognition),
    }
    seen = set()
    for part, (loss, net) in expected.items():
        names, parameters = zip(*net.named_parameters(), strict=True)
        for name, p, g in zip(
            names, parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            assert g.abs().max() > 1e-6, f"{part}.{name}: the test can tell nothing here"
            torch.testing.assert_close(p.grad, g, msg=lambda m, at=f"{part}.{name}": f"{at}: {m}")
            seen.add(id(p))
    assert seen == {id(p) for p in model.parameters()}  # nothing else could get a gradient


@pytest.mark.parametrize(("posterior", "covariance"), FORMS)
def test_both_updates_are_those_of_wake_sleep(posterior, covariance):
    rule = ReweightedWakeSleep(k=1, wake=False)
    assert_wake_sleep(rule, make(posterior, covariance), X)
    assert not list(rule.parameters())


@pytest.mark.parametrize("posterior", ["bottom-up", "mean-field", "rank-one"])
def test_the_wake_phase_leaves_q_alone_and_sleep_leaves_p_alone(posterior):
    """Without dreams q gets no gradient at all; log q at a dream gives p none."""
    model = make(posterior, "network")
    ReweightedWakeSleep(k=1, wake=False, sleep_interleave=2).backward(model, X)  # wake phase only
    assert all(p.grad is None for p in model.recognition.parameters())
    assert all(p.grad is not None for p in model.generative.parameters())
    model.zero_grad(set_to_none=True)
    x, h = model.dream(3)
    assert not any(t.requires_grad for t in (x, *h))
    model.log_q(h, x).sum().backward()
    assert all(p.grad is None for p in model.generative.parameters())


class LeakyInference(SmoothHelmholtzMachine):
    """Its samples of q carry their path."""

    def infer(self, x, k, *, pathwise=False):
        with torch.enable_grad():
            return super().infer(x, k, pathwise=True)


class LeakyDreams(SmoothHelmholtzMachine):
    """Its dreams carry their path."""

    def dream(self, n):
        means, h = self._descend(n)
        return means.bernoulli(), h


@pytest.mark.parametrize("leaky", [LeakyInference, LeakyDreams])
@pytest.mark.parametrize(("posterior", "covariance"), FORMS)
def test_a_leak_through_samples_would_be_seen(leaky, posterior, covariance):
    model = make(posterior, covariance)
    rule = ReweightedWakeSleep(k=1, wake=False)
    model.__class__ = leaky
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        assert_wake_sleep(rule, model, X)
