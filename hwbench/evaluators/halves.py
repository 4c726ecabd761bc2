"""Completion of real-valued images of which a model sees one half.

Dims: N points, B points of a group, C chains, D observed units, U of them unseen, V units of the
machine's lowest layer, E units of its even layers.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from hwbench.build import make
from hwbench.evaluators.completion import (
    _jackknife as jackknife,  # results rest on its name there
)
from hwbench.evaluators.points import Kind, evaluating, mean_metric, points_of
from hwbench.evaluators.samples import pictures_of
from hwbench.numerics import stream
from hwbench.protocols import (
    Completer,
    Evaluation,
    Half,
    HalvedDataset,
    HeldOut,
    Model,
    PicturingEvaluator,
    RealStack,
    Size,
)

M = TypeVar("M", bound=Model)
Count = Annotated[int, Field(ge=1)]
GROUP = 1000  # points, or chains of a machine, at a time


class HalfEvaluator(PicturingEvaluator[M]):
    """Squared error of a completion, `mse` = Σ_i (x_i − m_i)² / U over the unseen units i.

    The error is in units of the data set; of standardised points, the mean of the training points
    has an error near 1. `squared_error` is the error of each point. Images of a few evenly spaced
    points are kept: the `original`, its `seen` part, and the `completion`.

    Args:
        data: the `use` block of a `HalvedDataset`, which knows the half.
        seen: the half that the model sees.
        points: number of random points; all by default.
        pictures: number of points whose images are kept.
        size: [height, width] of a picture, which the first units make up; all units by default,
            as a square.

    Raises:
        ValueError: the data set does not know halves.
    """

    better: Literal["higher", "lower"] = "lower"
    kind: Kind = "exact"
    metrics = ("mse",)
    images = ("original", "seen", "completion")
    group = GROUP

    def __init__(
        self,
        data: dict[str, Any],
        seen: Half = "left",
        points: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=50)] = 10,
        size: Size = None,
    ) -> None:
        dataset = make("data", data)
        if not isinstance(dataset, HalvedDataset):
            raise ValueError(f"{type(dataset).__name__} does not know which units are in a half")
        self.seen = dataset.half(seen)
        self.points, self.pictures, self.size = points, pictures, size

    @abstractmethod
    def fill(
        self, model: M, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]
    ) -> Float[Tensor, "c b d"]:
        """Return points with seen units kept and the others filled in, by each of C chains."""

    def __call__(
        self,
        model: M,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `mse`; with two chains or more, `mc_se` is its jackknife over chains.

        The diagnostic `excess_mse` is the expected part of `mse` that is noise of the chains.

        Raises:
            ValueError: the points have other units.
        """
        split = points_of(points, self.points, seed)
        if split.visible != len(self.seen):
            raise ValueError(
                f"{type(self).__name__}: points of {split.visible} units for this "
                f"{type(model).__name__}, and a half of points of {len(self.seen)} units"
            )
        device = split.values.device
        seen = self.seen.to(device)
        kept = torch.linspace(0, len(split) - 1, min(self.pictures, len(split)), device=device)
        kept = kept.round().long()
        errors, without, completions = [], [], []
        with evaluating(stream(seed, "evaluate", "completion"), device):
            for index in torch.arange(len(split), device=device).split(self.group):
                x = split.batch(index)
                chains = self.fill(model, x, seen).double()
                mean = chains.mean(0)
                errors.append(_error(x, mean, seen))
                if len(chains) > 1:
                    others = mean + (mean - chains) / (len(chains) - 1)
                    without.append(_error(x, others, seen))
                completions.append(mean[torch.isin(index, kept)])
                progress((int(index[-1]) + 1) / len(split))
            original = split.batch(kept)
            height, width = self.size or [math.isqrt(split.visible)] * 2
            images = pictures_of(
                {"data": original, "completion": torch.cat(completions)}, height * width
            )
        images["original"] = images.pop("data")
        shown = seen[: images["original"].shape[1]].cpu().numpy()
        images["seen"] = np.where(shown, images["original"].astype(np.int16), -1)
        found = torch.cat(errors).cpu().numpy()
        kept_out = torch.cat(without, 1).t().cpu().numpy() if without else None
        mc_se, excess = jackknife(kept_out, found)
        diagnostics = {"image_height": float(height), "image_width": float(width)}
        if without:
            diagnostics["excess_mse"] = excess
        return Evaluation(
            {"mse": mean_metric(found, self.kind, mc_se)},
            {name: images[name] for name in self.images}
            | {"squared_error": found.astype(np.float32)},
            diagnostics=diagnostics,
        )


class HalfCompletion(HalfEvaluator[Completer]):
    """`HalfEvaluator` of a model with its own `complete`."""

    @classmethod
    def tiny(cls) -> HalfCompletion:
        """Return an evaluation of points of four units, two of them seen."""
        out = cls({"use": "halves.HalvedDigits"}, pictures=3)
        out.seen = torch.arange(4) < 2
        return out

    def fill(
        self, model: Completer, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]
    ) -> Float[Tensor, "1 b d"]:
        """Return the model's completion."""
        return model.complete(x, seen)[None]


class GibbsHalfCompletion(HalfEvaluator[RealStack]):
    """`HalfEvaluator` of a deep Boltzmann machine on a Gaussian RBM, by Gibbs sampling.

    The RBM was learned first and then fixed, so the two have no common energy. A sweep

        draws h_1 given the image, by the RBM
        draws the machine's odd layers, and then its even ones with h_1 among them
        draws the unseen inputs given h_1, by the RBM, with unit variance

    It starts from the seen inputs, and zeros elsewhere, the means of standardised points. The
    completion is the average of the unseen inputs' means over chains and sweeps.

    Args:
        data: as for `HalfEvaluator`, as are `seen`, `points`, `pictures` and `size`.
        chains: C, chains for each point.
        burn_in: sweeps before averaging.
        sweeps: sweeps to average over.
    """

    kind = "estimate"

    def __init__(
        self,
        data: dict[str, Any],
        seen: Half = "left",
        points: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=50)] = 10,
        size: Size = None,
        chains: Count = 20,
        burn_in: Annotated[int, Field(ge=0)] = 50,
        sweeps: Count = 50,
    ) -> None:
        super().__init__(data, seen, points, pictures, size)
        self.chains, self.burn_in, self.sweeps = chains, burn_in, sweeps
        self.group = max(1, GROUP // chains)

    @classmethod
    def tiny(cls) -> GibbsHalfCompletion:
        """Return short chains on points of three units, two of them seen."""
        out = cls({"use": "halves.HalvedDigits"}, pictures=3, chains=3, burn_in=2, sweeps=3)
        out.seen = torch.arange(3) < 2
        return out

    def fill(
        self, model: RealStack, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]
    ) -> Float[Tensor, "c b d"]:
        """Return each chain's average of the inputs' means; seen inputs are kept."""
        weight, even_bias, odd_bias = model.machine().couplings()
        known = x.repeat(self.chains, 1)
        state = torch.where(seen, known, 0)
        others = x.new_zeros(len(known), len(even_bias) - model.machine().visible)
        total = torch.zeros_like(known)
        for sweep in range(self.burn_in + self.sweeps):
            even = torch.cat([model.units(state), others], 1)
            odd = torch.addmm(odd_bias, even, weight).sigmoid_().bernoulli()
            even = torch.addmm(even_bias, odd, weight.t()).sigmoid_().bernoulli()
            h, others = even.tensor_split([model.machine().visible], 1)
            means = model.descend(h)
            if sweep >= self.burn_in:
                total += means
            state = torch.where(seen, known, means + torch.randn_like(means))
        return torch.where(seen, known, total / self.sweeps).view(self.chains, *x.shape)


def _error(
    x: Float[Tensor, "b d"], filled: Float[Tensor, "*c b d"], seen: Bool[Tensor, "d"]
) -> Float[Tensor, "*c b"]:
    """Return the mean squared error over unseen units."""
    return (filled - x)[..., ~seen].square().mean(-1)
