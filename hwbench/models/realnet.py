"""Stacks on a Gaussian-binary RBM, for real-valued data, and the nets that they become."""

# Dims: B points, D observed units, H units of a layer, C classes, F inputs of the net.

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, TypeVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.models.dbn import DBN
from hwbench.models.finetuned import FineTunedDBM
from hwbench.models.gaussian import GaussianRBM
from hwbench.models.net import SigmoidNet, needs_classes
from hwbench.models.stack import BinaryStack
from hwbench.protocols import (
    DeepBoltzmannMachine,
    EnergyModel,
    Network,
    RealStack,
    Stack,
    TrainSplit,
    labelled_part,
    labels_of,
)

Count = Annotated[int, Field(ge=1)]
T = TypeVar("T", bound="OnGaussianRBM")


class OnGaussianRBM(Stack, Network):
    """A stack of binary layers whose observed units are the hidden units of a Gaussian RBM.

    The RBM is learned first, from the points. Then it stays fixed while the other layers learn from
    its hidden units, which are drawn anew each time.

    Attributes:
        gaussian: the RBM between x and h_1.
        upper: the stack above, whose h_0 is h_1.
    """

    pretrained = True
    upper: BinaryStack
    least = 2

    def __init__(self, visible: int, classes: int, layers: list[int], init: float = 0.01) -> None:
        super().__init__()
        name = type(self).__name__
        needs_classes(name, classes)
        if len(layers) < self.least:
            raise ValueError(
                f"{name}: needs {self.least} or more hidden layers, of which the Gaussian RBM has "
                f"the first; found layers = {layers}"
            )
        self.visible, self.classes, self.layers = visible, classes, layers
        self.gaussian = GaussianRBM(visible, layers[0], init)

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return three visible units, hidden layers of four, three and two, and three classes."""
        return cls(visible=3, classes=3, layers=[4, 3, 2])

    def adapt(self, train: TrainSplit) -> None:
        """Check the labels, and start the visible biases at the means of the data.

        Raises:
            ValueError: labels, which only fine-tuning needs, do not match.
        """
        labels_of(labelled_part(train), self.classes)
        self.gaussian.adapt(train)

    @torch.no_grad()
    def activities(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b h"]:
        """Return the means of h_1, detached."""
        return self.gaussian.hidden_logits(x).sigmoid_()

    def pair(self, layer: int) -> EnergyModel:
        """Return the Gaussian RBM for layer 1, and an RBM of the stack above for the others.

        Raises:
            ValueError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ValueError(
                f"{type(self).__name__}.pair: expected a layer from 1 to {len(self.layers)}; "
                f"{layer=}"
            )
        return self.gaussian if layer == 1 else self.upper.pair(layer - 1)

    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of h_layer, computed layer by layer from means; x for layer 0."""
        return x if layer == 0 else self.upper.ascend(self.activities(x), layer - 1)

    def below(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return x itself for layer 1, and draws of the stack above for the others."""
        return x if layer == 1 else self.upper.below(self.activities(x), layer - 1)

    @abstractmethod
    def start(self) -> None:
        """Copy the learned layers into the net, below a small random softmax layer."""


class RealFineTunedDBM(OnGaussianRBM, RealStack):
    """A deep Boltzmann machine on the hidden units of a Gaussian RBM, and the net that it becomes.

    Salakhutdinov & Hinton (2009), section 4.2. The net is that of `finetuned.FineTunedDBM`. Its
    observed units are the means of the RBM's hidden units; the RBM itself stays fixed.

    Args:
        layers: hidden units of the Gaussian RBM, then of the machine's two or more layers.
        init: standard deviation of the initial weights.
        iterations: largest number of mean-field iterations.
    """

    least = 3
    upper: FineTunedDBM

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        classes: int,
        layers: list[Count],
        init: Annotated[float, Field(ge=0)] = 0.01,
        iterations: Count = 50,
    ) -> None:
        super().__init__(visible, classes, layers, init)
        self.upper = FineTunedDBM(layers[0], classes, layers[1:], init, iterations=iterations)

    @property
    def net(self) -> SigmoidNet:  # type: ignore[override]
        """Return the machine's net."""
        return self.upper.net

    def machine(self) -> DeepBoltzmannMachine:
        """Return the machine above the RBM."""
        return self.upper

    def units(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b h"]:
        """Draw h_1 given x."""
        return self.activities(x).bernoulli()

    @torch.no_grad()
    def descend(self, units: Float[Tensor, "n h"]) -> Float[Tensor, "n d"]:
        """Return the means of x given h_1."""
        return self.gaussian.visible_means(units)

    def prepare(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b f"]:
        """Return the means of h_1, followed by the mean-field means of h_3, …, h_L."""
        return self.upper.prepare(self.activities(x))

    def start(self) -> None:
        """Copy the machine's parameters into the net, below a small random softmax layer."""
        self.upper.start()


class RealFineTunedDBN(OnGaussianRBM):
    """A deep belief network with a Gaussian RBM at its bottom, and the net that it becomes.

    The net starts as the upward pass, layer by layer, below a softmax layer. All of it is
    fine-tuned, including a copy of the RBM's weights (Hinton & Salakhutdinov, 2006).

    Args:
        layers: units of the hidden layers, the Gaussian RBM's first; two or more.
        init: standard deviation of the initial weights.
    """

    upper: DBN
    net: SigmoidNet

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        classes: int,
        layers: list[Count],
        init: Annotated[float, Field(ge=0)] = 0.01,
    ) -> None:
        super().__init__(visible, classes, layers, init)
        self.upper = DBN(layers[0], layers[1:], init)
        self.net = SigmoidNet(visible, layers, classes)

    def start(self) -> None:
        """Copy the upward weights and biases into the net, below a small random softmax layer."""
        own = self.gaussian
        first = (own.weight / own.spread, own.hidden_bias)
        above = zip(self.upper.weights, self.upper.upward, strict=True)
        self.net.start([first, *above])
