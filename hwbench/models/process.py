"""Neural processes.

Dims: *S leading dims (samples, functions), C context places, T target places, Z latents.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.protocols import ProcessModel

Count = Annotated[int, Field(ge=1)]
LEAST = 0.1  # of standard deviations


class NeuralProcess(ProcessModel):
    """A neural process (Garnelo et al., 2018) with the nets of Wenliang et al. (2020).

    Places lie equally spaced in [−π, π]. Each pair (place, value) is encoded; the average code
    gives mean and deviation of z. As in the authors' code the deviation is computed from the
    average itself, the mean through two more layers.

    Args:
        visible: places D.
        units: of hidden layers and of the code.
        latents: Z.
    """

    observed: Literal["binary", "real"] = "real"
    axis: Tensor

    def __init__(self, visible: int, units: Count = 50, latents: Count = 50) -> None:
        super().__init__()
        self.visible = visible
        self.encoder = _net([2, units, units, units])
        self.hidden = nn.Sequential(_net([units, units, units]), nn.ReLU())
        self.mean, self.scale = nn.Linear(units, latents), nn.Linear(units, latents)
        self.decoder = nn.Sequential(_net([1 + latents, units, units, units]), nn.ReLU())
        self.value, self.noise = nn.Linear(units, 1), nn.Linear(units, 1)
        self.register_buffer("axis", torch.linspace(-math.pi, math.pi, visible), persistent=False)

    @classmethod
    def tiny(cls) -> NeuralProcess:
        """Return a process of few units."""
        return cls(visible=6, units=5, latents=2)

    def latent(
        self, places: Integer[Tensor, "c"], y: Float[Tensor, "*s c"]
    ) -> tuple[Float[Tensor, "*s z"], Float[Tensor, "*s z"]]:
        """Return mean and standard deviation of z, given values at some places."""
        pairs = torch.stack([self.axis[places].expand_as(y), y], -1)
        code = self.encoder(pairs).mean(-2)
        scale = LEAST + (1 - LEAST) * self.scale(code).sigmoid()
        return self.mean(self.hidden(code)), scale

    def predict(
        self, z: Float[Tensor, "*s z"], places: Integer[Tensor, "t"]
    ) -> tuple[Float[Tensor, "*s t"], Float[Tensor, "*s t"]]:
        """Return mean and standard deviation of the values at some places, given z."""
        shape = (*z.shape[:-1], len(places))
        x = self.axis[places].expand(shape)[..., None]
        inner = self.decoder(torch.cat([x, z[..., None, :].expand(*shape, -1)], -1))
        scale = LEAST + (1 - LEAST) * F.softplus(self.noise(inner)[..., 0])
        return self.value(inner)[..., 0], scale


def _net(sizes: list[int]) -> nn.Sequential:
    """Return linear layers with ReLUs between them."""
    layers: list[nn.Module] = [nn.Linear(sizes[0], sizes[1])]
    for above, below in pairwise(sizes[1:]):
        layers += [nn.ReLU(), nn.Linear(above, below)]
    return nn.Sequential(*layers)
