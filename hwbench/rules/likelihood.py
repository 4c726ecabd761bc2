"""Maximum likelihood for models with an exact log p(x).

Dims: B points, D observed units.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols import Density, Rule


class MaximumLikelihood(Rule[Density]):
    """Gradient ascent on the mean of log p(x)."""

    rounds = False

    def __init__(self) -> None:
        """Take no arguments; without a constructor of its own a class seems to accept any."""
        super().__init__()

    def forward(self, model: Density, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return −log p(x), averaged over the batch, in nats."""
        return -model.log_prob(x).mean()
