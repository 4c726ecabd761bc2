"""Joint training of a deep Boltzmann machine: mean field for the data, chains for the model."""

# Dims: B points, N chains, D observed units, E units of the even layers.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import BoltzmannStack, DeepBoltzmannMachine, Latents, Rule, TrainSplit

Share = Annotated[float, Field(gt=0, lt=1)]


class MeanFieldPCD(Rule[BoltzmannStack]):
    """Variational learning with persistent chains (Salakhutdinov & Hinton, 2009, algorithm 1).

    With μ the means of a factorised q(h | x) and (x⁻, h⁻) the state of persistent chains, the
    update descends

        ∇ [mean E(x, μ) − mean E(x⁻, h⁻)] + weight_decay · W + sparsity

    with μ and the chains held fixed: stochastic ascent of the bound on log p(x). The odd layers of
    h⁻ are means given the even ones, which has the same expectation and less noise. Grey pixels are
    drawn anew each time. For a machine on top of other layers, x are the units that these layers
    draw for it; the layers themselves stay fixed.

    Sparsity moves the total input of each unit of layer l by −e, e = `sparsity_cost` (m − target)
    with m a running mean of μ, as in the authors' code.

    Args:
        iterations: largest number of mean-field iterations.
        tolerance: end mean field once units move by less than this on average; 0 skips this test.
        damping: of parallel updates; None updates odd and even layers in turn.
        chains: number of chains.
        sweeps: sweeps of each chain per step.
        weight_decay: coefficient of ½‖W‖².
        sparsity: target mean of each hidden layer.
        sparsity_cost: strength of the sparsity term.
        sparsity_damping: share of the running mean that is kept at each step.
        precision: of mean field and chains. bfloat16 rounds means, log odds and the weights that
            multiply them to 8 significant bits, and probabilities of binary units to multiples of
            1/65536. Parameters and gradients stay in float32. It is meant for processors that
            multiply bfloat16 faster.
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
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__()
        self.iterations, self.tolerance, self.damping = iterations, tolerance, damping
        self.n_chains, self.sweeps, self.weight_decay = chains, sweeps, weight_decay
        self.sparsity, self.cost, self.sparsity_damping = sparsity, sparsity_cost, sparsity_damping
        self.precision = precision
        self.register_buffer("chains", torch.zeros(0))
        self.register_buffer("activity", torch.zeros(0))

    @classmethod
    def tiny(cls) -> MeanFieldPCD:
        """Return a few chains, with weight decay and, for two layers, sparsity targets."""
        return cls(chains=20, weight_decay=0.01, sparsity=[0.2, 0.1], sparsity_cost=0.1)

    def check(self, model: BoltzmannStack) -> None:
        """Check that there is one sparsity target for each hidden layer.

        Raises:
            ValueError: there are more or fewer targets.
        """
        layers = model.machine().layers
        if self.sparsity is not None and len(self.sparsity) != len(layers):
            raise ValueError(
                f"sparsity needs one target for each of the {len(layers)} hidden layers; "
                f"found {self.sparsity}"
            )

    def begin(self, model: BoltzmannStack, train: TrainSplit) -> None:
        """Start the chains at random training points, with the other even layers at zero.

        They must not depend on the model, because a resumed run calls this before it restores its
        parameters. So if other layers compute x from the points, chains start at fair coins.
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
        loss = machine.energy(positive).mean() - machine.energy(negative).mean()
        for weight in _weights(machine):
            loss = loss + 0.5 * self.weight_decay * weight.square().sum()
        if self.sparsity is not None:
            less, more = self._excess(machine, positive)
            loss = loss + machine.energy(less).mean() - machine.energy(more).mean()
        return loss

    @torch.no_grad()
    def backward(self, model: BoltzmannStack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the same gradient by the model's own `contrast`."""
        machine = model.machine()
        positive, negative = self._phases(model, x)
        loss = machine.contrast(positive, negative)
        if self.weight_decay:
            for weight in _weights(machine):
                assert weight.grad is not None
                weight.grad.add_(weight, alpha=self.weight_decay)
                loss = loss + 0.5 * self.weight_decay * torch.linalg.vector_norm(weight) ** 2
        if self.sparsity is not None:
            loss = loss + machine.contrast(*self._excess(machine, positive))
        return loss

    @torch.no_grad()
    def _phases(self, model: BoltzmannStack, x: Tensor) -> tuple[Latents, Latents]:
        if len(self.chains) == 0:
            raise ValueError("MeanFieldPCD: no persistent chains yet; call begin first")
        machine, x, chains = model.machine(), model.units(x), self.chains
        kept = x.dtype
        if self.precision == "bfloat16":
            x, chains = x.bfloat16(), chains.bfloat16()
        means = machine.mean_field(x, self.iterations, self.tolerance, self.damping)
        chains = machine.gibbs(chains, self.sweeps)
        self.chains = chains.to(kept)
        positive, negative = [x, *means], machine.complete(chains)
        return [h.to(kept) for h in positive], [h.to(kept) for h in negative]

    @torch.no_grad()
    def _excess(self, machine: DeepBoltzmannMachine, positive: Latents) -> tuple[Latents, Latents]:
        """Return two states whose energy difference, e · inputs, has the sparsity gradient.

        With m the mean states and e their excess, e_0 = 0, E(m − ½e) − E(m + ½e) is
        Σ_l e_l · (m_{l−1} W_l + m_{l+1} W_{l+1}ᵀ + b_l), since E is linear in each layer.
        """
        assert self.sparsity is not None
        means = [h.mean(0, keepdim=True) for h in positive]
        self.activity = self.activity.lerp(torch.cat(means[1:], 1)[0], 1 - self.sparsity_damping)
        active = zip(self.activity.split(machine.layers), self.sparsity, strict=True)
        half = [0.5 * self.cost * (m - target) for m, target in active]
        x, *hidden = means
        less = [m - e for m, e in zip(hidden, half, strict=True)]
        more = [m + e for m, e in zip(hidden, half, strict=True)]
        return [x, *less], [x, *more]


def _weights(machine: DeepBoltzmannMachine) -> list[Tensor]:
    return [machine.pair(layer + 1).couplings().weight for layer in range(len(machine.layers))]
