"""A base of annealed importance sampling with the rates of the machine's own units."""

# Dims: N chains, S units kept, J units summed out.

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from hwbench.evaluators.ais import Base
from hwbench.numerics import stream
from hwbench.protocols import Couplings


@torch.no_grad()
def own_rates(couplings: Couplings, start: Float[Tensor, "s"], chains: int, sweeps: int) -> Base:
    """Return the independent units whose rates are those of the machine, as chains find them.

    Of all independent units they are the nearest to the machine, by KL(p ‖ base). Any base has
    E[w] = Z / Z_A, but from fair coins a path may cross phases that the chains do not follow: for
    a deep machine with few units on, with 20 000 temperatures, log Z was 20 nats too low upwards
    and 26 too high downwards; from its rates 1000 bring both within a nat.

    Each unit's rate m is its mean chance given the other side, and (n m + ½) / (n + 1) is taken, n
    the number of chains. They always draw the same numbers: the base depends on the machine alone.

    Args:
        couplings: between units kept and summed out.
        start: log odds of the units kept where the chains start.
        chains: n.
        sweeps: of each chain.
    """
    weight, b, c = couplings
    with torch.random.fork_rng(devices=[b.device] if b.is_cuda else []):
        torch.manual_seed(stream(0, "base rates"))
        kept = start.sigmoid().expand(chains, -1).bernoulli()
        summed = torch.addmm(c, kept, weight).sigmoid_().bernoulli()
        for _ in range(sweeps):
            kept = torch.addmm(b, summed, weight.t()).sigmoid_().bernoulli()
            summed = torch.addmm(c, kept, weight).sigmoid_().bernoulli()
    rates = (
        torch.addmm(b, summed, weight.t()).sigmoid_(),
        torch.addmm(c, kept, weight).sigmoid_(),
    )
    return Base(*(((chains * m.mean(0) + 0.5) / (chains + 1)).logit() for m in rates))
