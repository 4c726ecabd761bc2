"""RMSProp with clipped gradients against its recursion."""

import copy

import pytest
import torch

from hwbench.learner import flatten_optimizer, restore_optimizer
from hwbench.optimizers.clipped import ClippedRMSprop


def test_steps_follow_the_recursion():
    """Each parameter's gradient is shortened to the norm 2 by itself, and only if it is longer."""
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(2))]
    optimizer = ClippedRMSprop(params, lr=0.1, alpha=0.8, eps=1e-3, clip=2.0)
    expected = [p.detach().clone() for p in params]
    squares = [torch.zeros_like(p) for p in params]
    for t in range(6):
        for i, (p, scale) in enumerate(zip(params, (10.0, 0.1), strict=True)):
            p.grad = scale * torch.randn_like(p)
            norm = float(p.grad.norm())
            assert (norm > 2) == (i == 0)
            g = p.grad * min(1.0, 2 / norm)
            squares[i] = 0.8 * squares[i] + 0.2 * g**2
            expected[i] = expected[i] - 0.1 * g / (squares[i] + 1e-3).sqrt()
        optimizer.step()
        for p, e in zip(params, expected, strict=True):
            torch.testing.assert_close(p.detach(), e, msg=f"step {t}")


def test_a_gradient_of_zero_moves_nothing():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = ClippedRMSprop([p])
    p.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(p.detach(), torch.ones(3))


def test_saved_and_restored_it_goes_on():
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = ClippedRMSprop([p])
    p.grad = torch.randn(3)
    optimizer.step()
    q = torch.nn.Parameter(p.detach().clone())
    other = ClippedRMSprop([q])
    restore_optimizer(other, *copy.deepcopy(flatten_optimizer(optimizer)))
    p.grad = torch.randn(3)
    q.grad = p.grad.clone()
    optimizer.step()
    other.step()
    assert torch.equal(p, q)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"alpha": 1.0}, {"eps": 0.0}, {"clip": 0.0}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match="ClippedRMSprop: needs"):
        ClippedRMSprop([torch.nn.Parameter(torch.ones(1))], **wrong)
