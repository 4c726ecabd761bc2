"""A machine's own unit rates, as a base of annealed importance sampling."""

# Dims: N chains, V visible units, H hidden units.

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from hwbench.numerics import generator
from hwbench.protocols import Couplings

CHAINS = 100


@torch.no_grad()
def own_rates(
    couplings: Couplings, start: Float[Tensor, "v"], sweeps: int, chains: int = CHAINS
) -> tuple[Float[Tensor, "v"], Float[Tensor, "h"]]:
    """Return log odds of independent units with the machine's own rates, estimated by chains.

    Among all independent units, those with exactly the machine's rates are nearest to it, by
    KL(p ‖ base). Any base has E[w] = Z / Z_A, but from fair coins a path may cross phases that the
    chains do not follow. For a deep machine of 784-500-1000 with few active units, 20 000
    temperatures left log Z upwards and downwards 46 nats apart. From its own rates, 1000
    temperatures bring the two within one nat of each other, at a value in between.

    A rate m is the mean probability of a unit given the other side. It is replaced by
    (n m + ½) / (n + 1) for n chains, so that no unit is always on or off. The chains always draw
    the same numbers, so the base is the same for every seed of an evaluation.

    Args:
        couplings: couplings of the machine's two sides.
        start: log odds of the visible units where the chains start.
        sweeps: sweeps of each chain.
        chains: n.
    """
    weight, b, c = couplings
    g = generator(0, "own rates", device=b.device)

    def draw(means: Tensor) -> Tensor:
        u = torch.rand(means.shape, generator=g, dtype=means.dtype, device=means.device)
        return (u < means).to(means.dtype)

    visible = draw(start.sigmoid().expand(chains, -1))
    hidden = draw(torch.addmm(c, visible, weight).sigmoid_())
    for _ in range(sweeps):
        visible = draw(torch.addmm(b, hidden, weight.t()).sigmoid_())
        hidden = draw(torch.addmm(c, visible, weight).sigmoid_())
    below = torch.addmm(b, hidden, weight.t()).sigmoid_().mean(0)
    above = torch.addmm(c, visible, weight).sigmoid_().mean(0)
    below, above = (((chains * m + 0.5) / (chains + 1)).logit() for m in (below, above))
    return below, above
