"""Images that are mixtures of Laplace sources, with known filters.

Dims: D pixels, K sources.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.real import only_grey
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit

NOISE = 0.1
PATCHES = 10_000  # number of patches of natural images

Count = Annotated[int, Field(ge=1)]


class _Mixture(Dataset):
    """x = A s + 0.1 ε with s ~ Laplace(0, 1) and ε ~ N(0, I), where A s has unit variance."""

    def __init__(
        self,
        pixels: Pixels = "grey",
        side: Annotated[int, Field(ge=2, le=32)] = 16,
        sources: Count = 36,
        points: Count = 100_000,
    ) -> None:
        only_grey(pixels, type(self).__name__)
        if sources > side**2:
            raise ValueError(
                f"{type(self).__name__}: at most as many sources as pixels, {side**2} "
                f"(found {sources})"
            )
        self.pixels, self.sources, self.points = pixels, sources, points
        self.shape = (side, side)

    @abstractmethod
    def columns(self) -> Float[Tensor, "d k"]:
        """Return the filters before scaling."""

    def load(self, seed: int) -> Splits:
        """Return mixtures for training and the columns of A for testing, the same for every seed.

        Raises:
            DataMissing: a file is not on this machine.
            files.DataCorrupt: a file's checksum is wrong.
        """
        a = self.columns().double()
        a = torch.nn.functional.normalize(a - a.mean(0), dim=0)
        a = a / (2 * a.square().sum(1, keepdim=True)).sqrt()  # a Laplace source has variance 2
        draws = generator(0, type(self).__name__, self.points, self.sources, self.shape[0])
        pair = torch.rand(2, self.points, self.sources, generator=draws, dtype=torch.float64)
        s = (1 - pair[0]).log() - (1 - pair[1]).log()
        noise = torch.randn(self.points, len(a), generator=draws)
        x = (s @ a.T).float().add_(noise, alpha=NOISE)
        return Splits(TrainSplit(x), None, TestSplit(a.T.float().contiguous()))


class GaborMixture(_Mixture):
    """Mixtures whose filters are Gabor patches of random position, orientation, phase and size.

    The filters are the test points.

    Args:
        pixels: grey; values are real.
        side: height and width of an image.
        sources: number of sources K.
        points: number of training points.
    """

    @classmethod
    def tiny(cls) -> GaborMixture:
        """Return a few mixtures of 4 x 4 pixels."""
        return cls(side=4, sources=3, points=30)

    def columns(self) -> Float[Tensor, "d k"]:
        """Return the patches."""
        draws = generator(0, "GaborMixture", "filters", self.sources)
        u = torch.rand(6, self.sources, 1, generator=draws, dtype=torch.float64)
        axis = torch.linspace(-1, 1, self.shape[0], dtype=torch.float64)
        y, x = (t.flatten() for t in torch.meshgrid(axis, axis, indexing="ij"))
        x, y = x - (1.2 * u[0] - 0.6), y - (1.2 * u[1] - 0.6)
        angle, phase, wavelength = math.pi * u[2], 2 * math.pi * u[3], 0.5 + u[4]
        width = 0.25 + 0.2 * u[5]
        along = x * angle.cos() + y * angle.sin()
        window = (-(x.square() + y.square()) / (2 * width.square())).exp()
        return (window * (2 * math.pi * along / wavelength + phase).cos()).T


class NaturalMixture(_Mixture):
    """Mixtures whose filters FastICA estimates from patches of photographs (13 natural images).

    The filters are the test points.

    Args:
        pixels: grey; values are real.
        side: height and width of an image.
        sources: number of sources K.
        points: number of training points.
    """

    files = ("natural_images/natural_images_hyvarinen.npz",)

    @classmethod
    def tiny(cls) -> NaturalMixture:
        """Return a few mixtures of 4 x 4 pixels."""
        return cls(side=4, sources=3, points=30)

    def columns(self) -> Float[Tensor, "d k"]:
        """Return the mixing matrix that FastICA estimates from 10 000 random patches."""
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        found = files.arrays(self.files[0])
        images = [found[name] for name in sorted(found)]
        side = self.shape[0]
        if any(image.ndim != 2 or min(image.shape) < side for image in images) or not images:
            raise files.wrong(self.files[0], f"not images of at least {side} x {side} pixels")
        draws = np.random.default_rng(0)
        patches = np.empty((PATCHES, side**2))
        for patch, which in zip(patches, draws.integers(len(images), size=PATCHES), strict=True):
            image = images[which]
            top, left = (draws.integers(size - side + 1) for size in image.shape)
            patch[:] = image[top : top + side, left : left + side].reshape(-1)
        estimator = FastICA(
            self.sources, whiten="unit-variance", max_iter=200, tol=1e-3, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # convergence is not needed here
            estimator.fit(patches - patches.mean(1, keepdims=True))
        return torch.from_numpy(estimator.mixing_)
