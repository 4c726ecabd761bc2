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

CHUNK = 5000  # stored points per block of distances
FEW = 200  # points per block of neighbours


def nearest(
    points: Shaped[Tensor, "n d"], scale: Tensor, x: Float[Tensor, "b d"], k: int
) -> Integer[Tensor, "b k"]:
    """Return the indices of the k points nearest to each x by Euclidean distance, nearest first.

    Ties go to the point that comes first. Bytes are compared in exact integers, so ties are
    detected exactly; for real values they depend on rounding in float64.

    Args:
        points: bytes or real numbers, in units of 1 / `scale`.
        scale: divisor of a point's values.
        x: points; for bytes, between 0 and 1.
        k: number of neighbours.

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
        d = torch.addmm(y.square().sum(1), x, y.t(), alpha=-2)  # ‖x‖² does not affect the order.
        if exact:
            d.mul_(n).add_(index)  # Integers below 2^53 are exact: the points' order breaks ties.
        part, at = d.topk(min(k, len(index)), largest=False)
        both, of = torch.cat([distances, part], 1), torch.cat([found, index[at]], 1)
        distances, at = both.topk(min(k, both.shape[1]), largest=False)
        found = of.gather(1, at)
    return found


class KNN(NeighbourClassifier):
    """k-nearest-neighbour classifier: the majority class among neighbours, by Euclidean distance.

    Equal distances go to the point that was stored first (see `nearest`). Equal votes go to the
    class with the nearest neighbour.

    The logits are log(1 + votes), so each class has one additional vote. A term of less than log 2
    orders classes with equal votes.
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
        """Return a model with four observed units, three classes, six points and k = 3."""
        model = cls(visible=4, classes=3)
        values = torch.cat([torch.eye(4), torch.zeros(1, 4), torch.ones(1, 4)]).to(torch.uint8)
        model.keep(TrainSplit(values, torch.arange(6) % 3), 3)
        return model

    def keep(self, split: Split, k: int) -> None:
        """Store the points of a split, and k.

        Raises:
            ValueError: labels do not match, there are fewer than k points, or their pixels are
                drawn at each presentation.
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
        """Return the indices of the k nearest points, the nearest first.

        Raises:
            ValueError: fewer than k points are stored.
        """
        return nearest(self.points, self.scale, x, k)

    def vote(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        """Return log(1 + votes) of each class, in float64; the nearest neighbour comes first."""
        k = neighbours.shape[1]
        # 2⁻¹, 2⁻², … add up to less than one vote and order classes by their nearest members.
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
    """Completes with the mean of the k training points that are nearest in the seen units.

    If pixels are drawn at each presentation, the underlying grey images are stored, since they are
    the means of the draws.
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
        """Return a model with six 2x2 images, seen left halves and k = 2."""
        model = cls(visible=4)
        values = torch.cat([torch.eye(4), torch.zeros(1, 4), torch.ones(1, 4)]).to(torch.uint8)
        model.keep(TrainSplit(values), half_of("left", 4), 2)
        return model

    def keep(self, split: Split, seen: Bool[Tensor, "d"], k: int) -> None:
        """Store the points of a split, which units are seen, and k.

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
        """Return the indices of the k points nearest in the seen units, the nearest first.

        Raises:
            ValueError: fewer than k points are stored.
        """
        return nearest(self.points[:, self.seen], self.scale, x[:, self.seen], k)

    @torch.no_grad()
    def means(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the means of the neighbours."""
        parts = [self.points[part].float().mean(1) for part in neighbours.split(FEW)]
        return torch.cat(parts) / self.scale.float()

    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the seen units unchanged, and the neighbours' means elsewhere.

        Raises:
            ValueError: k was chosen for other seen units.
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

    in float64. The logits are the votes and not log probabilities: the class with most votes wins,
    and ties go to the first, as in LIBSVM (Chang & Lin, 2011).
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
        """Return a model with four observed units, and three classes of one support vector each."""
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
        """Store the fitted parameters; see `KernelClassifier.keep`."""
        self.vectors, self.counts, self.coefficients = vectors, counts, coefficients
        self.intercepts, self.present = intercepts, present
        self.gamma = self.gamma.new_tensor(gamma)

    @torch.no_grad()
    def decisions(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return f_ij(x) of all pairs (0, 1), (0, 2), … of the classes in the training data."""
        x, v = x.double(), self.vectors
        squares = x.square().sum(1)[:, None] + v.square().sum(1) - 2 * x @ v.t()
        kernel = (-self.gamma * squares.clamp_min_(0)).exp_()
        counts = self.counts.tolist()
        parts = zip(kernel.split(counts, 1), self.coefficients.split(counts, 1), strict=True)
        sums = [k @ a.t() for k, a in parts]  # Per class, one column for each other class.
        pairs = combinations(range(len(counts)), 2)
        return torch.stack([sums[i][:, j - 1] + sums[j][:, i] for i, j in pairs], 1).add_(
            self.intercepts
        )

    def logits(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return the votes for each class, in float64; −1 for classes without training data."""
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
    """Give buffers the sizes and types of the state to load, as they depend on the stored data."""
    for name, buffer in list(model.named_buffers(recurse=False)):
        if prefix + name in state:
            setattr(model, name, torch.empty_like(state[prefix + name], device=buffer.device))
