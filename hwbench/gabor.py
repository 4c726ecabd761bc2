"""Gabor patches: an oriented grating under a Gaussian window."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

ASPECT = 0.8  # γ, of the window across the grating to along it
WAVELENGTH = 1.0  # λ; a patch is [−1, 1]²
WINDOW = 0.3  # standard deviation of the window


def gabor(orientation: Float[Tensor, "n"], side: int) -> Float[Tensor, "n d"]:
    """Return patches of side² pixels, in float64, centred and with the same phase (even).

    With u = x cos θ + y sin θ and v = −x sin θ + y cos θ, a pixel at (x, y) ∈ [−1, 1]² is

        exp(−(u² + γ² v²) / (2 σ²)) cos(2π u / λ),

    which is the same for θ and θ + π.

    >>> gabor(torch.tensor([0.0, torch.pi]), side=3).round(decimals=3).unique(dim=0).tolist()
    [[0.0, 0.029, 0.0, 0.004, 1.0, 0.004, 0.0, 0.029, 0.0]]
    """
    axis = torch.linspace(-1, 1, side, dtype=torch.float64, device=orientation.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    theta = orientation.double()[:, None]
    u = x.flatten() * theta.cos() + y.flatten() * theta.sin()
    v = -x.flatten() * theta.sin() + y.flatten() * theta.cos()
    window = -(u.square() + ASPECT**2 * v.square()) / (2 * WINDOW**2)
    return window.exp() * (2 * math.pi / WAVELENGTH * u).cos()
