"""Models that keep training points: nearest neighbours, and a support vector machine."""

# Dims: N kept points, B points, D observed units, C classes, S support vectors, P pairs of classes.

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Float, Integer, Shaped
from pydantic import Field
from torch import Tensor

from hwbench.protocols import (
    KernelClassifier,
    NeighbourClassifier,
    NeighbourCompleter,
    Split,
    TrainSplit,
    half_of,
    labels_of,
)

CHUNK = 5000  # kept points whose distances are held at once
FEW = 200  # points whose neighbours are held at once


def nearest(
    points: Shaped[Tensor, "n d"], scale: Tensor, x: Float[Tensor, "b d"], k: int
) -> Integer[Tensor, "b k"]:
    """Return the numbers of the k points nearest to each x by Euclidean distance, nearest first.

    Of points at the same distance the first is nearer. Bytes are compared in exact integers, so
    that ties are ties; between real values they are left to rounding in float64.

    Args:
        points: bytes or real numbers, in units of 1 / `scale`.
        scale: what a point's value is divided by.
        x: points between 0 and 1 (of bytes).
        k: how many.

    Raises:
        ValueError: there are fewer than k points.
    """
    n = len(points)
    if not 1 <= k <= n:
        raise ValueError(f"{k} neighbours asked for, {n} points are kept")
    exact = not points.is_floating_point()
    x = x.double() * scale if exact else x.double()
    x = x.round() if exact else x
    found = torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
    distances = torch.empty(len(x), 0, dtype=torch.float64, device=x.device)
    for index in torch.arange(n, device=x.device).split(CHUNK):
        y = points[index].double()
        if not exact:
            y = y / scale
        d = torch.addmm(y.square().sum(1), x, y.t(), alpha=-2)  # without ‖x‖²
        if exact:
            d.mul_(n).add_(index)  # integers below 2^53: the order of points breaks ties
        part, at = d.topk(min(k, len(index)), largest=False)
        both, of = torch.cat([distances, part], 1), torch.cat([found, index[at]], 1)
        distances, at = both.topk(min(k, both.shape[1]), largest=False)
        found = of.gather(1, at)
    return found


class KNN(NeighbourClassifier):
    """The class that most of the k nearest training points have, by Euclidean distance.

    Of points at the same distance the one that was kept first is nearer (see `nearest`); of classes
    with as many votes, the one with the nearest neighbour wins.

    The logits are log(1 + votes), shares with one vote more for each class, plus less than log 2
    that orders equal votes.
    """

    points: Tensor
    labels: Tensor
    scale: Tensor
    k: Tensor

    def __init__(
        self, visible: Annotated[int, Field(ge=1)], classes: Annotated[int, Field(ge=2)]
    ) -> None:
        super().__init__()
        self.visible, self.classes = visible, classes
        self.register_buffer("points", torch.empty(0, visible, dtype=torch.uint8))
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("k", torch.ones((), dtype=torch.int64))

    @classmethod
    def tiny(cls) -> KNN:
        """Return four observed units, three classes and six points, of which three vote."""
        model = cls(visible=4, classes=3)
        values = torch.cat([torch.eye(4), torch.zeros(1, 4), torch.ones(1, 4)]).to(torch.uint8)
        model.keep(TrainSplit(values, torch.arange(6) % 3), 3)
        return model

    def keep(self, split: Split, k: int) -> None:
        """Keep the points of a split, of which k vote.

        Raises:
            ValueError: labels do not match, there are fewer than k points, or their pixels are
                drawn afresh at each presentation.
        """
        labels = labels_of(split, self.classes)
        if split.resample:
            raise ValueError("KNN: pixels that are drawn at each presentation cannot be kept")
        if not 1 <= k <= len(split):
            raise ValueError(f"KNN: needs 1 ≤ k ≤ points; found {k=}, {len(split)} points")
        self.points, self.labels = split.values, labels.long()
        self.scale, self.k = self.scale.new_tensor(split.scale), self.k.new_tensor(k)

    @torch.no_grad()
    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return the numbers of the k nearest points, the nearest first.

        Raises:
            ValueError: fewer than k points are kept.
        """
        return nearest(self.points, self.scale, x, k)

    def vote(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        """Return log(1 + votes) of each class, in float64; neighbours stand the nearest first."""
        k = neighbours.shape[1]
        # 2⁻¹, 2⁻², … add to less than a vote, and their order is that of the nearest members
        weights = 1 + 0.5 ** torch.arange(1, k + 1, dtype=torch.float64, device=neighbours.device)
        votes = weights.new_zeros(len(neighbours), self.classes)
        votes.scatter_add_(1, self.labels[neighbours], weights.expand(len(neighbours), k))
        return votes.log1p()

    def logits(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return log(1 + votes) of the classes, in float64."""
        return self.vote(self.neighbours(x, int(self.k)))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        _take_sizes(self, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)


class NeighbourMeans(NeighbourCompleter):
    """Fills in with the mean of the k training points that are nearest by the units seen.

    Where pixels are drawn at each presentation, the grey images that they are drawn from are kept:
    the mean of an image is that of its draws.
    """

    points: Tensor
    scale: Tensor
    seen: Tensor
    k: Tensor

    def __init__(self, visible: Annotated[int, Field(ge=1)]) -> None:
        super().__init__()
        self.visible = visible
        self.register_buffer("points", torch.empty(0, visible, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(visible, dtype=torch.bool))
        self.register_buffer("k", torch.ones((), dtype=torch.int64))

    @classmethod
    def tiny(cls) -> NeighbourMeans:
        """Return six images of 2x2, of which the left halves are seen and the nearest two count."""
        model = cls(visible=4)
        values = torch.cat([torch.eye(4), torch.zeros(1, 4), torch.ones(1, 4)]).to(torch.uint8)
        model.keep(TrainSplit(values), half_of("left", 4), 2)
        return model

    def keep(self, split: Split, seen: Bool[Tensor, "d"], k: int) -> None:
        """Keep the points of a split; the k nearest by the units seen fill in.

        Raises:
            ValueError: there are fewer than k points.
        """
        if not 1 <= k <= len(split):
            raise ValueError(
                f"NeighbourMeans: needs 1 ≤ k ≤ points; found {k=}, {len(split)} points"
            )
        self.points, self.seen = split.values, seen.to(split.values.device)
        self.scale, self.k = self.scale.new_tensor(split.scale), self.k.new_tensor(k)

    @torch.no_grad()
    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return the numbers of the k nearest points by the units seen, the nearest first.

        Raises:
            ValueError: fewer than k points are kept.
        """
        return nearest(self.points[:, self.seen], self.scale, x[:, self.seen], k)

    @torch.no_grad()
    def means(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the means of these points."""
        parts = [self.points[part].float().mean(1) for part in neighbours.split(FEW)]
        return torch.cat(parts) / self.scale.float()

    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the units seen as they are, and the neighbours' means elsewhere.

        Raises:
            ValueError: k was chosen for other units seen.
        """
        if not torch.equal(seen, self.seen):
            raise ValueError(
                "NeighbourMeans: k was chosen for other units seen; give both the same"
            )
        return torch.where(seen, x, self.means(self.neighbours(x, int(self.k))))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        _take_sizes(self, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)


class RBFSVM(KernelClassifier):
    """A support vector machine for each pair of classes, with kernel exp(−γ ‖x − y‖²).

    For classes i < j, with coefficients α_s y_s of the vectors s of both and an intercept b,

        f_ij(x) = Σ_s α_s y_s exp(−γ ‖x − x_s‖²) + b_ij   votes for i where it is positive, else j

    in float64. The logits are the votes, no log probabilities: the class with most of them wins,
    and of equals the first, as in LIBSVM (Chang & Lin, 2011).
    """

    vectors: Tensor
    counts: Tensor
    coefficients: Tensor
    intercepts: Tensor
    present: Tensor
    gamma: Tensor

    def __init__(
        self, visible: Annotated[int, Field(ge=1)], classes: Annotated[int, Field(ge=2)]
    ) -> None:
        super().__init__()
        self.visible, self.classes = visible, classes
        self.register_buffer("vectors", torch.empty(0, visible, dtype=torch.float64))
        self.register_buffer("counts", torch.empty(0, dtype=torch.int64))
        self.register_buffer("coefficients", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("intercepts", torch.empty(0, dtype=torch.float64))
        self.register_buffer("present", torch.empty(0, dtype=torch.int64))
        self.register_buffer("gamma", torch.ones((), dtype=torch.float64))

    @classmethod
    def tiny(cls) -> RBFSVM:
        """Return four observed units and three classes with a support vector each."""
        model = cls(visible=4, classes=3)
        signs = torch.tensor([[1.0, -1.0, -1.0], [1.0, 1.0, -1.0]]).double()
        each = torch.ones(3, dtype=torch.int64)
        vectors = torch.eye(3, 4).double()
        model.keep(vectors, each, signs, torch.zeros(3).double(), torch.arange(3), 1.0)
        return model

    def keep(
        self,
        vectors: Float[Tensor, "s d"],
        counts: Integer[Tensor, "p"],
        coefficients: Float[Tensor, "o s"],
        intercepts: Float[Tensor, "q"],
        present: Integer[Tensor, "p"],
        gamma: float,
    ) -> None:
        """Keep what fitting has found, as `KernelClassifier.keep` says."""
        self.vectors, self.counts, self.coefficients = vectors, counts, coefficients
        self.intercepts, self.present = intercepts, present
        self.gamma = self.gamma.new_tensor(gamma)

    @torch.no_grad()
    def decisions(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return f_ij(x) of each pair of classes that were met: (0, 1), (0, 2), … in this order."""
        x, v = x.double(), self.vectors
        squares = x.square().sum(1)[:, None] + v.square().sum(1) - 2 * x @ v.t()
        kernel = (-self.gamma * squares.clamp_min_(0)).exp_()
        counts = self.counts.tolist()
        parts = zip(kernel.split(counts, 1), self.coefficients.split(counts, 1), strict=True)
        sums = [k @ a.t() for k, a in parts]  # by class: against each of the others, in their order
        pairs = combinations(range(len(counts)), 2)
        return torch.stack([sums[i][:, j - 1] + sums[j][:, i] for i, j in pairs], 1).add_(
            self.intercepts
        )

    def logits(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return how many pairs voted for each class, in float64; −1 for classes never met."""
        found = self.decisions(x)
        votes = found.new_zeros(len(x), len(self.counts))
        for n, (i, j) in enumerate(combinations(range(len(self.counts)), 2)):
            votes[:, i] += found[:, n] > 0
            votes[:, j] += found[:, n] <= 0
        logits = votes.new_full((len(x), self.classes), -1.0)
        logits[:, self.present] = votes
        return logits

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        _take_sizes(self, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)


def _take_sizes(model: torch.nn.Module, state: dict[str, Any], prefix: str) -> None:
    """Give buffers the sizes and types of a state to be loaded: how many points is not known."""
    for name, buffer in list(model.named_buffers(recurse=False)):
        if prefix + name in state:
            setattr(model, name, torch.empty_like(state[prefix + name], device=buffer.device))
