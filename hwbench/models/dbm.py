"""Deep Boltzmann machine with binary units."""

# Dims: B points, N chains, D observed units, E units of the even layers, O of the odd ones.

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hwbench.models.stack import BinaryStack, add_grad, bernoulli, draw, signs
from hwbench.protocols import Couplings, DeepBoltzmannMachine, Latents


class DBM(BinaryStack, DeepBoltzmannMachine):
    """p(x, h) ∝ exp(Σ_l b_l·h_l + Σ_l h_{l−1} W_l h_l), x = h_0 (Salakhutdinov & Hinton, 2009).

    A hidden layer between two others has two biases: one from the RBM below it and one from the RBM
    above (`downward`). Pretraining learns them in turn, and in the machine they add up. Joint
    training moves only the former.

    Args:
        layers: units of the hidden layers, two or more, the one next to the data first.
        init: standard deviation of the initial weights.
        visible_bias: start b_0 at the log odds of the training pixels, or at zero.
    """

    def add_biases(self, sizes: list[int]) -> None:
        """Create the biases of all layers, and a second bias for layers between two others.

        Raises:
            ValueError: there are not two or more hidden layers of one or more units.
        """
        if len(sizes) < 3 or min(sizes) < 1:
            raise ValueError(
                "DBM: a deep Boltzmann machine has two or more hidden layers of one or more units; "
                f"found layers = {self.layers}; with one hidden layer it is an RBM, rbm.RBM"
            )
        self.biases = nn.ParameterList(torch.zeros(n) for n in sizes)
        self.downward = nn.ParameterList(torch.zeros(n) for n in sizes[1:-1])

    # --- the whole machine ---

    def _totals(self) -> list[Tensor]:
        """Return b_0, …, b_L; a layer between two others has the sum of its two biases."""
        first, *between, last = self.biases
        added = [b + d.detach() for b, d in zip(between, self.downward, strict=True)]
        return [first, *added, last]

    def couplings(self) -> Couplings:
        """Return W [E, O] in blocks (zero for layers that are not neighbours) and the biases."""
        sizes = [self.visible, *self.layers]
        blocks = [
            [self._block(even, odd, sizes) for odd in range(1, len(sizes), 2)]
            for even in range(0, len(sizes), 2)
        ]
        biases = self._totals()
        return Couplings(
            torch.cat([torch.cat(row, 1) for row in blocks]),
            torch.cat(biases[::2]),
            torch.cat(biases[1::2]),
        )

    def _block(self, even: int, odd: int, sizes: list[int]) -> Tensor:
        if odd == even + 1:
            return self.weights[even]
        if odd == even - 1:
            return self.weights[odd].t()
        return self.data_means.new_zeros(sizes[even], sizes[odd])

    def energy(self, states: Latents) -> Float[Tensor, "b"]:
        """Return E = −Σ_l b_l·h_l − Σ_l h_{l−1} W_l h_l."""
        total = torch.stack([h @ b for h, b in zip(states, self._totals(), strict=True)]).sum(0)
        for (below, above), weight in zip(pairwise(states), self.weights, strict=True):
            total = total + ((below @ weight) * above).sum(-1)
        return -total

    def inputs(self, states: Latents) -> Latents:
        """Return h_{l−1} W_l + h_{l+1} W_{l+1}ᵀ + b_l for l = 1, …, L."""
        weights, biases = list(self.weights), self._totals()
        return [_input(layer, states, weights, biases) for layer in range(1, len(states))]

    @torch.no_grad()
    def contrast(self, positive: Latents, negative: Latents) -> Float[Tensor, ""]:
        """Add the gradient of mean E(positive) − mean E(negative) to `.grad`; return it, detached.

        ∇_{W_l} E = −h_{l−1} h_lᵀ, so one matrix product serves both; E is linear in its parameters.
        """
        both = [torch.cat(layers) for layers in zip(positive, negative, strict=True)]
        sign = signs(len(positive[0]), len(negative[0]), both[0])
        signed = [h * sign[:, None] for h in both]
        value = sign.new_zeros(())
        for weight, below, above in zip(self.weights, both[:-1], signed[1:], strict=True):
            gradient = below.t() @ above
            value += torch.linalg.vecdot(weight.flatten(), gradient.flatten())
            add_grad(weight, gradient)
        for own, total, h in zip(self.biases, self._totals(), signed, strict=True):
            gradient = h.sum(0)
            value += total @ gradient
            add_grad(own, gradient)
        return value

    @torch.no_grad()
    def units(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Draw binary pixels with means x."""
        return bernoulli(x)

    # --- inference ---

    @torch.no_grad()
    def mean_field(
        self,
        x: Float[Tensor, "b d"],
        iterations: int,
        tolerance: float = 0.0,
        damping: float | None = None,
    ) -> Latents:
        """Return μ_1, …, μ_L with μ_l = σ(μ_{l−1} W_l + μ_{l+1} W_{l+1}ᵀ + b_l), if it converged.

        It starts from one pass upwards. In this pass a layer below another has its input from
        below doubled, to replace the missing input from above. Computation and results have the
        precision of x.

        Raises:
            ValueError: `iterations` is below 1, or `damping` is outside [0, 1).
        """
        if iterations < 1 or not 0 <= (damping or 0.0) < 1:
            raise ValueError(
                "DBM.mean_field: expected iterations ≥ 1 and a damping in [0, 1) or none; found "
                f"{iterations=}, {damping=}"
            )
        weights = [w.to(x.dtype) for w in self.weights]
        biases, top = [b.to(x.dtype) for b in self._totals()], len(self.layers)
        from_x = x @ weights[0]
        states = [x]
        for layer in range(1, top + 1):
            below = from_x if layer == 1 else states[-1] @ weights[layer - 1]
            doubled = 2 if layer < top else 1
            states.append(torch.add(biases[layer], below, alpha=doubled).sigmoid_())
        from_x += biases[1]

        def updated(layer: int) -> Tensor:
            if layer == 1:  # x does not change, so its product is reused.
                return torch.addmm(from_x, states[2], weights[1].t()).sigmoid_()
            return _input(layer, states, weights, biases).sigmoid_()

        layers = range(1, top + 1)
        blocks = [layers[0::2], layers[1::2]] if damping is None else [layers]
        for _ in range(iterations):
            old = list(states)
            for block in blocks:
                new = {layer: updated(layer) for layer in block}
                for layer, means in new.items():
                    states[layer] = means if not damping else means.lerp(old[layer], damping)
            if tolerance > 0:
                moved = sum((a - b).abs().sum() for a, b in zip(states[1:], old[1:], strict=True))
                if float(moved) < tolerance * len(x) * sum(self.layers):
                    break
        return states[1:]

    def bound(self, x: Float[Tensor, "b d"], means: Latents) -> Float[Tensor, "b"]:
        """Return E_q[−E(x, h)] + H(q); the first is −E at the means, as E is linear per layer."""
        entropy = torch.stack(
            [(torch.special.entr(m) + torch.special.entr(1 - m)).sum(1) for m in means]
        )
        return entropy.sum(0) - self.energy([x, *means])

    # --- chains ---

    def _split(self, even: Tensor) -> tuple[Latents, list[Tensor], list[Tensor]]:
        """Return the layers of a state, with empty odd ones, and the parameters.

        All have the precision of the state.
        """
        sizes = [self.visible, *self.layers]
        states = [even.new_empty(0)] * len(sizes)
        states[::2] = even.split(sizes[::2], dim=1)
        weights = [w.to(even.dtype) for w in self.weights]
        return states, weights, [b.to(even.dtype) for b in self._totals()]

    @torch.no_grad()
    def gibbs(self, even: Float[Tensor, "n e"], k: int) -> Float[Tensor, "n e"]:
        """Return the even layers after k sweeps, detached; in the precision of `even`."""
        if k < 0:
            raise ValueError(f"DBM.gibbs: expected k ≥ 0 sweeps, found {k}")
        states, weights, biases = self._split(even)
        for _ in range(k):
            for first in (1, 0):  # The odd layers come first, then the even ones.
                for layer in range(first, len(states), 2):
                    states[layer] = draw(_input(layer, states, weights, biases))
        return torch.cat(states[::2], 1)

    @torch.no_grad()
    def complete(self, even: Float[Tensor, "n e"]) -> Latents:
        """Return all layers, the odd ones at their means given the even ones, detached."""
        states, weights, biases = self._split(even)
        for layer in range(1, len(states), 2):
            states[layer] = _input(layer, states, weights, biases).sigmoid_()
        return states

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 1000) -> Float[Tensor, "n d"]:
        """Return visible means after `sweeps` Gibbs sweeps from Bernoulli(data means)."""
        x = self.data_means.expand(n, -1).bernoulli()
        others = x.new_zeros(n, sum(self.layers[1::2]))
        _, h, *_ = self.complete(self.gibbs(torch.cat([x, others], 1), sweeps))
        return torch.addmm(self.biases[0], bernoulli(h), self.weights[0].t()).sigmoid_()

    # --- greedy pretraining ---

    def rbm(self, layer: int) -> tuple[Couplings, float, float]:
        """Return the parameters of the RBM between h_{layer−1} and h_layer, and its two scales.

        A layer between two others lacks one neighbour, so its input is doubled:
        σ(2 (h_{l−1} W_l + b_l)) upwards unless l = L, σ(2 (h_l W_lᵀ + b)) downwards unless l = 1.
        Each RBM thus provides half of the layer's input in the whole machine. The first and the
        last RBM have one doubled direction each. RBMs between them have both: they are plain RBMs
        with twice the composed weights (usually described as halving the weights on composition).
        """
        below = self.biases[0] if layer == 1 else self.downward[layer - 2]
        own = Couplings(self.weights[layer - 1], below, self.biases[layer])
        return own, 2.0 if layer < len(self.layers) else 1.0, 2.0 if layer > 1 else 1.0


def _input(
    layer: int, states: Latents, weights: list[Tensor], biases: list[Tensor]
) -> Float[Tensor, "b h"]:
    """Return the log odds of a layer given its neighbours."""
    logits = biases[layer]
    if layer > 0:
        logits = torch.addmm(logits, states[layer - 1], weights[layer - 1])
    if layer < len(weights):
        logits = torch.addmm(logits, states[layer + 1], weights[layer].t())
    return logits
