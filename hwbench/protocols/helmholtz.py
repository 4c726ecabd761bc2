"""Helmholtz machines: a generative and a recognition network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from hwbench.protocols.boltzmann import Stack
from hwbench.protocols.models import GenerativeModel, Latents


class Inferred(NamedTuple):
    """Latents drawn from q(h | x).

    Attributes:
        h: the latents, each [K, B, units].
        log_q: [K, B], which carries gradients to φ.
    """

    h: Latents
    log_q: Tensor


class BeliefNetwork(Stack, GenerativeModel):
    """Directed binary layers below an RBM: a deep belief network (Hinton, Osindero & Teh, 2006).

        p(x, h) = p(h_{L−1}, h_L) Π_{l<L} p(h_{l−1} | h_l),   q(h | x) = Π_{l<L} q(h_l | h_{l−1})

    `pair(L)` is the RBM, with h_L summed out. So the latents are h_1, …, h_{L−1}; for L = 1 there
    are none.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data, kept by `adapt`.
    """

    data_means: Tensor

    @abstractmethod
    def infer(self, x: Float[Tensor, "b d"], k: int) -> Inferred:
        """Draw k samples h ~ q(h | x) per point with their log q, detached."""

    @abstractmethod
    def log_q(self, h: Latents, x: Float[Tensor, "b d"]) -> Float[Tensor, "k b"]:
        """Return log q(h | x) at given latents, each [K, B, units]."""

    @abstractmethod
    def log_directed(self, x: Float[Tensor, "b d"], h: Latents) -> Float[Tensor, "k b"]:
        """Return Σ_{l<L} log p(h_{l−1} | h_l), without the RBM."""

    @abstractmethod
    def descend(self, top: Float[Tensor, "n h"]) -> tuple[Float[Tensor, "n d"], Latents]:
        """Draw the layers below states of h_{L−1}; return x and h_1, …, h_{L−1}, [N, units]."""

    def log_joint(self, x: Float[Tensor, "b d"], h: Latents) -> Float[Tensor, "k b"]:
        """Return log p(x, h) + log Z, with Z of the RBM.

        So E_q[log_joint − log q] ≤ log p(x) + log Z (Salakhutdinov & Murray, 2008, section 4).
        """
        top = h[-1] if h else x[None]
        free = self.pair(len(self.layers)).free_energy(top.flatten(0, 1))
        return self.log_directed(x, h) - free.view(top.shape[:2])


class HelmholtzMachine(GenerativeModel):
    """A generative model p(x, h) with a recognition model q(h | x).

    Parameters under `generative` (θ) and `recognition` (φ) form the optimizer's two groups.
    """

    generative: nn.Module
    recognition: nn.Module

    @abstractmethod
    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples h ~ q(h | x) per point with their log q.

        Samples are detached unless `pathwise`, where they carry reparameterised gradients to φ.
        """

    @abstractmethod
    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, h); x [B, D] or [K, B, D] is broadcast against latents [K, B, units]."""

    @abstractmethod
    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(h | x) at given latents."""

    @abstractmethod
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples (x, h) ~ p, detached."""


class Gaussian(ABC):
    """N(mean, R Rᵀ) over the last dimension."""

    mean: Tensor

    @abstractmethod
    def root(self, noise: Float[Tensor, "*s z"]) -> Float[Tensor, "*t z"]:
        """Return R ε, so that mean + R ε has this distribution where ε ~ N(0, I)."""

    @abstractmethod
    def variance(self) -> Float[Tensor, "*s z"]:
        """Return the diagonal of R Rᵀ."""

    @abstractmethod
    def log_prob(self, h: Float[Tensor, "*s z"]) -> Float[Tensor, "*t"]:
        """Return the log density, in nats."""

    @abstractmethod
    def entropy(self) -> Float[Tensor, "*t"]:
        """Return the differential entropy, in nats."""


class GaussianHelmholtzMachine(HelmholtzMachine):
    """A Helmholtz machine whose recognition layers are Gaussian given their inputs.

    Attributes:
        layers: units of each latent layer, the one next to the data first.
    """

    layers: list[int]

    @abstractmethod
    def conditional(self, layer: int, x: Float[Tensor, "*b d"], h: Latents) -> Gaussian:
        """Return q(h_layer | x, h[:layer]); layers count from 0, and further layers are ignored."""

    @abstractmethod
    def curvature(self, x: Float[Tensor, "b d"], h: Latents, gradient: Latents) -> Latents:
        """Return ∂²/∂h_l² of the cost below each unit, with the recognition path approximated.

        The cost is −log p(x, h) with the layers above drawn from q along fixed noise, and
        `gradient` its total derivatives by h. Second derivatives pass through recognition layers
        unit by unit (Becker & LeCun, 1989): mixed ones are left out, so this is exact for the top
        layer only.
        """
