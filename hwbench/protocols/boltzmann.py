"""Boltzmann machines, their stacks, and the nets that these turn into."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.models import GenerativeModel, Latents, Model


class Couplings(NamedTuple):
    """Parameters of the energy E(x, h) = −b·x − c·h − x W h.

    Attributes:
        weight: W [D, H].
        visible_bias: b [D].
        hidden_bias: c [H].
    """

    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor


@runtime_checkable
class ScaledPair(Protocol):
    """An RBM of pretraining: hidden units have log odds s (x W + c), or s (x W + M c) for words.

    Attributes:
        scale_up: s, which is 2 for units that lack their other neighbour.
    """

    scale_up: float

    def couplings(self) -> Couplings:
        """Return W, b and c, before any doubling."""


class EnergyModel(GenerativeModel):
    """Binary units on two sides, p(x, h) ∝ exp(−E(x, h)), with an intractable partition function Z.

    Observed units are real in a `RealEnergyModel`.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data, kept by `adapt`.
    """

    data_means: Tensor

    @abstractmethod
    def couplings(self) -> Couplings:
        """Return the parameters of the energy."""

    @abstractmethod
    def free_energy(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return F(x) = −log Σ_h exp(−E(x, h)), so that log p(x) = −F(x) − log Z."""

    @abstractmethod
    def gibbs(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b d"]:
        """Return x after k sweeps of block Gibbs sampling, detached."""

    def contrast(
        self, x: Float[Tensor, "b d"], negative: Float[Tensor, "n d"]
    ) -> Float[Tensor, ""]:
        """Add the gradient of mean F(x) − mean F(negative) to `.grad`; return it, detached."""
        difference = self.free_energy(x).mean() - self.free_energy(negative).mean()
        difference.backward()  # type: ignore[no-untyped-call]
        return difference.detach()


class RealEnergyModel(EnergyModel):
    """Real observed units and binary hidden ones, with a density p(x) ∝ exp(−F(x))."""

    observed: Literal["binary", "real"] = "real"

    def couplings(self) -> Couplings:
        """Raise an error: couplings are for algorithms, like annealing, on binary units only.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{type(self).__name__} has real observed units; what was asked for needs binary ones"
        )


class Stack(Model):
    """Layers x = h_0, h_1, …, h_L that can be learned greedily, one pair of neighbours at a time.

    Attributes:
        layers: units of h_1, …, h_L.
    """

    layers: list[int]

    @abstractmethod
    def pair(self, layer: int) -> EnergyModel:
        """Return the RBM that pretraining learns between h_{layer−1} and h_layer, 1 ≤ layer ≤ L.

        Its parameters are the stack's own, so training it trains the stack.
        """

    @abstractmethod
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of h_layer, from which pretraining learns the next pair, detached.

        For layer 0, return x.
        """

    def below(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Draw h_{layer−1} for points x, from which `pair(layer)` learns, detached.

        Units are binary; grey pixels are drawn, too, anew each time.
        """
        return self.ascend(torch.bernoulli(x), layer - 1).bernoulli()


class Autoencoder(Model):
    """Layers x = h_0, h_1, …, h_L of units from 0 to 1, each of which reconstructs the one below.

    Attributes:
        layers: units of h_1, …, h_L.
    """

    observed: Literal["binary", "real"] = "binary"
    layers: list[int]

    @abstractmethod
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return h_layer, detached; x for layer 0."""

    @abstractmethod
    def reconstruct(self, below: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b d"]:
        """Return the log odds of h_{layer−1} reconstructed from h_layer, 1 ≤ layer ≤ L."""


class BoltzmannStack(Stack):
    """A stack of which all layers, or all but the lowest, are one deep Boltzmann machine."""

    @abstractmethod
    def machine(self) -> DeepBoltzmannMachine:
        """Return the machine, whose parameters are the stack's own."""

    @abstractmethod
    def units(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b u"]:
        """Draw the machine's observed units for points x, anew each time, detached."""


class RealStack(BoltzmannStack):
    """A machine on top of an RBM with real observed units."""

    @abstractmethod
    def descend(self, units: Float[Tensor, "n u"]) -> Float[Tensor, "n d"]:
        """Return the means of points given the machine's observed units, detached."""


class DeepBoltzmannMachine(BoltzmannStack, GenerativeModel):
    """Binary units in layers x = h_0, h_1, …, h_L, each coupled with its neighbours only.

        −E(x, h) = Σ_l b_l·h_l + Σ_l h_{l−1} W_l h_l,   p(x, h) ∝ exp(−E(x, h))

    Given the even layers (x, h_2, …) the odd ones are independent, and vice versa. A state of the
    chain is [N, E], the even layers side by side. All layers are `Latents` that start with x.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data, kept by `adapt`.
    """

    data_means: Tensor

    def machine(self) -> DeepBoltzmannMachine:
        """Return the model itself."""
        return self

    def units(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Draw binary pixels with means x."""
        return torch.bernoulli(x)

    @abstractmethod
    def couplings(self) -> Couplings:
        """Return the parameters as those of an RBM: even layers visible, odd layers hidden."""

    @abstractmethod
    def energy(self, states: Latents) -> Float[Tensor, "b"]:
        """Return E of all layers; units may be anything from 0 to 1 (means of independent ones)."""

    @abstractmethod
    def inputs(self, states: Latents) -> Latents:
        """Return the log odds of h_1, …, h_L, each given its neighbours in `states`."""

    @abstractmethod
    def mean_field(
        self,
        x: Float[Tensor, "b d"],
        iterations: int,
        tolerance: float = 0.0,
        damping: float | None = None,
    ) -> Latents:
        """Return the means μ_1, …, μ_L of a factorised q(h | x), detached.

        Args:
            x: points.
            iterations: at most this many sweeps.
            tolerance: stop once the units move by less than this, on average; 0 skips this test.
            damping: None updates odd and even layers in turn, so that no sweep lowers the bound; a
                number d updates all layers at once, to d times the old plus 1 − d the new means.
        """

    @abstractmethod
    def bound(self, x: Float[Tensor, "b d"], means: Latents) -> Float[Tensor, "b"]:
        """Return E_q[−E(x, h)] + H(q) ≤ log p(x) + log Z, in nats."""

    @abstractmethod
    def gibbs(self, even: Float[Tensor, "n e"], k: int) -> Float[Tensor, "n e"]:
        """Return the even layers after k sweeps (odd given even, even given odd), detached."""

    @abstractmethod
    def complete(self, even: Float[Tensor, "n e"]) -> Latents:
        """Return all layers, the odd ones at their means given the even ones, detached."""

    @abstractmethod
    def contrast(self, positive: Latents, negative: Latents) -> Float[Tensor, ""]:
        """Add the gradient of mean E(positive) − mean E(negative) to `.grad`; return it, detached.

        Each argument has all layers, x first.
        """


class BoltzmannMachine(Model):
    """Binary units on two sides with couplings across: p(v, h) ∝ exp(b·v + c·h + v W h).

    Every `EnergyModel` of binary units is one, and every `DeepBoltzmannMachine`, whose even layers
    are v and whose odd layers are h. The observed units x come first in v.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data.
    """

    data_means: Tensor

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:  # a truth value, or NotImplemented
        if cls is not BoltzmannMachine or issubclass(other, RealEnergyModel):
            return NotImplemented
        return issubclass(other, EnergyModel | DeepBoltzmannMachine) or NotImplemented

    @abstractmethod
    def couplings(self) -> Couplings:
        """Return W, b and c."""
