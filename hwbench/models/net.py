"""Feed-forward nets that classify: started at random, or from a generative model."""

# Dims: B points, D observed units, C classes, F inputs of the net.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.models.dbm import DBM
from hwbench.models.dbn import DBN
from hwbench.models.stack import BinaryStack
from hwbench.protocols import Network, TrainSplit, labelled_part, labels_of

Count = Annotated[int, Field(ge=1)]
F = TypeVar("F", bound="FineTuned")


class SigmoidNet(nn.Module):
    """Layers of sigmoid units and a softmax on top.

    Each hidden layer may have inputs of its own beside the layer below; they stand side by side
    after the D units that the first one has below it.

    Args:
        visible: D.
        hidden: units of each hidden layer; none makes it a linear classifier.
        classes: C.
        beside: for each hidden layer, how many inputs of its own it has; none by default.
    """

    def __init__(
        self, visible: int, hidden: list[int], classes: int, beside: list[int] | None = None
    ) -> None:
        super().__init__()
        self.visible = visible
        self.beside = [0] * len(hidden) if beside is None else beside
        sizes = [visible, *hidden]
        self.layers = nn.ModuleList(
            nn.Linear(below + own, above)
            for (below, above), own in zip(pairwise(sizes), self.beside, strict=True)
        )
        self.top = nn.Linear(sizes[-1], classes)

    @torch.no_grad()
    def randomise(self, init: float) -> None:
        """Draw all weights from N(0, init² / inputs); biases are zero."""
        for layer in [*self.layers, self.top]:
            assert isinstance(layer, nn.Linear)
            layer.weight.normal_(0, init / layer.in_features**0.5)
            layer.bias.zero_()

    def forward(self, inputs: Float[Tensor, "b f"]) -> Float[Tensor, "b c"]:
        """Return the logits of the classes."""
        h, *own = inputs.split([self.visible, *self.beside], 1)
        for layer, extra in zip(self.layers, own, strict=True):
            h = layer(torch.cat([h, extra], 1)).sigmoid()
        logits: Tensor = self.top(h)
        return logits

    @torch.no_grad()
    def start(self, layers: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take each hidden layer's weight [in, out] and bias; a small random softmax layer."""
        for layer, (weight, bias) in zip(self.layers, layers, strict=True):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(weight.t())
            layer.bias.copy_(bias)
        self.start_top()

    @torch.no_grad()
    def start_top(self) -> None:
        """Make the softmax layer small and random, as on top of layers that are learned."""
        self.top.weight.normal_(0, 0.01)
        self.top.bias.zero_()


class Net(Network):
    """A net of sigmoid units, random at the start; without hidden layers, softmax regression.

    Args:
        hidden: units of each hidden layer, the one next to the data first.
        init: standard deviation of the initial weights over 1 / √inputs.
    """

    net: SigmoidNet

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        classes: int,
        hidden: list[Count],
        init: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__()
        needs_classes("Net", classes)
        self.visible, self.classes = visible, classes
        self.net = SigmoidNet(visible, hidden, classes)
        self.net.randomise(init)

    @classmethod
    def tiny(cls) -> Net:
        """Return four visible units, three hidden ones, three classes."""
        return cls(visible=4, classes=3, hidden=[3])


class FineTuned(BinaryStack, Network):
    """A stack, learned without labels, and the net that it becomes.

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
    def tiny(cls: type[F]) -> F:
        """Return four visible units, hidden layers of three and two, and three classes."""
        return cls(visible=4, classes=3, layers=[3, 2])

    def adapt(self, train: TrainSplit) -> None:
        """Adapt the stack, once the labels, which only fine-tuning needs, are seen to be there.

        Raises:
            ValueError: a pixel is not between 0 and 1, or labels do not match.
        """
        labels_of(labelled_part(train), self.classes)
        super().adapt(train)

    def beside(self) -> list[int]:
        """Return how many inputs of its own each hidden layer of the net has; none by default."""
        return [0] * len(self.layers)

    @abstractmethod
    def inputs_of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return the weight [in, out] and the bias that h_layer of the net starts from."""

    def start(self) -> None:
        """Put the stack's weights and biases into the net; a small random softmax layer."""
        self.net.start(self.inputs_of(number + 1) for number in range(len(self.layers)))


class FineTunedDBM(FineTuned, DBM):
    """A deep Boltzmann machine and the net that it becomes (Salakhutdinov & Hinton, 2009).

    Mean field gives q(h | x) once, at the generative parameters. The net is

        h_1 = σ(x W_1 + q(h_2 | x) A_1 + b_1),   …,   h_L = σ(h_{L−1} W_L + b_L),   softmax

    with A_l = W_{l+1}ᵀ at the start and parameters of its own from then on, so that with the
    softmax layer aside it begins as one more sweep of mean field.

    Args:
        layers: units of the hidden layers.
        init: as for `dbm.DBM`.
        visible_bias: as for `dbm.DBM`.
        iterations: of mean field, at most.
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
        """Return the units of the layer above each."""
        return [*self.layers[1:], 0]

    @torch.no_grad()
    def prepare(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b f"]:
        """Return x beside q(h_2 | x), …, q(h_L | x)."""
        return torch.cat([x, *self.mean_field(x, self.iterations, 1e-7)[1:]], 1)

    def inputs_of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return W_l above W_{l+1}ᵀ, and the biases of both sides added."""
        above = [w.t() for w in self.weights[layer : layer + 1]]
        return torch.cat([self.weights[layer - 1], *above]), self._totals()[layer]


class FineTunedDBN(FineTuned, DBN):
    """A deep belief network and the net that it becomes (Hinton & Salakhutdinov, 2006).

    The net starts as q(h_l | h_{l−1}), layer by layer, below a softmax layer.
    """

    def inputs_of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return W_l and c_l."""
        return self.weights[layer - 1], self.upward[layer - 1]


def needs_classes(name: str, classes: int) -> None:
    """Raise ValueError where a data set has no labels."""
    if classes < 2:
        raise ValueError(f"{name}: the data set has no labels to learn (found classes = {classes})")
