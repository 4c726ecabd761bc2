import math

import pytest
import torch
from torch.distributions import Gamma, LogNormal

from hwbench.models.dynamics import BlowflyDynamics


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    out = BlowflyDynamics(visible=8, delays=4, births=0.6, deaths=0.4).double()
    with torch.no_grad():
        for p in out.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return out


def test_the_log_joint_of_all_steps_at_once_is_that_of_a_loop(model):
    """Step by step, with torch's own densities."""
    x, h = model.dream(3)
    found = model.log_joint(x, [h_l[None] for h_l in h])[0]
    rate, capacity, death, births, deaths, noise = (
        p.exp()
        for p in (
            model.log_rate,
            model.log_capacity,
            model.log_death,
            model.log_births,
            model.log_deaths,
            model.log_noise,
        )
    )
    for n in range(3):
        tau, e, eps = int(h[0][n]), h[1][n], h[2][n]
        series = [*model.start.sigmoid(), *x[n]]
        log_p = model.logits.log_softmax(0)[tau - 1]
        log_p = log_p + Gamma(births**-2, births**-2).log_prob(e).sum()
        log_p = log_p + Gamma(deaths**-2, deaths**-2).log_prob(eps).sum()
        for t in range(8):
            delayed, last = series[4 + t - tau], series[4 + t - 1]
            z = rate * delayed * (-delayed / capacity).exp() * e[t]
            z = z + last * (-death * eps[t]).exp()
            log_p = log_p + LogNormal(z.log(), noise).log_prob(x[n, t])
        torch.testing.assert_close(found[n], log_p[0])


def test_all_series_meet_all_latents_where_they_are_broadcast(model):
    """Samples of the prior, [N, 1, ·], against points [B, T]: a table [N, B]."""
    x, h = model.dream(3)
    table = model.log_joint(x, [h_l[:, None] for h_l in h])
    assert table.shape == (3, 3)
    torch.testing.assert_close(table.diagonal(), model.log_joint(x, [a[None] for a in h])[0])


def test_without_noise_dreams_follow_the_recursion():
    """With e = ε = 1 and no noise, x_t = P x_{t−τ} exp(−x_{t−τ}/N₀) + x_{t−1} exp(−δ)."""
    model = BlowflyDynamics(visible=30, delays=3, births=1e-4, deaths=1e-4, noise=1e-6).double()
    x, h = model.dream(2)
    for series, tau in zip(x, h[0][:, 0].long(), strict=True):
        states = [0.5] * 3
        for _ in range(30):
            before = states[-tau]
            states.append(before * math.exp(-before) + states[-1] * math.exp(-1))
        torch.testing.assert_close(series, torch.tensor(states[3:]).double(), rtol=1e-3, atol=0)


def test_delays_are_equally_probable_at_first():
    torch.testing.assert_close(BlowflyDynamics(visible=5).delays(), torch.full((20,), 0.05))
