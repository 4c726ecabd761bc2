"""Dreamers: models that give joint samples and the log density of each; no recognition net.

Dims: K samples, B points, N dreams, D observed units, S statistics.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.helmholtz import HelmholtzMachine
from hwbench.protocols.models import Density, GenerativeModel, Latents
from hwbench.protocols.rules import M, Rule


class Dreamer(GenerativeModel):
    """A model p(x, h) that can be sampled and whose log p(x, h) can be differentiated by θ.

    Latents may be anything: discrete, continuous, or angles. Every `HelmholtzMachine` is one.
    """

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:  # a truth value, or NotImplemented
        if cls is not Dreamer:
            return NotImplemented
        return issubclass(other, HelmholtzMachine) or NotImplemented

    @abstractmethod
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples (x, h) ~ p, detached; each latent is [N, units]."""

    @abstractmethod
    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, h), in nats; x [B, D] is broadcast against latents [K, B, units]."""


class ConditionalDreamer(Dreamer):
    """A dreamer whose log p(x | h) is known apart from its prior."""

    @abstractmethod
    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x | h), in nats, broadcast as in `log_joint`."""


class ExponentialDreamer(ConditionalDreamer):
    """A dreamer whose p(x | h) is an exponential family.

    log p(x, h) = η(h)·S(x) − Ψ(h) + log p(h) + a base measure without parameters
    """

    @abstractmethod
    def natural(self, h: Latents) -> Float[Tensor, "n s"]:
        """Return the natural parameters η(h) of latents [N, units], with gradients to θ."""

    @abstractmethod
    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return Ψ(h) − log p(h) of latents [N, units], in nats, with gradients to θ."""

    @abstractmethod
    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b s"]:
        """Return the sufficient statistics S(x)."""


class GaussianDreamer(Dreamer):
    """A dreamer with one layer of latents z ~ N(0, I).

    Attributes:
        latent: number of latents.
    """

    latent: int


class ExactDreamer(Dreamer, Density):
    """A dreamer whose log p(x) is exact, by quadrature or enumeration, and differentiable by θ."""


class LogJointRule(Rule[M]):
    """A rule that ascends an estimate of E_{p(h|x)}[log p(x, h)] of each point.

    Only its gradient is used: by Fisher's identity, the gradient of the expectation, with p(h | x)
    held constant, is ∇_θ log p(x). The value is not a log-likelihood.

    Attributes:
        deterministic: whether an estimate draws no random numbers.
    """

    deterministic: bool = False

    @abstractmethod
    def estimate(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return the estimate of each point, in nats, whose gradient estimates ∇_θ log p(x)."""

    def forward(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return minus the estimate, averaged over the batch."""
        return -self.estimate(model, x).mean()
