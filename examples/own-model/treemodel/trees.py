"""Trees of binary units: the most likely tree of a data set is a maximum spanning tree.

Chow and Liu (1968), "Approximating discrete probability distributions with dependence trees".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from torch import Tensor

from hwbench.protocols import Density, Fit, TrainSplit, ValidationSplit


class Tree(Density):
    """p(x) = Π_d p(x_d | x_parent(d)); the root has no parent.

    Attributes:
        parent: [D], the parent of each unit; the root is its own.
        order: [D], the units, each after its parent.
        on: [2, D], the probability that a unit is 1, by the value of its parent.
    """

    parent: Tensor
    order: Tensor
    on: Tensor

    def __init__(self, visible: Annotated[int, Field(ge=1)]) -> None:
        super().__init__()
        self.visible = visible
        self.register_buffer("parent", torch.zeros(visible, dtype=torch.long))
        self.register_buffer("order", torch.arange(visible))
        self.register_buffer("on", torch.full((2, visible), 0.5))

    @classmethod
    def tiny(cls) -> Tree:
        """Return four units."""
        return cls(visible=4)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Return log p(x) of each point, in nats."""
        mean = torch.where(x[:, self.parent] > 0.5, self.on[1], self.on[0])
        return (x * mean.log() + (1 - x) * (-mean).log1p()).sum(1)

    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return n draws."""
        x = torch.zeros(n, self.visible)
        for d in self.order.tolist():
            x[:, d] = torch.bernoulli(self.on[x[:, self.parent[d]].long(), d])
        return x


class ChowLiu(Fit[Tree]):
    """Find the tree with the highest likelihood, and its probabilities with pseudo-counts.

    Args:
        pseudo: the pseudo-count of each value of each pair of units.
    """

    def __init__(self, pseudo: Annotated[float, Field(gt=0)] = 0.5) -> None:
        self.pseudo = pseudo

    @classmethod
    def tiny(cls) -> ChowLiu:
        """Return the default."""
        return cls()

    def __call__(
        self,
        model: Tree,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the tree; neither the seed nor validation points have an effect."""
        x = train.values.double().numpy()
        counts = {
            (a, b): (x == a).T.astype(float) @ (x == b) + self.pseudo
            for a in (0, 1)
            for b in (0, 1)
        }
        total = sum(counts.values())
        single = {a: (counts[a, 0] + counts[a, 1]).diagonal() / total.diagonal() for a in (0, 1)}
        information = sum(
            joint / total * np.log(joint / total / np.outer(single[a], single[b]))
            for (a, b), joint in counts.items()
        )
        weights = information.max() + 1 - information  # above 0, since 0 means no edge
        np.fill_diagonal(weights, 0)
        tree = minimum_spanning_tree(weights)
        order, parent = breadth_first_order(tree, 0, directed=False)
        parent[0] = 0
        units = np.arange(len(parent))
        on = np.stack(
            [
                counts[a, 1][parent, units] / (counts[a, 0] + counts[a, 1])[parent, units]
                for a in (0, 1)
            ]
        )
        on[:, 0] = single[1][0]
        model.parent.copy_(torch.from_numpy(parent.astype(np.int64)))
        model.order.copy_(torch.from_numpy(order.astype(np.int64)))
        model.on.copy_(torch.from_numpy(on))
        return {}
