"""Learning to generate images from captions."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols import Rule, TextToImageModel


class ConditionalELBO(Rule[TextToImageModel]):
    """Ascend E_q[log p(x | z, y)] − Σ_t KL(q(z_t | x, y, z_<t) ‖ p(z_t | z_<t, y)) ≤ log p(x | y).

    The expectation is over one reparameterised sample z per point (Mansimov et al., 2016, eq. 9).
    """

    rounds = False

    def forward(self, model: TextToImageModel, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return minus the bound, averaged over the batch, in nats."""
        return -model.bound(x).mean()
