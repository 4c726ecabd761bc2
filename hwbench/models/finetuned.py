"""Machines pretrained without labels, and the nets that they become."""

# Dims: B points, D observed units, F inputs of the net.

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal, TypeVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.models.dbm import DBM
from hwbench.models.dbn import DBN
from hwbench.models.net import SigmoidNet, needs_classes
from hwbench.models.stack import BinaryStack
from hwbench.protocols import Network, TrainSplit, labelled_part, labels_of

Count = Annotated[int, Field(ge=1)]
T = TypeVar("T", bound="FineTuned")


class FineTuned(BinaryStack, Network):
    """A stack that is pretrained without labels, and the net that it becomes.

    Args:
        layers: units of the hidden layers.
        init: as for `stack.BinaryStack`.
        visible_bias: as for `stack.BinaryStack`.
    """

    pretrained = True
    net: SigmoidNet

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        classes: int,
        layers: list[Count],
        init: Annotated[float, Field(ge=0)] = 0.01,
        visible_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__(visible, layers, init, visible_bias)
        needs_classes(type(self).__name__, classes)
        self.classes = classes
        self.net = SigmoidNet(visible, layers, classes, self.beside())

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return four visible units, hidden layers of three and two, and three classes."""
        return cls(visible=4, classes=3, layers=[3, 2])

    def adapt(self, train: TrainSplit) -> None:
        """Check the labels, which only fine-tuning needs, and then adapt the stack.

        Raises:
            ValueError: a pixel is not between 0 and 1, or labels do not match.
        """
        labels_of(labelled_part(train), self.classes)
        super().adapt(train)

    def beside(self) -> list[int]:
        """Return the number of additional inputs of each hidden layer of the net; 0 by default."""
        return [0] * len(self.layers)

    @abstractmethod
    def inputs_of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return the initial weight [in, out] and bias of h_layer of the net."""

    def start(self) -> None:
        """Copy the stack's weights and biases into the net, below a small random softmax layer."""
        self.net.start(self.inputs_of(number + 1) for number in range(len(self.layers)))


class FineTunedDBM(FineTuned, DBM):
    """A deep Boltzmann machine and the net that it becomes (Salakhutdinov & Hinton, 2009).

    Mean field computes q(h | x) once, at the generative parameters. The net is

        h_1 = σ(x W_1 + q(h_2 | x) A_1 + b_1),   …,   h_L = σ(h_{L−1} W_L + b_L),   softmax

    It starts at A_l = W_{l+1}ᵀ and then has separate parameters. Apart from the softmax layer, it
    starts as one more sweep of mean field.

    Args:
        layers: units of the hidden layers.
        init: as for `dbm.DBM`.
        visible_bias: as for `dbm.DBM`.
        iterations: largest number of mean-field iterations.
    """

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        classes: int,
        layers: list[Count],
        init: Annotated[float, Field(ge=0)] = 0.01,
        visible_bias: Literal["data", "zero"] = "data",
        iterations: Count = 50,
    ) -> None:
        super().__init__(visible, classes, layers, init, visible_bias)
        self.iterations = iterations

    def beside(self) -> list[int]:
        """Return the size of the layer above each hidden layer."""
        return [*self.layers[1:], 0]

    @torch.no_grad()
    def prepare(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b f"]:
        """Return x followed by q(h_2 | x), …, q(h_L | x)."""
        return torch.cat([x, *self.mean_field(x, self.iterations, 1e-7)[1:]], 1)

    def inputs_of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return W_l stacked on W_{l+1}ᵀ, and the sum of the biases from both sides."""
        above = [w.t() for w in self.weights[layer : layer + 1]]
        return torch.cat([self.weights[layer - 1], *above]), self._totals()[layer]


class FineTunedDBN(FineTuned, DBN):
    """A deep belief network and the net that it becomes (Hinton & Salakhutdinov, 2006).

    The net starts as q(h_l | h_{l−1}), layer by layer, below a softmax layer.
    """

    def inputs_of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return W_l and c_l."""
        return self.weights[layer - 1], self.upward[layer - 1]
