"""Closed-form gradients against autograd through the plain forms, and whole runs of both."""

import pytest
import torch
from torch.nn import functional as F

from hwbench.models import helmholtz, layers, vae
from hwbench.models.layers import log_bernoulli
from hwbench.protocols import TrainSplit
from hwbench.rules.bounds import IWAE
from hwbench.rules.reinforce import REINFORCE
from hwbench.rules.reweighted import ReweightedWakeSleep

EPS = torch.finfo(torch.float32).eps


def plain(x, logits):
    x, logits = torch.broadcast_tensors(x, logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


@pytest.fixture
def small_parts(monkeypatch):
    """Split even small tensors, with a last part that is narrower."""
    monkeypatch.setattr(layers, "PART", 64)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("units", [1, 7, 12, 16])
@pytest.mark.parametrize("lead", [(), (3,), (5, 3)])
def test_value_and_gradient_of_log_bernoulli(lead, units):
    torch.manual_seed(0)
    x = torch.rand(*lead[-1:], units).double()  # grey: the form is linear in x
    a = (4 * torch.randn(*lead, units)).double().requires_grad_()
    torch.testing.assert_close(log_bernoulli(x, a), plain(x, a))
    w = torch.rand(lead).double()
    (own,) = torch.autograd.grad((w * log_bernoulli(x, a)).sum(), a)
    (expected,) = torch.autograd.grad((w * plain(x, a)).sum(), a)
    torch.testing.assert_close(own, expected)


@pytest.mark.usefixtures("small_parts")
def test_log_bernoulli_by_finite_differences_once_and_twice():
    torch.manual_seed(0)
    x = torch.rand(3, 5).double().round()
    a = torch.randn(4, 3, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: log_bernoulli(x, a), a)
    assert torch.autograd.gradgradcheck(lambda a: log_bernoulli(x, a), a)


def test_far_logits_neither_overflow_nor_vanish():
    a = torch.tensor([[-200.0, -90.0, -17.0, 17.0, 90.0, 200.0, 0.0, 1.0]], requires_grad=True)
    for x in (torch.zeros(1, 8), torch.ones(1, 8)):
        value = log_bernoulli(x, a)
        torch.testing.assert_close(value, plain(x, a), rtol=4 * EPS, atol=0)
        (own,) = torch.autograd.grad(value.sum(), a)
        torch.testing.assert_close(own, x - a.detach().sigmoid(), rtol=0, atol=0)


def test_tanh_is_that_of_torch_and_so_is_its_slope():
    a = torch.linspace(-20, 20, 4001, requires_grad=True)
    torch.testing.assert_close(vae.tanh(a), torch.tanh(a), rtol=0, atol=2 * EPS)
    (own,) = torch.autograd.grad(vae.tanh(a).sum(), a)
    torch.testing.assert_close(own, 1 - torch.tanh(a).square(), rtol=0, atol=8 * EPS)
    far = torch.randn(20).double().requires_grad_()
    assert torch.autograd.gradcheck(vae.tanh, far)
    assert torch.autograd.gradgradcheck(vae.tanh, far)


def net():
    return helmholtz.BinaryHelmholtzMachine(32, [10, 5], init="glorot", bias=0.0)


PAIRS = {
    "IWAE": (lambda: vae.VAE(32, latent=3, hidden=[16]), lambda: IWAE(k=5)),
    "IWAER": (
        lambda: vae.VAE(32, latent=3, hidden=[16], random=["generative", "recognition"]),
        lambda: IWAE(k=5),
    ),
    "reweighted wake-sleep": (net, lambda: ReweightedWakeSleep(k=5)),
    "REINFORCE": (net, lambda: REINFORCE(baseline="leave-one-out", k=5)),
}


def losses(model, rule, steps):
    torch.manual_seed(0)
    model, rule = model(), rule()
    x = (torch.rand(60, 32) < torch.rand(32)).float()
    rule.begin(model, TrainSplit(x))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    found = []
    for step in range(steps):
        optimizer.zero_grad()
        found.append(rule.backward(model, x[step % 3 :: 3]))
        optimizer.step()
    return torch.stack(found)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "IWAE" else pytest.mark.slow) for n in PAIRS]
)
@pytest.mark.usefixtures("unchecked")
def test_200_steps_draw_the_same_numbers_and_differ_by_rounding(name, monkeypatch):
    """A step rounds by about ten units in the last place, and they add up to 200 times as much."""
    fast = losses(*PAIRS[name], steps=200)
    for module in (layers, vae):
        monkeypatch.setattr(module, "log_bernoulli", plain)
    monkeypatch.setitem(vae.ACTIVATIONS, "tanh", torch.tanh)
    slow = losses(*PAIRS[name], steps=200)
    assert not torch.equal(fast, slow)  # else the plain form did not run
    moved = (fast - slow).abs() / slow.abs()
    assert moved[0] <= 10 * EPS
    assert moved.max() <= 2000 * EPS
    assert slow[-20:].mean() < slow[:20].mean() - 0.1  # it learned meanwhile
