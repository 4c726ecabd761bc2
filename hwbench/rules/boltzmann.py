"""Joint training of a deep Boltzmann machine: mean field for the data, chains for the model."""

# Dims: B points, N chains, D observed units, E units of the even layers.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import BoltzmannStack, DeepBoltzmannMachine, Latents, Rule, TrainSplit

Share = Annotated[float, Field(gt=0, lt=1)]


class MeanFieldPCD(Rule[BoltzmannStack]):
    """Variational learning with persistent chains (Salakhutdinov & Hinton, 2009, algorithm 1).

    With μ the means of a factorised q(h | x) and (x⁻, h⁻) the state of chains that go on from step
    to step, the update descends

        ∇ [mean E(x, μ) − mean E(x⁻, h⁻)] + weight_decay · W + sparsity

    with μ and the chains held fixed: stochastic ascent of the bound on log p(x). Of h⁻ the odd
    layers are means given the even ones, which has the same expectation and less noise. Grey pixels
    are drawn afresh each time. Where a machine stands above other layers, x are the units that
    these draw for it, and they themselves stay as they are.

    Sparsity moves the total input of each unit of layer l by −`sparsity_cost` (m − target), with m
    a running mean of μ, as in the authors' code.

    Args:
        iterations: of mean field, at most.
        tolerance: stop them once units move by less than this on average; 0 never looks.
        damping: of parallel updates; None updates odd and even layers in turn.
        chains: their number.
        sweeps: of each chain, per step.
        weight_decay: coefficient of ½‖W‖².
        sparsity: target mean of each hidden layer.
        sparsity_cost: strength.
        sparsity_damping: what share of the running mean stays at each step.
    """

    chains: Tensor
    activity: Tensor

    def __init__(
        self,
        iterations: Annotated[int, Field(ge=1)] = 10,
        tolerance: Annotated[float, Field(ge=0)] = 0.0,
        damping: Annotated[float, Field(ge=0, lt=1)] | None = None,
        chains: Annotated[int, Field(ge=1)] = 100,
        sweeps: Annotated[int, Field(ge=1)] = 5,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        sparsity: list[Share] | None = None,
        sparsity_cost: Annotated[float, Field(ge=0)] = 1e-3,
        sparsity_damping: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    ) -> None:
        super().__init__()
        self.iterations, self.tolerance, self.damping = iterations, tolerance, damping
        self.n_chains, self.sweeps, self.weight_decay = chains, sweeps, weight_decay
        self.sparsity, self.cost, self.sparsity_damping = sparsity, sparsity_cost, sparsity_damping
        self.register_buffer("chains", torch.zeros(0))
        self.register_buffer("activity", torch.zeros(0))

    @classmethod
    def tiny(cls) -> MeanFieldPCD:
        """Return a few chains, with weight decay and, for two layers, sparsity targets."""
        return cls(chains=20, weight_decay=0.01, sparsity=[0.2, 0.1], sparsity_cost=0.1)

    def check(self, model: BoltzmannStack) -> None:
        """Refuse sparsity targets that are not one for each hidden layer.

        Raises:
            ValueError: there are more or fewer.
        """
        layers = model.machine().layers
        if self.sparsity is not None and len(self.sparsity) != len(layers):
            raise ValueError(
                f"sparsity needs one target for each of the {len(layers)} hidden layers; "
                f"found {self.sparsity}"
            )

    def begin(self, model: BoltzmannStack, train: TrainSplit) -> None:
        """Start the chains at random training points, the other even layers at zero.

        They must not start from the model: a resumed run begins before it has its parameters back.
        So where x is what other layers make of the points, chains start at fair coins instead.
        """
        self.check(model)
        machine = model.machine()
        index = torch.randint(len(train), (self.n_chains,), device=train.values.device)
        x = train.batch(index)
        if machine is not model:
            x = x.new_full((len(x), machine.visible), 0.5)
        x = x.bernoulli()
        self.chains = torch.cat([x, x.new_zeros(len(x), sum(machine.layers[1::2]))], 1)
        if self.sparsity is not None:
            targets = zip(self.sparsity, machine.layers, strict=True)
            self.activity = torch.cat([torch.full((n,), t) for t, n in targets]).to(x)

    def forward(self, model: BoltzmannStack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return mean E(x, μ) − mean E(x⁻, h⁻) + ½ weight_decay ‖W‖² + the sparsity term."""
        machine = model.machine()
        positive, negative = self._phases(model, x)
        difference = machine.energy(positive).mean() - machine.energy(negative).mean()
        return difference + self._penalty(machine, positive)

    def backward(self, model: BoltzmannStack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the same gradient by the model's own `contrast`."""
        machine = model.machine()
        positive, negative = self._phases(model, x)
        loss = machine.contrast(positive, negative)
        if self.weight_decay or self.sparsity:
            penalty = self._penalty(machine, positive)
            penalty.backward()  # type: ignore[no-untyped-call]
            loss = loss + penalty.detach()
        return loss

    def _phases(self, model: BoltzmannStack, x: Tensor) -> tuple[Latents, Latents]:
        if len(self.chains) == 0:
            raise ValueError("MeanFieldPCD: no persistent chains yet; call begin first")
        machine, x = model.machine(), model.units(x)
        means = machine.mean_field(x, self.iterations, self.tolerance, self.damping)
        self.chains = machine.gibbs(self.chains, self.sweeps)
        return [x, *means], machine.complete(self.chains)

    def _penalty(self, model: DeepBoltzmannMachine, positive: Latents) -> Tensor:
        total = torch.zeros((), device=self.chains.device)
        if self.weight_decay:
            total = total + 0.5 * self.weight_decay * model.couplings().weight.square().sum()
        if self.sparsity is not None:
            means = [h.mean(0, keepdim=True) for h in positive]  # inputs are linear in the layers
            self.activity = self.activity.lerp(
                torch.cat(means[1:], 1)[0], 1 - self.sparsity_damping
            )
            excess = zip(self.activity.split(model.layers), self.sparsity, strict=True)
            for (active, target), logits in zip(excess, model.inputs(means), strict=True):
                total = total + self.cost * (logits[0] @ (active - target))
        return total
