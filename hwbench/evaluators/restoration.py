"""Reconstruction of binary images, and restoration of images with flipped pixels."""

# Dims: N points, B points of a chunk, D observed units, K factors, C components.

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.evaluators.points import evaluating, mean_metric, points_of
from hwbench.numerics import stream
from hwbench.protocols import (
    Evaluation,
    FactorModel,
    HeldOut,
    Mixture,
    Model,
    PicturingEvaluator,
)

M = TypeVar("M", bound=Model)
Count = Annotated[int, Field(ge=1)]
CHUNK = 500  # points restored at once
EDGE = 1e-4  # means keep this distance from 0 and 1 in the NLL


class Restoration(PicturingEvaluator[M]):
    """Squared error per pixel of restored images: from the image itself, and with pixels flipped.

        reconstruction_mse   of the means restored from the image
        denoising_mse        of the means restored from a copy with flipped pixels
        reconstruction_nll, denoising_nll   −Σ_d log Bern(x_d; means), in nats: a score
        input_mse            of the copy itself, about `flip`

    The errors are those from the image without noise. The flipped pixels depend on the seed and
    the points only, so all rows of a table see the same ones. Images of a few evenly spaced points
    are kept.

    Args:
        flip: probability of a pixel to be flipped.
        points: number of random points; all by default.
        pictures: number of points whose images are kept.
        size: [height, width] of an image; a square by default.

    Raises:
        ValueError: `flip` is not between 0 and 1.
    """

    better: Literal["higher", "lower"] = "lower"
    metrics = (
        "denoising_mse",
        "reconstruction_mse",
        "denoising_nll",
        "reconstruction_nll",
        "input_mse",
    )
    images: tuple[str, ...] = ("original", "noisy", "reconstruction", "restored")

    def __init__(
        self,
        flip: Annotated[float, Field(ge=0, le=1)] = 0.1,
        points: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=50)] = 10,
        size: tuple[Count, Count] | None = None,
    ) -> None:
        if not 0 <= flip <= 1:
            raise ValueError(f"{type(self).__name__}: flip must be from 0 to 1 (found {flip})")
        self.flip, self.points, self.pictures, self.size = flip, points, pictures, size

    @abstractmethod
    def restore(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return the means of images that the model takes x for."""

    def extra_images(self, model: M, count: int) -> dict[str, Tensor]:
        """Return further images to keep, values 0 to 1, by name; none by default."""
        return {}

    def __call__(
        self,
        model: M,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, with standard errors over points."""
        split = points_of(points, self.points, seed)
        device = split.values.device
        x = split.batch(torch.arange(len(split), device=device))
        with evaluating(stream(seed, "evaluate", "restoration"), device):
            noisy = torch.where(torch.rand_like(x) < self.flip, 1 - x, x)
        inputs = {"reconstruction": x, "denoising": noisy}
        means: dict[str, list[Tensor]] = {name: [] for name in inputs}
        index = torch.arange(len(x), device=device).split(CHUNK)
        with torch.no_grad():
            for i, part in enumerate(index):
                for name, given in inputs.items():
                    means[name].append(self.restore(model, given[part]))
                progress((i + 1) / len(index))
            restored = {name: torch.cat(parts) for name, parts in means.items()}
            kept = torch.linspace(0, len(x) - 1, min(self.pictures, len(x)), device=device)
            kept = kept.round().long()
            images = {
                "original": x[kept],
                "noisy": noisy[kept],
                "reconstruction": restored["reconstruction"][kept],
                "restored": restored["denoising"][kept],
                **self.extra_images(model, len(kept)),
            }
        return self._summary(x, noisy, restored, images)

    def _summary(
        self, x: Tensor, noisy: Tensor, restored: dict[str, Tensor], images: dict[str, Tensor]
    ) -> Evaluation:
        values = {}
        for name in ("denoising", "reconstruction"):
            values[f"{name}_mse"] = _squares(restored[name], x)
        for name in ("denoising", "reconstruction"):
            inside = restored[name].double().clamp(EDGE, 1 - EDGE)
            nll = F.binary_cross_entropy(inside, x.double(), reduction="none")
            values[f"{name}_nll"] = nll.sum(1)
        values["input_mse"] = _squares(noisy, x)
        out = Evaluation({k: mean_metric(v.cpu().numpy(), "score") for k, v in values.items()})
        out.per_point = {
            name: (255 * image.clamp(0, 1)).round().to(torch.uint8).cpu().numpy()
            for name, image in images.items()
        }
        out.per_point["squared_error"] = values["denoising_mse"].cpu().numpy().astype(np.float32)
        height, width = self.size or [math.isqrt(x.shape[1])] * 2
        out.diagnostics = {"image_height": float(height), "image_width": float(width)}
        return out


def _squares(restored: Float[Tensor, "n d"], x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """Return the mean squared error of each image, in float64."""
    return (restored - x).double().square().mean(1)


class FactorRestoration(Restoration[FactorModel]):
    """`Restoration` at the mode of the latents: u = logit z that maximises log p(x | u) + log p(u).

    With the density of u, Π_k σ(u_k) σ(−u_k), the gradient is (x − σ(u W + b)) Wᵀ + 1 − 2 σ(u). It
    is followed by Adam from u = 0. The weights of a few factors are kept as images, too, divided by
    the largest of each.

    Args:
        flip: probability of a pixel to be flipped.
        points: number of random points; all by default.
        pictures: number of points and factors whose images are kept.
        size: [height, width] of an image; a square by default.
        steps: of Adam.
        lr: its rate.

    Raises:
        ValueError: `flip` is not between 0 and 1.
    """

    images: tuple[str, ...] = (*Restoration.images, "factors")

    def __init__(
        self,
        flip: Annotated[float, Field(ge=0, le=1)] = 0.1,
        points: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=50)] = 10,
        size: tuple[Count, Count] | None = None,
        steps: Count = 300,
        lr: Annotated[float, Field(gt=0)] = 0.1,
    ) -> None:
        super().__init__(flip, points, pictures, size)
        self.steps, self.lr = steps, lr

    @classmethod
    def tiny(cls) -> FactorRestoration:
        """Return an evaluation of few steps that keeps few images."""
        return cls(pictures=3, steps=10)

    def restore(self, model: FactorModel, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return σ(u W + b) at the mode."""
        weight, offset = model.factors(), model.offsets()
        u = x.new_zeros(len(x), len(weight))
        optimizer = torch.optim.Adam([u], lr=self.lr)
        for _ in range(self.steps):
            error = x - torch.addmm(offset, u, weight).sigmoid()
            u.grad = 2 * u.sigmoid() - 1 - error @ weight.T
            optimizer.step()
        return torch.addmm(offset, u, weight).sigmoid()

    def extra_images(self, model: FactorModel, count: int) -> dict[str, Tensor]:
        """Return the first factors; if there are fewer than pictures, black ones follow."""
        weight = model.factors()[:count]
        scaled = weight / weight.amax(1, keepdim=True)
        return {"factors": F.pad(scaled, (0, 0, 0, count - len(scaled)))}


class MixtureRestoration(Restoration[Mixture]):
    """`Restoration` by a mixture of Bernoullis: Σ_c p(c | x) μ_c for the given image.

    With a single component this is the mean image, for any given image.

    Args:
        flip: probability of a pixel to be flipped.
        points: number of random points; all by default.
        pictures: number of points whose images are kept.
        size: [height, width] of an image; a square by default.

    Raises:
        ValueError: `flip` is not between 0 and 1.
    """

    @classmethod
    def tiny(cls) -> MixtureRestoration:
        """Return an evaluation that keeps few images."""
        return cls(pictures=3)

    def restore(self, model: Mixture, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return the components' means, weighted by their probabilities given x."""
        return model.log_joint(x).softmax(1) @ model.logits.sigmoid()
