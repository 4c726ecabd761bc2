"""Models in general, and densities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from hwbench.protocols.data import T, TrainSplit

Latents = list[Tensor]  # h[0] is next to the data, h[-1] the top


class Model(nn.Module, ABC):
    """Anything that is trained.

    Constructor arguments called `visible`, `classes` or `shape` are filled in from the data.

    Attributes:
        visible: number of observed units D.
        observed: `binary` units take 0 and 1 for a likelihood, and values between them for a score;
            `real` ones take any finite number. Runs check the data by it.
    """

    visible: int
    observed: Literal["binary", "real"] = "binary"

    @classmethod
    @abstractmethod
    def tiny(cls: type[T]) -> T:
        """Return a model so small that the law tests can compute its exact answers."""

    def adapt(self, train: TrainSplit) -> None:
        """Set what depends on the training data, such as biases; does nothing by default."""


class GenerativeModel(Model):
    """A model that can be sampled."""

    @abstractmethod
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return n ancestral (or Gibbs) samples, as means of the observed units, for pictures."""


class Density(GenerativeModel):
    """A model whose log p(x) is exact."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x) of each point, in nats."""


class Mixture(Density):
    """A mixture of factorised Bernoullis.

    Attributes:
        weights: [C], the log mixing proportions up to a constant.
        logits: [C, D], of the means of the components.
    """

    weights: Tensor
    logits: Tensor

    @abstractmethod
    def log_joint(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return log p(x, c) of each point and component."""


class SequenceModel(GenerativeModel):
    """A model of sequences that factorises over frames, p(x) = Π_t p(x_t | x_<t).

    Attributes:
        frames: T; a point is T frames, one after the other.
    """

    frames: int

    @abstractmethod
    def frame_log_weights(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "*k b t"]:
        """Return log p(x_t, h_t | x_<t) − log q(h_t | x_≤t) of k samples h_t ~ q for each frame.

        A model without latents returns the exact log p(x_t | x_<t), once.
        """
