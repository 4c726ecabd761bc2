"""The membrane of a neuron."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwbench.membrane import GATES, START, STEP, TRUE, current, rates, ratio, simulate


def test_the_ratio_is_smooth_at_its_removable_point():
    """Value and slope against a series of high order, on both sides and at 0."""
    u = torch.tensor([-2e-3, -1e-3, -1e-5, 0.0, 1e-5, 1e-3, 2e-3], dtype=torch.float64)
    u.requires_grad_()
    value = ratio(u)
    (slope,) = torch.autograd.grad(value.sum(), u)
    series = 1 - u / 2 + u**2 / 12 - u**4 / 720
    torch.testing.assert_close(value, series, atol=1e-12, rtol=0)
    torch.testing.assert_close(slope, -0.5 + u / 6 - u**3 / 180, atol=1e-9, rtol=0)


def test_rates_are_those_of_the_paper():
    """By the formulas with 0/0 points, away from them."""
    v = np.array([-75.0, -61.3, -40.2, 5.0])
    u = v + 60
    alpha = [
        -0.32 * (u - 13) / (np.exp(-(u - 13) / 4) - 1),
        0.128 * np.exp(-(u - 17) / 18),
        -0.032 * (u - 15) / (np.exp(-(u - 15) / 5) - 1),
    ]
    beta = [
        0.28 * (u - 40) / (np.exp((u - 40) / 5) - 1),
        4 / (1 + np.exp(-(u - 40) / 5)),
        0.5 * np.exp(-(u - 10) / 40),
    ]
    for found, expected in zip(rates(torch.from_numpy(v), -60.0), (alpha, beta), strict=True):
        np.testing.assert_allclose(found, np.stack(expected, -1), rtol=1e-12)


def test_two_steps_by_hand():
    """From the start, with the true parameters."""
    i, noise = torch.tensor([10.0, 3.0]).double(), torch.tensor([[0.5], [-1.0]]).double()
    found = simulate(TRUE, i, noise)[0]
    v, (m, h, n) = START, GATES
    for t in range(2):
        flow = TRUE.leak * (v - TRUE.leak_reversal)
        flow += TRUE.sodium * m**3 * h * (v - TRUE.sodium_reversal)
        flow += TRUE.potassium * n**4 * (v - TRUE.potassium_reversal)
        a, b = (r[0] for r in rates(torch.tensor([v]).double(), TRUE.threshold))
        v = v + STEP / TRUE.capacitance * (float(i[t]) - flow) + TRUE.process * float(noise[t])
        m, h, n = (
            g + STEP * (float(p) * (1 - g) - float(q) * g)
            for g, p, q in zip((m, h, n), a, b, strict=True)
        )
        assert found[t].item() == pytest.approx(v, abs=1e-9)


def test_the_true_membrane_fires():
    """In 50 ms with 10 μA it spikes several times, from E_K to E_Na up to a step of Euler's."""
    v = simulate(TRUE, current(1000), torch.zeros(1000, 1))[0]
    spikes = ((v[1:] > 0) & (v[:-1] <= 0)).sum()
    assert 2 <= spikes <= 20
    assert TRUE.potassium_reversal - 10 < v.min() < -60
    assert 30 < v.max() < TRUE.sodium_reversal + 10
