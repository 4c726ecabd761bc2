"""Momentum with a decaying rate against its recursion."""

import copy

import pytest
import torch

from hwbench.learner import flatten_optimizer, restore_optimizer
from hwbench.optimizers.decay import DecayingSGD


def test_steps_follow_the_recursion():
    """Δ ← β Δ + g, θ ← θ − max(lr / decayᵗ, floor) Δ, t from 1."""
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = DecayingSGD([p], lr=0.1, momentum=0.9, decay=1.2, floor=0.03)
    expected, delta = torch.ones(3), torch.zeros(3)
    for t in range(1, 13):  # the floor is reached at t = 7
        p.grad = torch.randn(3)
        delta = 0.9 * delta + p.grad
        expected = expected - max(0.1 / 1.2**t, 0.03) * delta
        optimizer.step()
        torch.testing.assert_close(p.detach(), expected)


def test_without_decay_it_is_sgd():
    torch.manual_seed(0)
    a, b = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    ours = DecayingSGD([a], lr=0.1, momentum=0.5, decay=1.0)
    theirs = torch.optim.SGD([b], lr=0.1, momentum=0.5)
    for _ in range(5):
        a.grad = torch.randn(3, 2)
        b.grad = a.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(a, b)


def test_a_rate_below_the_floor_is_not_raised_to_it():
    p = torch.nn.Parameter(torch.zeros(1))
    p.grad = torch.ones(1)
    DecayingSGD([p], lr=1e-6, floor=1e-2).step()
    assert p.item() == pytest.approx(-1e-6)


def test_long_columns_are_cut_back_and_nothing_else():
    weight = torch.nn.Parameter(torch.tensor([[3.0, 0.3], [4.0, 0.4]]))
    bias = torch.nn.Parameter(torch.tensor([9.0, 9.0]))
    for p in (weight, bias):
        p.grad = torch.zeros_like(p)
    DecayingSGD([weight, bias], max_norm=1.0).step()
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.6, 0.3], [0.8, 0.4]]))
    assert bias.tolist() == [9.0, 9.0]


def test_saved_and_restored_it_goes_on():
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = DecayingSGD([p], lr=0.1, decay=1.5, floor=0.0)
    gradients = torch.randn(6, 3)
    for g in gradients[:3]:
        p.grad = g.clone()
        optimizer.step()
    q = copy.deepcopy(p)
    other = DecayingSGD([q], lr=0.1, decay=1.5, floor=0.0)
    tensors, scalars = flatten_optimizer(optimizer)
    restore_optimizer(other, {k: v.clone() for k, v in tensors.items()}, scalars)
    for g in gradients[3:]:
        p.grad, q.grad = g.clone(), g.clone()
        optimizer.step()
        other.step()
    assert torch.equal(p, q)


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"momentum": 1.0}, {"decay": 0.9}, {"floor": -1.0}, {"max_norm": 0.0}]
)
def test_bad_input(wrong):
    with pytest.raises(ValueError, match="DecayingSGD: needs"):
        DecayingSGD([torch.nn.Parameter(torch.zeros(1))], **wrong)
