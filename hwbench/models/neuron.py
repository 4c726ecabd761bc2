"""The potential of a neuron over time.

Dims: *S leading dims (samples, points), K samples, B points, N dreams, T steps.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hwbench.membrane import (
    GATES,
    START,
    Membrane,
    current,
    drift,
    gate_step,
    rates,
    simulate,
)
from hwbench.protocols import ExponentialDreamer, Latents, MembraneModel

LOG_2PI = math.log(2 * math.pi)
# The start of the authors' code, in the order of `Membrane`; reversals may be negative.
INITIAL = Membrane(2.0, 0.2, -60.0, 40.0, 40.0, 3.0, -80.0, -50.0, 1.0, 30.0)


class HodgkinHuxley(ExponentialDreamer, MembraneModel):
    """A membrane by Hodgkin and Huxley with noise, measured with noise (Wenliang et al., 2020).

        V_t ~ N(V_{t−1} + dV, σ_p²),   x_t ~ N(V_t, σ²)

    dV depends on V_{t−1}, on the gates m, h and n, and on a known current. The gates follow from
    V before, so only V is a latent; its samples are constant, and gradients flow through the gates.
    A parameter is learned as the log of its size, its sign is known.

    Args:
        visible: steps T.
    """

    observed: Literal["binary", "real"] = "real"
    injected: Tensor

    def __init__(self, visible: int) -> None:
        super().__init__()
        self.visible = visible
        for name, value in zip(Membrane._fields, INITIAL, strict=True):
            self.register_parameter(
                name, nn.Parameter(torch.full((1,), math.log(abs(float(value)))))
            )
        self.register_buffer("injected", current(visible), persistent=False)

    @classmethod
    def tiny(cls) -> HodgkinHuxley:
        """Return four steps."""
        return cls(visible=4)

    def membrane(self) -> Membrane:
        """Return the parameters in their units, with gradients."""
        signs = [math.copysign(1.0, value) for value in INITIAL]
        logs = [getattr(self, name) for name in Membrane._fields]
        return Membrane(*(s * p.exp() for s, p in zip(signs, logs, strict=True)))

    @torch.no_grad()
    def parameters_of_membrane(self) -> dict[str, float]:
        """Return each parameter by its name."""
        return {name: float(value) for name, value in self.membrane()._asdict().items()}

    def log_likelihood(self, x: Float[Tensor, "*b t"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return Σ_t log N(x_t; V_t, σ²)."""
        return _log_normal(x - h[0], self.noise)  # type: ignore[arg-type]

    def log_joint(self, x: Float[Tensor, "*b t"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, V)."""
        return self.log_likelihood(x, h) + self.log_potential(h[0])

    def log_potential(self, v: Float[Tensor, "*s t"]) -> Float[Tensor, "*s"]:
        """Return log p(V): currents of all steps at once, after a loop over the gates alone."""
        own = self.membrane()
        before = torch.cat([torch.full_like(v[..., :1], START), v[..., :-1]], -1)
        alpha, beta = rates(before, own.threshold)
        gates = torch.tensor(GATES).to(v).expand(*v.shape[:-1], 3)
        found = [gates]
        for a, b in zip(alpha.unbind(-2)[:-1], beta.unbind(-2)[:-1], strict=True):
            gates = gate_step(gates, a, b)
            found.append(gates)
        expected = drift(before, torch.stack(found, -2), self.injected, own)
        return _log_normal(v - expected, self.process)  # type: ignore[arg-type]

    def natural(self, h: Latents) -> Float[Tensor, "n s"]:
        """Return η(V) = (V/σ², −1/(2σ²)): [N, T + 1]."""
        precision = (-2 * self.noise).exp()  # type: ignore[operator, union-attr]
        return torch.cat([h[0] * precision, (-0.5 * precision).expand(len(h[0]), 1)], 1)

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return Σ_t V_t²/(2σ²) + log σ + ½ log 2π − log p(V)."""
        return -_log_normal(h[0], self.noise) - self.log_potential(h[0])  # type: ignore[arg-type]

    def statistics(self, x: Float[Tensor, "b t"]) -> Float[Tensor, "b s"]:
        """Return S(x) = (x, ‖x‖²): [B, T + 1]."""
        return torch.cat([x, x.square().sum(1, keepdim=True)], 1)

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n t"], Latents]:
        """Return n joint samples, x and V [n, T]."""
        own = self.membrane()
        v = simulate(own, self.injected, torch.randn(self.visible, n).to(self.injected))
        return v + own.noise * torch.randn_like(v), [v]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n t"]:
        """Return n series of V."""
        return self.dream(n)[1][0]


def _log_normal(difference: Float[Tensor, "*s t"], log_scale: Tensor) -> Float[Tensor, "*s"]:
    standard = difference * (-log_scale).exp()
    return (-0.5 * (standard.square() + LOG_2PI) - log_scale).sum(-1)
