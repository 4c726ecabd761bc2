"""The IWAE authors' Adam against its update written out with floats."""

import math

import pytest
import torch

from hwbench.optimizers.burda import BurdaAdam


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_three_steps_by_hand(scale):
    """m, v of the step before; ε outside; v from one; the first step moves nothing."""
    p = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = BurdaAdam([p], lr=0.1, gradient_scale=scale)
    theta, m, v = 1.0, 0.0, 1.0
    for t, g in enumerate([2.0, -1.0, 0.5], start=1):
        p.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        alpha = 0.1 * math.sqrt(1 - 0.999**t) / (1 - 0.99**t)
        theta -= alpha * m / (math.sqrt(v) + 1e-4)
        g *= scale
        m, v = 0.99 * m + 0.01 * g, 0.999 * v + 0.001 * g * g
        assert p.item() == pytest.approx(theta, rel=1e-12)
        if t == 1:
            assert p.item() == 1.0


def test_it_finds_a_minimum():
    p = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = BurdaAdam([p], lr=0.05)
    for _ in range(3000):
        optimizer.zero_grad()
        (p - torch.tensor([1.0, 1.0])).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(p.detach(), torch.ones(2), atol=1e-3, rtol=0)
