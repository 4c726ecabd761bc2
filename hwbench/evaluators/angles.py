"""What a model with an angle as its latent has learned: its log-likelihood, and its filters.

Dims: A angles, B points, D observed units, O orientations of templates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from scipy import stats
from torch import Tensor

from hwbench.evaluators.points import evaluating, likelihood_metrics, points_of
from hwbench.gabor import gabor
from hwbench.numerics import stream
from hwbench.protocols import (
    AngularModel,
    Evaluation,
    Evaluator,
    HeldOut,
    Metric,
    PicturingEvaluator,
)

Count = Annotated[int, Field(ge=1)]
BATCH = 100  # points per pass of the quadrature
TEMPLATES = 180  # orientations of Gabor patches that filters are compared with
COARSE = 0.01  # nats; a larger difference between n and n/2 nodes is reported


class AngularLogLikelihood(Evaluator[AngularModel]):
    """log p(x) by quadrature over the angle.

    The kinks of ReLU nets leave an error that falls with the square of the number of nodes.

    The diagnostic `quadrature_step` is the difference that half as many nodes make, in nats.

    Args:
        nodes: equally spaced angles.
        points: size of a random subset of the held-out points; all by default.
    """

    metrics = ("log_likelihood", "nll")

    def __init__(
        self, nodes: Annotated[int, Field(ge=2)] = 2048, points: Count | None = None
    ) -> None:
        self.nodes, self.points = nodes, points

    @classmethod
    def tiny(cls) -> AngularLogLikelihood:
        """Return an evaluation with few nodes."""
        return cls(nodes=32)

    def __call__(
        self,
        model: AngularModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `log_likelihood` and `nll` in nats."""
        split = points_of(points, self.points, seed)
        index = torch.arange(len(split), device=split.values.device)
        fine, coarse = [], []
        with evaluating(stream(seed, "evaluate", "angles"), index.device):
            for part in index.split(BATCH):
                x = split.batch(part)
                fine.append(model.log_marginal(x, self.nodes).double())
                coarse.append(model.log_marginal(x, self.nodes // 2).double())
                progress((int(part[-1]) + 1) / len(split))
        log_px = torch.cat(fine).cpu().numpy()
        step = abs(float(log_px.mean() - torch.cat(coarse).mean()))
        out = Evaluation(
            likelihood_metrics(log_px, split, "exact"), {"log_px": log_px.astype(np.float32)}
        )
        out.diagnostics = {"quadrature_step": step}
        if step > COARSE:
            out.warnings.append(
                f"the log-likelihood moves by {step:.2g} nats from {self.nodes // 2} to "
                f"{self.nodes} angles; give more nodes"
            )
        return out


class Orientation(NamedTuple):
    """The Gabor patch most like each filter: its orientation in [0, π), and the cosine with it."""

    theta: Float[np.ndarray, "a"]
    cosine: Float[np.ndarray, "a"]


def orientations(filters: Float[Tensor, "a d"], side: int) -> Orientation:
    """Return the best of 180 Gabor patches for each filter, by the cosine of the two images.

    A filter of zeros has the cosine 0 with all of them, and the orientation 0.
    """
    theta = math.pi / TEMPLATES * torch.arange(TEMPLATES, device=filters.device)
    templates = torch.nn.functional.normalize(gabor(theta, side), dim=1)
    cosines = torch.nn.functional.normalize(filters.double(), dim=1) @ templates.T  # [A, O]
    best, at = cosines.max(1)
    return Orientation(theta[at].double().cpu().numpy(), best.cpu().numpy())


def winding(theta: Float[np.ndarray, "a"]) -> float:
    """Return how often 2θ turns around the circle along a closed line of orientations θ.

    >>> winding(np.arange(8) * np.pi / 8), winding(np.zeros(8))
    (1.0, 0.0)
    """
    steps = np.angle(np.exp(2j * np.diff(theta, append=theta[:1])))  # in (−π, π]
    return float(steps.sum() / (2 * math.pi))


class Filters(PicturingEvaluator[AngularModel]):
    """The orientations θ of a model's filters f(a), as fitted by Gabor patches.

        best_cosine     mean cosine of a filter and the Gabor patch nearest to it
        winding         |turns of 2θ| while a goes round once; 1 if each orientation comes once
        uniformity      |mean e^{2iθ}|; 0 if orientations are uniform on [0, π)
        uniformity_ks   largest distance of the distribution of θ from that one (Kolmogorov-Smirnov)

    The first three are over equally spaced angles, the last over random ones; `ks_p_value` is the
    p-value of its test. Images of filters at equally spaced angles are kept, and test points in the
    order of their orientations.

    Args:
        angles: number of equally spaced angles, and of random ones.
        pictures: number of images.

    Raises:
        ValueError: the images are not square.
    """

    metrics = ("best_cosine", "winding", "uniformity", "uniformity_ks")
    images = ("data", "filters")

    def __init__(
        self,
        angles: Annotated[int, Field(ge=3)] = 360,
        pictures: Annotated[int, Field(ge=1, le=50)] = 16,
    ) -> None:
        self.angles, self.pictures = angles, pictures

    @classmethod
    def tiny(cls) -> Filters:
        """Return an evaluation of few angles."""
        return cls(angles=9, pictures=4)

    def refuse(self, model: AngularModel, shape: tuple[int, ...]) -> None:
        """Reject images that are not square.

        Raises:
            ValueError: the message has their sides.
        """
        height, width = model.image
        if height != width:
            raise ValueError(
                f"Gabor patches are square, and the images of this {type(model).__name__} are "
                f"{height} x {width}"
            )

    def __call__(
        self,
        model: AngularModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, which are scores."""
        height, width = model.image
        if height != width:
            raise ValueError(
                f"Filters: Gabor patches are square, and the images of this "
                f"{type(model).__name__} are {height} x {width}"
            )
        device = points.values.device
        with evaluating(stream(seed, "evaluate", "filters"), device):
            found = orientations(model.filters(_turn(self.angles, device)), height)
            random = 2 * math.pi * torch.rand(self.angles, device=device)
            drawn = orientations(model.filters(random), height).theta
            pictures = min(self.pictures, len(points))
            filters = model.filters(_turn(pictures, device))
            kept = torch.linspace(0, len(points) - 1, pictures, device=device).round().long()
            data = points.batch(kept)
            data = data[orientations(data, height).theta.argsort(kind="stable")]
        progress(1.0)
        ks = stats.kstest(drawn / math.pi, "uniform")
        values = {
            "best_cosine": found.cosine.mean(),
            "winding": abs(winding(found.theta)),
            "uniformity": abs(np.exp(2j * found.theta).mean()),
            "uniformity_ks": ks.statistic,
        }
        return Evaluation(
            {k: Metric(float(v), n=self.angles, kind="score") for k, v in values.items()},
            {"data": _bytes(data), "filters": _bytes(filters)},
            diagnostics={
                "ks_p_value": float(ks.pvalue),
                "image_height": float(height),
                "image_width": float(width),
            },
        )


def _turn(n: int, device: torch.device) -> Float[Tensor, "n"]:
    """Return n equally spaced angles of a whole turn."""
    return 2 * math.pi / n * torch.arange(n, device=device).float()


def _bytes(images: Float[Tensor, "n d"]) -> np.ndarray:
    """Return values from −1 to 1 as 0 to 255."""
    return (127.5 * (images.clamp(-1, 1) + 1)).round().to(torch.uint8).cpu().numpy()
