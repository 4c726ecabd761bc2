"""Deep Boltzmann machine with binary units."""

# Dims: B points, N chains, D observed units, E units of the even layers, O of the odd ones.

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.protocols import Couplings, DeepBoltzmannMachine, EnergyModel, Latents, TrainSplit

Count = Annotated[int, Field(ge=1)]


class DBM(DeepBoltzmannMachine):
    """p(x, h) ∝ exp(Σ_l b_l·h_l + Σ_l h_{l−1} W_l h_l), x = h_0 (Salakhutdinov & Hinton, 2009).

    A hidden layer between two others has two biases: one of the RBM below it and one of the RBM
    above (`downward`), which pretraining learns in turn; in the machine they add up. Joint training
    moves the former only.

    Args:
        layers: units of the hidden layers, two or more, the one next to the data first.
        init: standard deviation of the initial weights.
        visible_bias: start b_0 at the log odds of the training pixels, or at zero.
    """

    data_means: Tensor

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        layers: list[Count],
        init: Annotated[float, Field(ge=0)] = 0.01,
        visible_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__()
        if len(layers) < 2 or min(layers) < 1:
            raise ValueError(
                "DBM: a deep Boltzmann machine has two or more hidden layers of one or more units; "
                f"found layers = {layers}; with one hidden layer it is an RBM, rbm.RBM"
            )
        self.visible, self.layers, self.start_at = visible, layers, visible_bias
        sizes = [visible, *layers]
        self.weights = nn.ParameterList(init * torch.randn(a, b) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n) for n in sizes)
        self.downward = nn.ParameterList(torch.zeros(n) for n in layers[:-1])
        self.register_buffer("data_means", torch.full((visible,), 0.5))

    @classmethod
    def tiny(cls) -> DBM:
        """Return four visible units and two hidden layers of three and two."""
        return cls(visible=4, layers=[3, 2])

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Keep the pixel means and start the visible biases from them.

        Raises:
            ValueError: a pixel is not between 0 and 1.
        """
        check_pixels("DBM", train)
        self.data_means.copy_(train.means())
        if self.start_at == "data":
            self.biases[0].copy_(self.data_means.clamp(0.01, 0.99).logit())

    # --- the whole machine ---

    def _totals(self) -> list[Tensor]:
        """Return b_0, …, b_L, where layers between two others have the biases of both sides."""
        first, *between, last = self.biases
        added = [b + d.detach() for b, d in zip(between, self.downward, strict=True)]
        return [first, *added, last]

    def couplings(self) -> Couplings:
        """Return W [E, O] in blocks, zero between layers that are no neighbours, and the biases."""
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
        biases = self._totals()
        return [self._input(layer, states, biases) for layer in range(1, len(states))]

    def _input(self, layer: int, states: Latents, biases: list[Tensor]) -> Tensor:
        logits = biases[layer]
        if layer > 0:
            logits = torch.addmm(logits, states[layer - 1], self.weights[layer - 1])
        if layer < len(self.layers):
            logits = torch.addmm(logits, states[layer + 1], self.weights[layer].t())
        return logits

    @torch.no_grad()
    def contrast(self, positive: Latents, negative: Latents) -> Float[Tensor, ""]:
        """Add the gradient of mean E(positive) − mean E(negative) to `.grad`; return it, detached.

        ∇_{W_l} E = −h_{l−1} h_lᵀ, one matrix product for both; and E is linear in its parameters.
        """
        both = [torch.cat(layers) for layers in zip(positive, negative, strict=True)]
        sign = both[0].new_full((len(both[0]), 1), 1 / len(negative[0]))
        sign[: len(positive[0])] = -1 / len(positive[0])
        signed = [h * sign for h in both]
        value = sign.new_zeros(())
        for weight, below, above in zip(self.weights, both[:-1], signed[1:], strict=True):
            gradient = below.t() @ above
            value += (weight * gradient).sum()
            _add_grad(weight, gradient)
        for own, total, h in zip(self.biases, self._totals(), signed, strict=True):
            gradient = h.sum(0)
            value += total @ gradient
            _add_grad(own, gradient)
        return value

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

        The start is one pass upwards, in which a layer with one above it has its input from below
        doubled, to stand for both.

        Raises:
            ValueError: there is no iteration, or a damping outside [0, 1).
        """
        if iterations < 1 or not 0 <= (damping or 0.0) < 1:
            raise ValueError(
                "DBM.mean_field: expected iterations ≥ 1 and a damping in [0, 1) or none; found "
                f"{iterations=}, {damping=}"
            )
        biases, top = self._totals(), len(self.layers)
        from_x = x @ self.weights[0]
        states = [x]
        for layer in range(1, top + 1):
            below = from_x if layer == 1 else states[-1] @ self.weights[layer - 1]
            doubled = 2 if layer < top else 1
            states.append(torch.add(biases[layer], below, alpha=doubled).sigmoid_())
        from_x += biases[1]

        def updated(layer: int) -> Tensor:
            if layer == 1:  # x does not change
                return torch.addmm(from_x, states[2], self.weights[1].t()).sigmoid_()
            return self._input(layer, states, biases).sigmoid_()

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
        """Return E_q[−E(x, h)] + H(q): −E at the means, since E is linear in each layer, and H."""
        entropy = torch.stack(
            [(torch.special.entr(m) + torch.special.entr(1 - m)).sum(1) for m in means]
        )
        return entropy.sum(0) - self.energy([x, *means])

    # --- chains ---

    def _split(self, even: Tensor) -> Latents:
        """Return the layers of a state, with nothing yet for the odd ones."""
        sizes = [self.visible, *self.layers]
        states = [even.new_empty(0)] * len(sizes)
        states[::2] = even.split(sizes[::2], dim=1)
        return states

    @torch.no_grad()
    def gibbs(self, even: Float[Tensor, "n e"], k: int) -> Float[Tensor, "n e"]:
        """Return the even layers after k sweeps, detached."""
        if k < 0:
            raise ValueError(f"DBM.gibbs: expected k ≥ 0 sweeps, found {k}")
        states, biases = self._split(even), self._totals()
        for _ in range(k):
            for first in (1, 0):  # odd layers, then even ones
                for layer in range(first, len(states), 2):
                    states[layer] = _draw(self._input(layer, states, biases))
        return torch.cat(states[::2], 1)

    @torch.no_grad()
    def complete(self, even: Float[Tensor, "n e"]) -> Latents:
        """Return all layers, the odd ones at their means given the even ones, detached."""
        states, biases = self._split(even), self._totals()
        for layer in range(1, len(states), 2):
            states[layer] = self._input(layer, states, biases).sigmoid_()
        return states

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 1000) -> Float[Tensor, "n d"]:
        """Return visible means after `sweeps` Gibbs sweeps from Bernoulli(data means)."""
        x = self.data_means.expand(n, -1).bernoulli()
        others = x.new_zeros(n, sum(self.layers[1::2]))
        states = self.complete(self.gibbs(torch.cat([x, others], 1), sweeps))
        states[1] = states[1].bernoulli()
        return self._input(0, states, self._totals()).sigmoid_()

    # --- greedy pretraining ---

    def pair(self, layer: int) -> _Pair:
        """Return the RBM between h_{layer−1} and h_layer as pretraining sees it.

        A layer between two others lacks one neighbour, and its input is doubled to stand for it:
        σ(2 (h_{l−1} W_l + b_l)) upwards unless l = L, σ(2 (h_l W_lᵀ + b)) downwards unless l = 1.
        So each gives half of what the layer gets in the whole machine. The first and the last RBM
        thus have one doubled direction each; those between have both, which is a plain RBM whose
        own weights are twice the composed ones (and halved when composed, as usually told).

        Raises:
            ValueError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ValueError(f"DBM.pair: expected a layer from 1 to {len(self.layers)}; {layer=}")
        return _Pair(
            Couplings(
                self.weights[layer - 1],
                self.biases[0] if layer == 1 else self.downward[layer - 2],
                self.biases[layer],
            ),
            self.data_means,
            scale_up=2.0 if layer < len(self.layers) else 1.0,
            scale_down=2.0 if layer > 1 else 1.0,
        )

    @torch.no_grad()
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of h_layer, each layer's from the means below it; x for layer 0."""
        for below in range(1, layer + 1):
            x = self.pair(below).up(x).sigmoid_()
        return x


class _Pair(EnergyModel):
    """The RBM of one step of pretraining, with conditionals that do not belong to one energy.

    Its free energy −b·x − Σ_j softplus(s (c_j + x·W_j)) / s, s = `scale_up`, has the usual gradient
    −x σ(s (c + x W))ᵀ: for s = 2, that of an RBM that sees x twice, with tied weights.
    """

    def __init__(
        self,
        couplings: Couplings,
        data_means: Tensor,
        scale_up: float = 1.0,
        scale_down: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight, self.visible_bias, self.hidden_bias = couplings
        self.scale_up, self.scale_down, self.data_means = scale_up, scale_down, data_means
        self.visible = len(self.visible_bias)

    @classmethod
    def tiny(cls) -> _Pair:
        """Return the lower pair of a tiny DBM."""
        pair = DBM.tiny().pair(1)
        assert isinstance(pair, cls)
        return pair

    def couplings(self) -> Couplings:
        """Return W, b and c, before any doubling."""
        return Couplings(self.weight, self.visible_bias, self.hidden_bias)

    def up(self, x: Tensor) -> Tensor:
        """Return the log odds of the units above."""
        return self.scale_up * torch.addmm(self.hidden_bias, x, self.weight)

    def down(self, h: Tensor) -> Tensor:
        """Return the log odds of the units below."""
        return self.scale_down * torch.addmm(self.visible_bias, h, self.weight.t())

    def free_energy(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return what has the gradient of contrastive divergence."""
        return -(x @ self.visible_bias) - F.softplus(self.up(x)).sum(1) / self.scale_up

    @torch.no_grad()
    def gibbs(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b d"]:
        """Return the units below after k sweeps, up and down, detached."""
        for _ in range(k):
            x = _draw(self.down(_draw(self.up(x))))
        return x

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return means of the units below after 1000 sweeps from fair coins."""
        start = self.weight.new_full((n, self.visible), 0.5).bernoulli()
        return self.down(_draw(self.up(self.gibbs(start, 1000)))).sigmoid_()


def check_pixels(name: str, train: TrainSplit) -> None:
    """Refuse points that are no means of binary units.

    Raises:
        ValueError: a pixel is not between 0 and 1.
    """
    low, high = (float(v) / train.scale for v in train.values.aminmax())
    if low < 0 or high > 1:
        raise ValueError(
            f"{name}: its visible units are binary, so pixels lie between 0 and 1; found "
            f"{low:g} to {high:g}; scale the images, or put a Gaussian layer first"
        )


def _draw(logits: Tensor) -> Tensor:
    """Return Bernoulli(σ(logits)) draws; overwrites the logits."""
    u = torch.rand_like(logits)
    return torch.lt(u, logits.sigmoid_(), out=u)  # u < p: a third of the time of torch.bernoulli


def _add_grad(parameter: Tensor, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
