"""Growing momentum and a rate in inverse time against their recursion."""

import copy

import pytest
import torch

from hwbench.learner import flatten_optimizer, restore_optimizer
from hwbench.optimizers.inverse import InverseTimeSGD


def test_steps_follow_the_recursion():
    """Rates 0.1 / (1 + t / 4), momenta 0.5 + 0.1 t up to 0.9 at t = 4, for t from 0."""
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = InverseTimeSGD([p], lr=0.1, half_life=4, momentum=0.9, start=0.5, ramp=4)
    rates = [0.1, 0.08, 0.1 / 1.5, 0.1 / 1.75, 0.05, 0.1 / 2.25, 0.04]
    momenta = [0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9]
    expected, delta = torch.ones(3, 2), torch.zeros(3, 2)
    for rate, momentum in zip(rates, momenta, strict=True):
        p.grad = torch.randn(3, 2)
        delta = momentum * delta + p.grad
        expected = expected - rate * delta
        optimizer.step()
        torch.testing.assert_close(p.detach(), expected)


def test_with_a_constant_momentum_and_a_long_life_it_is_sgd():
    torch.manual_seed(0)
    a, b = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    ours = InverseTimeSGD([a], lr=0.1, half_life=10**12, momentum=0.5, start=0.5)
    theirs = torch.optim.SGD([b], lr=0.1, momentum=0.5)
    for _ in range(5):
        a.grad = torch.randn(3, 2)
        b.grad = a.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(a, b)


def test_saved_and_restored_it_goes_on():
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.ones(3))
    arguments = {"lr": 0.1, "half_life": 2, "ramp": 5}
    optimizer = InverseTimeSGD([p], **arguments)
    gradients = torch.randn(6, 3)
    for g in gradients[:3]:
        p.grad = g.clone()
        optimizer.step()
    q = copy.deepcopy(p)
    other = InverseTimeSGD([q], **arguments)
    tensors, scalars = flatten_optimizer(optimizer)
    restore_optimizer(other, {k: v.clone() for k, v in tensors.items()}, scalars)
    for g in gradients[3:]:
        p.grad, q.grad = g.clone(), g.clone()
        optimizer.step()
        other.step()
    assert torch.equal(p, q)


@pytest.mark.parametrize(
    "wrong",
    [{"lr": -1.0}, {"momentum": 1.0}, {"start": -0.1}, {"half_life": 0}, {"ramp": 0}],
)
def test_bad_input(wrong):
    with pytest.raises(ValueError, match="InverseTimeSGD: needs"):
        InverseTimeSGD([torch.nn.Parameter(torch.zeros(1))], **wrong)
