"""Feed-forward classifiers of sigmoid units."""

# Dims: B points, D observed units, C classes, F inputs of the net.

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.protocols import Network

Count = Annotated[int, Field(ge=1)]


class SigmoidNet(nn.Module):
    """Layers of sigmoid units and a softmax on top.

    A hidden layer may have additional inputs besides the layer below. They follow the D observed
    units in the net's input, layer by layer.

    Args:
        visible: D.
        hidden: units of each hidden layer; an empty list makes a linear classifier.
        classes: C.
        beside: number of additional inputs of each hidden layer; none by default.
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
        """Draw all weights from N(0, init² / inputs), and set biases to zero."""
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
        """Set each hidden layer's weight [in, out] and bias, and a small random softmax layer."""
        for layer, (weight, bias) in zip(self.layers, layers, strict=True):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(weight.t())
            layer.bias.copy_(bias)
        self.start_top()

    @torch.no_grad()
    def start_top(self) -> None:
        """Set small random weights in the softmax layer, as is usual on top of learned layers."""
        self.top.weight.normal_(0, 0.01)
        self.top.bias.zero_()


class Net(Network):
    """A randomly initialised net of sigmoid units; without hidden layers, softmax regression.

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


def needs_classes(name: str, classes: int) -> None:
    """Raise ValueError if a data set has no labels."""
    if classes < 2:
        raise ValueError(f"{name}: the data set has no labels to learn (found classes = {classes})")
