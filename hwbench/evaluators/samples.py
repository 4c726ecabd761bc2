"""Samples of deep Boltzmann machines by long Gibbs chains, and the training images nearest to them.

Dims: C chains, N points, M other points, D observed units, U units of the machine, E units of its
even layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.build import make
from hwbench.evaluators.lenet import (
    LeNet,
    Net,
    frechet_distance,
    load,
    tiny_net,
)
from hwbench.evaluators.points import evaluating
from hwbench.numerics import stream
from hwbench.protocols import (
    BoltzmannStack,
    Dataset,
    Evaluation,
    HeldOut,
    Metric,
    PicturingEvaluator,
    RealStack,
    Size,
    Split,
)

Count = Annotated[int, Field(ge=1)]
CHUNK = 5000  # points compared with samples at once


class GibbsSamples(PicturingEvaluator[BoltzmannStack]):
    """Means p(x | h) at the end of Gibbs chains, as images, beside the nearest training images.

        distinct    fraction of samples whose nearest other sample is farther away than the median
                    distance between a sample and its nearest training image
        lenet_fid   of the means at equally spaced sweeps in the second half of all chains, and the
                    held-out points (`lenet.LeNetFID`); only with a `net`

    `distinct` is low if the chains have settled on few images; it does not measure their quality.
    Distances are Euclidean. Chains start at units drawn from the means of the training images. If
    the model has a Gaussian RBM below, the chains run in the machine above it, and p(x | h) is that
    of the RBM.

    Args:
        data: the `use` block of the data set whose training images are searched.
        net: which LeNet.
        sha256: checksum of its weights.
        chains: number of chains C.
        sweeps: Gibbs sweeps of each chain.
        states: states of each chain that `lenet_fid` uses.
        pictures: number of images that are kept.
        size: [height, width] of a picture, which shows the first units; by default all units, as
            a square.

    Raises:
        ValueError: only one of `net` and `sha256` is given, the weights have another checksum, or
            there are fewer sweeps than twice the states.
    """

    images = ("data", "simulated", "nearest")

    def __init__(
        self,
        data: dict[str, Any],
        net: Net | None = None,
        sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None,
        chains: Annotated[int, Field(ge=2)] = 100,
        sweeps: Count = 10_000,
        states: Count = 100,
        pictures: Annotated[int, Field(ge=1, le=50)] = 16,
        size: Size = None,
    ) -> None:
        name = type(self).__name__
        if (net is None) != (sha256 is None):
            raise ValueError(
                f"{name}: a net needs the sha256 of its weights, and nothing else does"
            )
        if sweeps < 2 * states:
            raise ValueError(
                f"{name}: {states} states of a chain's second half need {2 * states} sweeps or "
                f"more (found {sweeps})"
            )
        self.dataset: Dataset = make("data", data)
        self.net = None if net is None or sha256 is None else load(net, sha256)
        self.metrics: tuple[str, ...] = ("distinct",) if net is None else ("distinct", "lenet_fid")
        self.chains, self.sweeps, self.states = chains, sweeps, states
        self.pictures, self.size = pictures, size

    @classmethod
    def tiny(cls) -> GibbsSamples:
        """Return short chains on images of 2 x 2 pixels, with a random net of two features."""
        bars = {"use": "synthetic.Bars", "side": 2}
        out = cls(bars, chains=4, sweeps=10, states=2, pictures=3)
        out.net, out.metrics = tiny_net(), ("distinct", "lenet_fid")
        return out

    def refuse(self, model: BoltzmannStack, shape: tuple[int, ...]) -> None:
        """Reject points of another size than the images that are searched or the net accepts.

        Raises:
            ValueError: the message has both sizes.
        """
        if math.prod(shape) != math.prod(self.dataset.shape):
            raise ValueError(
                f"points for this {type(model).__name__} have {math.prod(shape)} units, those of "
                f"{type(self.dataset).__name__} have {math.prod(self.dataset.shape)}"
            )
        if self.net is not None:
            self.net.side_of(math.prod(shape))

    def __call__(
        self,
        model: BoltzmannStack,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `distinct`, and `lenet_fid` if there is a net.

        Raises:
            ValueError: the size of the images differs from that of the training images, or the
                LeNet does not accept it.
        """
        device = points.values.device
        train = self.dataset.load(seed).train.to(device)
        if train.visible != points.visible:
            raise ValueError(
                f"GibbsSamples: points for this {type(model).__name__} have {points.visible} "
                f"units, those of {type(self.dataset).__name__} have {train.visible}"
            )
        height, width = self.size or [math.isqrt(points.visible)] * 2
        kept = torch.linspace(self.sweeps // 2 + 1, self.sweeps, self.states).round().long()
        features = []
        with evaluating(stream(seed, "evaluate", "samples"), device):
            start = train.means().expand(self.chains, -1)
            for sweep, x in means_along(model, start, kept.tolist()):
                if self.net is not None:
                    features.append(self.net.to(device).features(x))
                progress(sweep / self.sweeps)
            distance, index = nearest(x, train)
            apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
            other = apart.fill_diagonal_(math.inf).amin(1)
            metrics = {"distinct": self._share(other > distance.median())}
            if self.net is not None:
                metrics["lenet_fid"] = self._fid(self.net, torch.cat(features), points)
            few = min(self.pictures, len(points), self.chains)
            shown = torch.linspace(0, len(points) - 1, few, device=device).round().long()
            images = {
                "data": points.batch(shown),
                "simulated": x[:few],
                "nearest": train.batch(index[:few]),
            }
        return Evaluation(
            metrics,
            pictures_of(images, height * width),
            diagnostics={
                "image_height": float(height),
                "image_width": float(width),
                "nearest_training_image": float(distance.median()),
                "nearest_sample": float(other.median()),
            },
        )

    def _share(self, distinct: Tensor) -> Metric:
        share = float(distinct.double().mean())
        se = math.sqrt(share * (1 - share) / len(distinct))
        return Metric(share, se, n=len(distinct), kind="score")

    def _fid(self, net: LeNet, made: Float[Tensor, "n f"], points: HeldOut) -> Metric:
        parts = torch.arange(len(points), device=made.device).split(CHUNK)
        real = torch.cat([net.features(points.batch(part)) for part in parts])
        return Metric(frechet_distance(made, real), n=len(points), kind="score")


def means_along(
    model: BoltzmannStack, start: Float[Tensor, "c d"], kept: Collection[int]
) -> Iterator[tuple[int, Float[Tensor, "c d"]]]:
    """Yield the number of Gibbs sweeps and p(x | h) of each chain, at the sweeps in `kept`.

    Args:
        model: a deep Boltzmann machine, or one on top of a Gaussian RBM.
        start: points from which the chains' initial units are drawn; other even layers are zero.
        kept: numbers of sweeps, in increasing order.

    Raises:
        ValueError: the model is of another kind.
    """
    machine = model.machine()
    if machine is not model and not isinstance(model, RealStack):
        raise ValueError(f"{type(model).__name__} is neither a Boltzmann machine nor a RealStack")
    weight, visible_bias, hidden_bias = machine.couplings()
    units = model.units(start)
    even = F.pad(units, (0, len(visible_bias) - units.shape[1]))
    for sweep in range(1, max(kept) + 1):
        odd = torch.addmm(hidden_bias, even, weight).sigmoid_().bernoulli()
        means = torch.addmm(visible_bias, odd, weight.t()).sigmoid_()
        even = means.bernoulli()
        if sweep in kept:
            observed = slice(units.shape[1])
            if isinstance(model, RealStack):
                yield sweep, model.descend(even[:, observed])
            else:
                yield sweep, means[:, observed]


def nearest(
    x: Float[Tensor, "n d"], points: Split
) -> tuple[Float[Tensor, "n"], Integer[Tensor, "n"]]:
    """Return the distance from each x to the nearest of the points, and that point's index."""
    best = x.new_full((len(x),), math.inf)
    index = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for part in torch.arange(len(points), device=x.device).split(CHUNK):
        distance, at = torch.cdist(x, points.batch(part)).min(1)
        index = torch.where(distance < best, part[at], index)
        best = torch.minimum(distance, best)
    return best, index


def pictures_of(images: dict[str, Float[Tensor, "n d"]], pixels: int) -> dict[str, np.ndarray]:
    """Return the first pixels of images as bytes; real values are scaled to the data's range."""
    data = images["data"][:, :pixels]
    low, high = (float(v) for v in data.aminmax())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return {
        name: (255 * ((x[:, :pixels] - low) / (high - low)).clamp(0, 1))
        .round()
        .to(torch.uint8)
        .cpu()
        .numpy()
        for name, x in images.items()
    }
