"""Generative fine-tuning of a deep belief network: contrastive wake-sleep."""

# Dims: B points, N chains, D observed units, H units of h_{L−1}.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import BeliefNetwork, EnergyModel, Rule, TrainSplit
from hwbench.rules.contrastive import ContrastiveDivergence


class UpDown(Rule[BeliefNetwork]):
    """The up-down algorithm (Hinton, Osindero & Teh, 2006, section 5 and appendix B).

    With h ~ q(h | x) from the data upwards, h⁻_{L−1} the top RBM's state after k Gibbs sweeps from
    h_{L−1} (or from persistent chains), and (x̃, h̃) drawn downwards from h⁻_{L−1}, all held fixed,
    the update ascends

        wake    Σ_{l<L} ∇_θ log p(h_{l−1} | h_l)
        top     −∇ [F(h_{L−1}) − F(h⁻_{L−1})]
        sleep   Σ_{l<L} ∇_φ log q(h̃_l | h̃_{l−1})

    Grey pixels are drawn anew each time. The authors' sleep phase applies q to the means of x̃;
    here x̃ is drawn like the other layers, so the gradient is that of log q at a dream.

    Args:
        k: sweeps per step.
        k_schedule: as in `contrastive.ContrastiveDivergence`.
        persistent: keep the chains from step to step; the dreams then approach those of the model,
            as in plain wake-sleep.
        chains: number of persistent chains.
    """

    chains: Tensor

    def __init__(
        self,
        k: Annotated[int, Field(ge=1)] = 1,
        k_schedule: list[list[int | float]] | None = None,
        persistent: bool = False,
        chains: Annotated[int, Field(ge=1)] = 100,
    ) -> None:
        super().__init__()
        self.sweeps = ContrastiveDivergence(k, k_schedule)  # It is used for its schedule of k.
        self.persistent, self.n_chains = persistent, chains
        self.register_buffer("chains", torch.zeros(0))

    @classmethod
    def tiny(cls) -> UpDown:
        """Return persistent chains with two sweeps per step."""
        return cls(k=2, persistent=True, chains=20)

    def check(self, model: BeliefNetwork) -> None:
        """Reject a network without directed layers.

        Raises:
            ValueError: the network has one layer.
        """
        if len(model.layers) < 2:
            raise ValueError(
                "a deep belief network of one layer is an RBM and has no directed layer to learn; "
                f"found layers = {model.layers}"
            )

    def begin(self, model: BeliefNetwork, train: TrainSplit) -> None:
        """Start persistent chains at fair coins, independent of the model; see `boltzmann`."""
        self.check(model)
        if self.persistent:
            start = train.means().new_full((self.n_chains, model.layers[-2]), 0.5)
            self.chains = start.bernoulli()

    def advance(self, fraction: float) -> None:
        """Set the number of sweeps for this fraction of training from the schedule."""
        self.sweeps.advance(fraction)

    def forward(self, model: BeliefNetwork, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return a loss whose gradient is minus the sum of the three, averaged over points."""
        x = torch.bernoulli(x)
        top = model.pair(len(model.layers))
        h, _ = model.infer(x, 1)
        positive = h[-1][0]
        negative = self._negative(top, positive)
        x_dream, h_dream = model.descend(negative)

        wake = model.log_directed(x, h).mean()
        contrast = top.free_energy(positive).mean() - top.free_energy(negative).mean()
        sleep = model.log_q([h_l[None] for h_l in h_dream], x_dream).mean()
        return contrast - wake - sleep

    def _negative(self, top: EnergyModel, positive: Tensor) -> Float[Tensor, "n h"]:
        if not self.persistent:
            return top.gibbs(positive, self.sweeps.k)
        if len(self.chains) == 0:
            raise ValueError("UpDown: no persistent chains yet; call begin first")
        self.chains = top.gibbs(self.chains, self.sweeps.k)
        return self.chains
