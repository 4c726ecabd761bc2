"""Training of classifiers by conjugate gradients."""

# Dims: N points, F inputs of the net, P parameters that move.

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from hwbench.rules.supervised import Supervised

if TYPE_CHECKING:  # SciPy is imported at its first use.
    import numpy as np


class ConjugateGradients(Supervised):
    """Conjugate gradients on the cross-entropy −log p(label | x) of large minibatches, in turn.

    Hinton & Salakhutdinov (2006) and Salakhutdinov & Hinton (2009) fine-tune in this way. Each
    minibatch gets a few line searches along conjugate directions (Polak and Ribière; by SciPy). The
    lower layer is fixed at first, since the softmax layer above it starts at random.

    Args:
        epochs: as for `Supervised`.
        searches: line searches for each minibatch.
        held: number of first epochs in which the weights into the first hidden layer and the biases
            of hidden layers are fixed.
        batch_size: as for `Supervised`.
        patience: as for `Supervised`.
    """

    def __init__(
        self,
        epochs: Annotated[int, Field(ge=1)] = 100,
        searches: Annotated[int, Field(ge=1)] = 3,
        held: Annotated[int, Field(ge=0)] = 5,
        batch_size: Annotated[int, Field(ge=1)] = 5000,
        patience: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        super().__init__(epochs, batch_size, patience)
        self.searches, self.held = searches, held

    @classmethod
    def tiny(cls) -> ConjugateGradients:
        """Return a few epochs, one of them with a fixed lower layer."""
        return cls(epochs=5, held=1, batch_size=20)

    def learn(
        self, net: nn.Module, inputs: Tensor, labels: Tensor, orders: Iterator[Tensor]
    ) -> Iterator[float]:
        """Search along a few directions for each minibatch; see `Supervised.learn`.

        The cross-entropy of a minibatch is measured before its searches.
        """
        lower = {f"layers.{i}.bias" for i, _ in enumerate(net.get_submodule("layers").children())}
        lower.add("layers.0.weight")
        for epoch, order in enumerate(orders):
            moving = [p for n, p in net.named_parameters() if epoch >= self.held or n not in lower]
            total = 0.0
            for index in order.split(self.batch_size):
                total += self._search(net, moving, inputs[index], labels[index]) * len(index)
            yield total / len(labels)

    def _search(self, net: nn.Module, moving: list[nn.Parameter], x: Tensor, y: Tensor) -> float:
        """Move the parameters, and return the cross-entropy before the move."""
        from scipy.optimize import minimize

        start = parameters_to_vector(moving).detach()

        def put(flat: np.ndarray) -> None:
            vector_to_parameters(torch.from_numpy(flat).to(start), moving)

        before: list[float] = []

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            put(flat)
            loss = F.cross_entropy(net(x).double(), y)
            gradient = parameters_to_vector(torch.autograd.grad(loss, moving))
            before.append(loss.item())
            return before[-1], gradient.double().cpu().numpy()

        found = minimize(
            objective,
            start.double().cpu().numpy(),
            jac=True,
            method="CG",
            options={"maxiter": self.searches},
        )
        put(found.x)
        return before[0]
