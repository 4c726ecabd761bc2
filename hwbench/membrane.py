"""The membrane of a neuron by Hodgkin and Huxley, in the form of Pospischil et al. (2008).

Units are mV, ms, μF/cm², mS/cm² and μA/cm². Dims: *S leading dims (series, steps), T steps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

STEP = 0.05  # ms, of Euler's method
START = -70.0  # mV, where every series starts
LOW, HIGH = -60.0, 120.0  # mV above the threshold; beyond, rates stay as they are


class Membrane(NamedTuple):
    """Parameters of a membrane, each a number or a tensor of one.

    Attributes:
        capacitance: C.
        leak, sodium, potassium: conductances g_l, g_Na and g_K.
        leak_reversal, sodium_reversal, potassium_reversal: E_l, E_Na and E_K.
        threshold: V_t, which shifts all rates.
        process: standard deviation of V at each step.
        noise: standard deviation of a measurement of V.
    """

    capacitance: Tensor | float
    leak: Tensor | float
    leak_reversal: Tensor | float
    sodium: Tensor | float
    sodium_reversal: Tensor | float
    potassium: Tensor | float
    potassium_reversal: Tensor | float
    threshold: Tensor | float
    process: Tensor | float
    noise: Tensor | float


TRUE = Membrane(1.0, 0.1, -70.42, 50.0, 50.0, 5.0, -90.0, -60.0, 0.1, 1.0)
GATES = (0.0, 0.8, 0.0)  # m, h and n, where every series starts


def current(steps: int) -> Float[Tensor, "t"]:
    """Return the injected current: mean 10 in the middle 80 % of the steps, else 0; deviation 2."""
    edge = steps // 10
    mean = torch.zeros(steps)
    mean[edge : steps - edge] = 10.0
    return mean + 2 * torch.randn(steps, generator=torch.Generator().manual_seed(0))


def ratio(u: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Return u / (e^u − 1), also at 0, where it is 1.

    >>> ratio(torch.tensor([0.0, 1.0])).tolist()
    [1.0, 0.5819767117500305]
    """
    small = u.abs() < 1e-3
    safe = torch.where(small, torch.ones_like(u), u)
    return torch.where(small, 1 - u / 2 + u.square() / 12, safe / torch.expm1(safe))


def rates(v: Float[Tensor, "*s"], threshold: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return α and β of the gates m, h and n at potentials V: each [*S, 3], per ms."""
    u = (v - threshold).clamp(LOW, HIGH)
    alpha = [1.28 * ratio((13 - u) / 4), 0.128 * ((17 - u) / 18).exp(), 0.16 * ratio((15 - u) / 5)]
    beta = [
        1.4 * ratio((u - 40) / 5),
        4 * ((u - 40) / 5).sigmoid(),
        0.5 * ((10 - u) / 40).exp(),
    ]
    return torch.stack(alpha, -1), torch.stack(beta, -1)


def drift(
    v: Float[Tensor, "*s"], gates: Float[Tensor, "*s 3"], i: Float[Tensor, "*t"], own: Membrane
) -> Float[Tensor, "*s"]:
    """Return V after a step of Euler's method, without noise.

    Args:
        v: V before it.
        gates: m, h and n before it.
        i: the injected current.
        own: parameters.
    """
    m, h, n = gates.unbind(-1)
    inward = own.leak * (v - own.leak_reversal)
    inward = inward + own.sodium * m.pow(3) * h * (v - own.sodium_reversal)
    inward = inward + own.potassium * n.pow(4) * (v - own.potassium_reversal)
    return v + STEP / own.capacitance * (i - inward)


def gate_step(gates: Float[Tensor, "*s 3"], alpha: Tensor, beta: Tensor) -> Float[Tensor, "*s 3"]:
    """Return m, h and n after a step of Euler's method."""
    return gates + STEP * (alpha * (1 - gates) - beta * gates)


def simulate(
    own: Membrane, i: Float[Tensor, "t"], noise: Float[Tensor, "t n"]
) -> Float[Tensor, "n t"]:
    """Return V of n series after each step, driven by standard normal noise."""
    v = torch.full_like(noise[0], START)
    gates = torch.tensor(GATES).to(noise).expand(*v.shape, 3)
    found = []
    for amount, now in zip(noise, i.to(noise), strict=True):
        alpha, beta = rates(v, own.threshold)
        v, gates = drift(v, gates, now, own) + own.process * amount, gate_step(gates, alpha, beta)
        found.append(v)
    return torch.stack(found, -1)
