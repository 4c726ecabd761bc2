"""Parallel tempering for the persistent chains of a deep Boltzmann machine."""

# Dims: T temperatures, N chains of each, E units of the even layers, O of the odd ones.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import BoltzmannStack, Couplings, Latents, TrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD, Share


class TemperedMeanFieldPCD(MeanFieldPCD):
    """`boltzmann.MeanFieldPCD` with parallel tempering: hotter chains help to leave a mode.

    Each particle has a chain at every inverse temperature β_1 = 1 > … > β_T, with the invariant
    distribution ∝ exp(−β E). After each sweep, neighbours exchange their states with probability

        min(1, exp((β_i − β_{i+1}) (E_i − E_{i+1}))),

    first the pairs with an odd i, then the others (Swendsen & Wang, 1986; for Boltzmann machines
    Desjardins et al., 2010). Only the chains at β = 1 estimate the model's statistics.

    Args:
        operator: transition operator of the chains; `gibbs` has only the chains at β = 1, like the
            base class.
        temperatures: number of temperatures T; β is equally spaced.
        lowest: β_T.
        iterations: mean-field iterations; this and all that follow are as in the base class.
        tolerance: tolerance of mean field.
        damping: damping of mean field.
        chains: number of particles N; there are N T chains in all.
        sweeps: sweeps of each chain per step.
        weight_decay: coefficient of ½‖W‖².
        sparsity: target mean of each hidden layer.
        sparsity_cost: strength of the sparsity term.
        sparsity_damping: fraction of the running mean that is kept at each step.
        precision: of mean field, and of the chains with `gibbs`; tempered chains use float32.
    """

    hot: Tensor

    def __init__(
        self,
        operator: Literal["gibbs", "parallel"] = "parallel",
        temperatures: Annotated[int, Field(ge=2)] = 10,
        lowest: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        iterations: Annotated[int, Field(ge=1)] = 10,
        tolerance: Annotated[float, Field(ge=0)] = 0.0,
        damping: Annotated[float, Field(ge=0, lt=1)] | None = None,
        chains: Annotated[int, Field(ge=1)] = 100,
        sweeps: Annotated[int, Field(ge=1)] = 5,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        sparsity: list[Share] | None = None,
        sparsity_cost: Annotated[float, Field(ge=0)] = 1e-3,
        sparsity_damping: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__(
            iterations,
            tolerance,
            damping,
            chains,
            sweeps,
            weight_decay,
            sparsity,
            sparsity_cost,
            sparsity_damping,
            precision,
        )
        self.operator, self.temperatures, self.lowest = operator, temperatures, lowest
        self.register_buffer("hot", torch.zeros(0))

    @classmethod
    def tiny(cls) -> TemperedMeanFieldPCD:
        """Return a few chains at three temperatures."""
        return cls(temperatures=3, chains=10, sparsity=[0.2, 0.1], sparsity_cost=0.1)

    def check(self, model: BoltzmannStack) -> None:
        """Check the sparsity targets, and that tempered chains can sample the machine's units.

        Raises:
            ValueError: the number of targets is wrong, or observed units are not binary.
        """
        super().check(model)
        if self.operator == "parallel":
            model.machine().couplings()

    def begin(self, model: BoltzmannStack, train: TrainSplit) -> None:
        """Start all chains of a particle at one random training point."""
        super().begin(model, train)
        if self.operator == "parallel":
            self.hot = self.chains.repeat(self.temperatures - 1, 1, 1)

    @torch.no_grad()
    def _phases(self, model: BoltzmannStack, x: Tensor) -> tuple[Latents, Latents]:
        if self.operator == "gibbs" or len(self.hot) == 0:
            return super()._phases(model, x)
        machine = model.machine()
        x = model.units(x)
        low = x.bfloat16() if self.precision == "bfloat16" else x
        means = machine.mean_field(low, self.iterations, self.tolerance, self.damping)
        beta = torch.linspace(1, self.lowest, self.temperatures, device=x.device)
        states = torch.cat([self.chains[None], self.hot])
        states = temper(machine.couplings(), states, beta, self.sweeps)
        self.chains, self.hot = states[0], states[1:]
        return [x, *(h.to(x.dtype) for h in means)], machine.complete(self.chains)


def temper(
    couplings: Couplings, even: Float[Tensor, "t n e"], beta: Float[Tensor, "t"], sweeps: int
) -> Float[Tensor, "t n e"]:
    """Return the even layers after sweeps (odd given even, even given odd, then an exchange).

    Args:
        couplings: couplings of the machine at β = 1.
        even: states at each inverse temperature.
        beta: inverse temperatures β, from high to low.
        sweeps: number of sweeps.
    """
    weight, even_bias, odd_bias = couplings
    scale = beta[:, None, None]
    inputs = even @ weight + odd_bias
    for _ in range(sweeps):
        odd = (scale * inputs).sigmoid_().bernoulli()
        even = (scale * (odd @ weight.t() + even_bias)).sigmoid_().bernoulli()
        inputs = even @ weight + odd_bias
        energy = -(inputs * odd).sum(2) - even @ even_bias
        order = exchange(energy, beta)[..., None]
        even = even.gather(0, order.expand_as(even))
        inputs = inputs.gather(0, order.expand_as(inputs))
    return even


def exchange(energy: Float[Tensor, "t n"], beta: Float[Tensor, "t"]) -> Tensor:
    """Return, for each temperature and chain [T, N], the temperature index of its new state."""
    energy = energy.clone()
    order = torch.arange(len(beta), device=beta.device)[:, None].repeat(1, energy.shape[1])
    for first in (0, 1):
        i = torch.arange(first, len(beta) - 1, 2, device=beta.device)
        accepted = torch.rand_like(energy[i]) < swap_probability(
            beta[i, None], beta[i + 1, None], energy[i], energy[i + 1]
        )
        for values in (energy, order):
            low, high = values[i], values[i + 1]
            values[i] = torch.where(accepted, high, low)
            values[i + 1] = torch.where(accepted, low, high)
    return order


def swap_probability(
    beta: Float[Tensor, "*s"],
    other: Float[Tensor, "*t"],
    energy: Float[Tensor, "*u"],
    other_energy: Float[Tensor, "*v"],
) -> Float[Tensor, "*w"]:
    """Return min(1, exp((β_i − β_j) (E_i − E_j))).

    >>> swap_probability(torch.tensor(1.0), torch.tensor(0.5), torch.tensor(0.0), torch.tensor(2.0))
    tensor(0.3679)
    """
    return ((beta - other) * (energy - other_energy)).clamp(max=0).exp()
