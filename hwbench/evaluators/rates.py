"""The rates of a machine's own units, as a base of annealed importance sampling."""

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
    """Return log odds of independent units with the rates that chains find for the machine's.

    Of all independent units those with exactly its rates are the nearest to the machine, by
    KL(p ‖ base). Any base has E[w] = Z / Z_A, but from fair coins a path may cross phases that the
    chains do not follow: for a deep machine of 784-500-1000 with few units on, 20 000 temperatures
    left log Z upwards and downwards 46 nats apart; from its rates 1000 bring them within one, in
    between.

    A rate m is the mean chance of a unit given the other side, and (n m + ½) / (n + 1) is taken for
    it, n the number of chains, so that no unit is held on or off. The chains always draw the same
    numbers: the base is the same for every seed of an evaluation.

    Args:
        couplings: of the machine's two sides.
        start: log odds of the visible units where the chains start.
        sweeps: of each chain.
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
