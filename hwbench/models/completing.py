"""Completion of real-valued images: a deep Boltzmann machine on a Gaussian RBM, and the mean."""

# Dims: B points, D observed units, C chains.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor

from hwbench.models.realnet import Count, RealFineTunedDBM
from hwbench.protocols import Completer, NeighbourCompleter, Split


class RealCompletingDBM(RealFineTunedDBM, Completer):
    """`realnet.RealFineTunedDBM` that fills in unseen inputs by Gibbs sampling.

    The RBM was learned first and then stayed fixed, so the two parts have no common energy. A sweep
    draws h_1 given the image, lets the machine take one sweep from there, and draws the image given
    the machine's h_1; the seen inputs are then put back. A completion is the mean of the images'
    means over chains and sweeps.

    Args:
        layers: hidden units of the Gaussian RBM, then of the machine's two or more layers.
        init: standard deviation of the initial weights.
        iterations: largest number of mean-field iterations.
        chains: C, chains of each image.
        burn_in: sweeps before averaging.
        sweeps: sweeps to average over.
    """

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        classes: int,
        layers: list[Count],
        init: Annotated[float, Field(ge=0)] = 0.01,
        iterations: Count = 50,
        chains: Count = 10,
        burn_in: Annotated[int, Field(ge=0)] = 50,
        sweeps: Count = 50,
    ) -> None:
        super().__init__(visible, classes, layers, init, iterations)
        self.chains, self.burn_in, self.sweeps = chains, burn_in, sweeps

    @classmethod
    def tiny(cls) -> RealCompletingDBM:
        """Return images of 2 x 2 and short chains."""
        return cls(4, 3, [4, 3, 2], chains=2, burn_in=2, sweeps=3)

    @torch.no_grad()
    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the seen inputs, and for the others the average of their means given h_1."""
        known = x.repeat(self.chains, 1)
        state = torch.where(seen, known, self.gaussian.data_means)
        total = torch.zeros_like(x)
        others = x.new_zeros(len(known), sum(self.upper.layers[1::2]))
        for sweep in range(self.burn_in + self.sweeps):
            even = torch.cat([self.activities(state).bernoulli(), others], 1)
            even = self.upper.gibbs(even, 1)
            others = even[:, self.upper.visible :]
            means = self.gaussian.visible_means(even[:, : self.upper.visible])
            if sweep >= self.burn_in:
                total += means.view(self.chains, *x.shape).mean(0)
            noise = self.gaussian.spread * torch.randn_like(means)
            state = torch.where(seen, known, means + noise)
        return torch.where(seen, x, total / self.sweeps)


class MeanImage(NeighbourCompleter):
    """Completes with the mean of all training points, as the only neighbour of any point."""

    average: Tensor

    def __init__(self, visible: Annotated[int, Field(ge=1)]) -> None:
        super().__init__()
        self.visible = visible
        self.register_buffer("average", torch.zeros(visible))

    @classmethod
    def tiny(cls) -> MeanImage:
        """Return images of 2 x 2."""
        return cls(visible=4)

    def keep(self, split: Split, seen: Bool[Tensor, "d"], k: int) -> None:
        """Store the mean; which units are seen has no effect, nor has k."""
        self.average = split.means().to(split.values.device)

    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return zeros, the number of the mean."""
        return torch.zeros(len(x), k, dtype=torch.int64, device=x.device)

    def means(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the mean for each point."""
        return self.average.expand(len(neighbours), -1)

    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the seen units, and the mean of the others."""
        return torch.where(seen, x, self.average)
