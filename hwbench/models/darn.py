"""Autoregressive sigmoid layers (AR-SBN, also called DARN): units also depend on earlier ones.

Dims: *S any leading dims, N all of them flattened, D units of the layer, H conditioning units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hwbench.models.layers import Affine, BinaryUnits, Init, Layer, weights

BLOCK = 32  # units per matrix product


class AutoregressiveUnits(BinaryUnits):
    """p(x) = Π_d Bern(x_d; σ(base_d + Σ_{e<d} W_de x_e)).

    Args:
        base: logits without the other units' contributions.
        triangle: W, strictly lower triangular; sampling and scoring use the same matrix.
        clamped: see `BinaryUnits`.
    """

    def __init__(
        self, base: Float[Tensor, "*s d"], triangle: Float[Tensor, "d d"], clamped: bool = False
    ) -> None:
        super().__init__(clamped)
        self.base = base
        self.triangle = triangle

    def logits(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*t d"]:
        """Return the logits of all units: one matrix product."""
        return self.squash(self.base + F.linear(x, self.triangle))

    @torch.no_grad()
    def trace(self, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Draw unit after unit; one product adds a finished block of units to all later ones."""
        lead = (*shape, *self.base.shape[:-1])
        units = self.base.shape[-1]
        logits = self.base.expand(*lead, units).reshape(-1, units).T.contiguous()  # [D, N]
        threshold = torch.rand_like(logits).logit_()
        x = torch.empty_like(logits)
        for start in range(0, units, BLOCK):
            end = min(start + BLOCK, units)
            for d in range(start, end):
                if self.clamped:
                    logits[d] = self.squash(logits[d])
                torch.lt(threshold[d], logits[d], out=x[d])
                logits[d + 1 : end].addr_(self.triangle[d + 1 : end, d], x[d])
            logits[end:].addmm_(self.triangle[end:, start:end], x[start:end])
        return x.T.reshape(*lead, units), logits.T.reshape(*lead, units)


class AutoregressiveLayer(Layer):
    """An autoregressive sigmoid layer (Frey, 1998; Gregor et al., 2014).

        p(x | h) = Π_d Bern(x_d; σ(b_d + (U h)_d + Σ_{e<d} W_de x_e))

    The authors' code samples with one triangle and scores with the other; here both use the same.

    Args:
        above: units above; 0 for a top layer, whose W starts at half the size, as in the authors'
            code.
        below: units of the layer.
        bias: initial b.
        init: initialisation of the weights.
        clamped: see `BinaryUnits`.
    """

    def __init__(
        self, above: int, below: int, bias: float = 0.0, init: Init = "small", clamped: bool = False
    ) -> None:
        super().__init__()
        self.clamped = clamped
        self.affine = Affine(above, below, bias, init)
        self.weight = weights(below, below, init)
        with torch.no_grad():
            self.weight.tril_(-1).mul_(1.0 if above else 0.5)

    def forward(self, h: Float[Tensor, "*s h"] | None = None) -> AutoregressiveUnits:
        """Return p(x | h), or p(x) at the top."""
        return AutoregressiveUnits(self.affine(h), self.weight.tril(-1), self.clamped)
