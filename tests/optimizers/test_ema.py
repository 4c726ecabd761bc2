"""EMA momentum against its recursion."""

import copy
import math

import pytest
import torch

from hwbench.optimizers.ema import EMAMomentum


def gradients(steps):
    torch.manual_seed(0)
    return [torch.randn(3) for _ in range(steps)]


def test_steps_follow_the_recursion():
    """Δ ← β Δ + (1 − β) η g, θ ← θ − Δ, with its own η in each group."""
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    groups = [{"params": [a], "lr": 0.5}, {"params": [b], "name": "recognition"}]
    optimizer = EMAMomentum(groups, lr=0.1, momentum=0.9)
    expected, delta = torch.ones(2, 3), torch.zeros(2, 3)
    rate = torch.tensor([[0.5], [0.1]])
    for g in gradients(10):
        a.grad, b.grad = g.clone(), g.clone()
        optimizer.step()
        delta = 0.9 * delta + 0.1 * rate * g
        expected = expected - delta
        torch.testing.assert_close(torch.stack([a.detach(), b.detach()]), expected)


def test_a_gradient_moves_by_its_rate_in_the_end():
    """Σ_t (1 − β) β^t = 1: not 1 / (1 − β) times as far, as momentum without dampening goes."""
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = EMAMomentum([p], lr=0.1, momentum=0.95)
    for g in [1.0] + [0.0] * 500:
        p.grad = torch.tensor([g])
        optimizer.step()
    assert p.item() == pytest.approx(-0.1, rel=1e-5)


@pytest.mark.parametrize("skip", [True, False])
def test_nan_leaves_the_momentum_as_it_is_where_asked(skip):
    p = torch.nn.Parameter(torch.zeros(2))
    optimizer = EMAMomentum([p], lr=1.0, momentum=0.5, skip_nan=skip)
    p.grad = torch.ones(2)
    optimizer.step()  # Δ = 0.5
    p.grad = torch.tensor([float("nan"), 1.0])
    optimizer.step()
    assert p[1].item() == pytest.approx(-1.25)
    assert p[0].item() == pytest.approx(-1.0) if skip else p[0].isnan()


def test_state_resumes_exactly():
    p, q = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(3))
    first, second = EMAMomentum([p]), EMAMomentum([q])
    for i, g in enumerate(gradients(6)):
        if i == 3:
            with torch.no_grad():
                q.copy_(p)
            second.load_state_dict(copy.deepcopy(first.state_dict()))
        for parameter, optimizer in ((p, first), (q, second)):
            parameter.grad = g.clone()
            if parameter is p or i >= 3:
                optimizer.step()
    assert torch.equal(p, q)


def test_parameters_without_gradient_stay():
    p, q = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = EMAMomentum([p, q], lr=1.0)
    p.grad = torch.ones(1)
    assert optimizer.step(lambda: 3.0) == 3.0
    assert p.item() < 0
    assert q.item() == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": -1.0}, r"lr must be at least 0 and finite \(found -1\.0\)"),
        ({"lr": math.nan}, r"lr must be at least 0 and finite \(found nan\)"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\) \(found 1\.0\)"),
    ],
)
def test_rates_out_of_range_are_refused(wrong, message):
    """Of all parameters, of a group, and of a group that comes later."""
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    with pytest.raises(ValueError, match=f"^EMAMomentum: {message}$"):
        EMAMomentum(parameters, **wrong)
    with pytest.raises(ValueError, match=f"^EMAMomentum: {message}$"):
        EMAMomentum([{"params": parameters, **wrong}])
    optimizer = EMAMomentum(parameters)
    with pytest.raises(ValueError, match=f"^EMAMomentum: {message}$"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], **wrong})
    assert len(optimizer.param_groups) == 1
