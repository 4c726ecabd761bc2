"""Kernel ridge regression: kernels, their widths, the weights α(x), and the gradient of these.

Everything is computed in float64. Dims: N samples, M points, D features of a point, F random ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import ConfigDict, Field
from torch import Tensor

MOST = 5000  # samples of an exact Gram matrix, 200 MB in float64
JITTER = (0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)  # times the mean of the diagonal
MIRRORED = 512  # rows of a matrix that are mirrored at once
PAIRED = 1000  # samples whose distances determine the median

Count = Annotated[int, Field(ge=1)]
Shape = Literal["gaussian", "matern12", "matern32", "matern52", "polynomial", "fourier"]


@dataclass(frozen=True)
class Kernel:
    """A kernel k(φ(x), φ(y)) of width σ.

    With r = ‖φ(x) − φ(y)‖ / σ the shapes are

        gaussian     exp(−r²/2)
        matern12     exp(−r)
        matern32     (1 + √3 r) exp(−√3 r)
        matern52     (1 + √5 r + 5 r²/3) exp(−√5 r)
        polynomial   (1 + φ(x)·φ(y) / σ²)^degree
        fourier      Σ_f ψ_f(x) ψ_f(y),   ψ_f(x) = √(2/F) cos(w_f·φ(x)/σ + b_f),   w_f ~ N(0, I)

    Attributes:
        shape: one of these.
        degree: degree of the polynomial.
        features: the number F of random Fourier features (Rahimi & Recht, 2007), which approximate
            the Gaussian kernel.
        scaled: without it, the factor √(2/F) is left out, as in the code of Wenliang et al. (2020):
            then a ridge λ acts like 2λ/F on the normalised kernel.
        units: φ(x) = W x has this many units; 0 for φ(x) = x. Several blocks of units whose squared
            distances add are one block of all their units.
        normalised: standardise the units over the samples, with a gain for each (batch
            normalisation; shifts cancel in distances).

    Raises:
        ValueError: `features` is missing for the shape `fourier`, or given for another.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    shape: Shape = "gaussian"
    degree: Count = 2
    features: Count | None = None
    scaled: bool = True
    units: Annotated[int, Field(ge=0)] = 0
    normalised: bool = True

    def __post_init__(self) -> None:
        if self.degree < 1:
            raise ValueError(f"kernel: degree must be at least 1 (found {self.degree})")
        if (self.features is None) == (self.shape == "fourier"):
            raise ValueError(
                "kernel: the shape fourier needs features, the number of random ones, and no other "
                f"has them (found {self.shape} with features {self.features})"
            )


# --- shapes as functions of u = r², or of u = φ(x)·φ(y)/σ² for polynomials; κ may overwrite u


class Profile(NamedTuple):
    """A shape as the function κ(u), with its derivative."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


def _matern12_slope(u: Tensor) -> Tensor:
    r = u.sqrt()
    return torch.where(u > 0, -(-r).exp() / (2 * r), 0.0)  # At u = 0 the distance has no slope.


def _matern32(u: Tensor) -> Tensor:
    t = u.mul_(3).sqrt_()
    return (-t).exp_().mul_(t.add_(1))


def _matern52(u: Tensor) -> Tensor:
    t = (5 * u).sqrt_()
    return (-t).exp_().mul_(u.mul_(5 / 3).add_(t).add_(1))


def profile(kernel: Kernel) -> Profile:
    """Return κ and its derivative, for a kernel with an exact Gram matrix."""
    degree = kernel.degree
    return {
        "gaussian": Profile(lambda u: u.mul_(-0.5).exp_(), lambda u: -0.5 * (-0.5 * u).exp()),
        "matern12": Profile(lambda u: u.sqrt_().neg_().exp_(), _matern12_slope),
        "matern32": Profile(_matern32, lambda u: -1.5 * (-(3 * u).sqrt()).exp()),
        "matern52": Profile(
            _matern52, lambda u: -5 / 6 * (1 + (5 * u).sqrt()) * (-(5 * u).sqrt()).exp()
        ),
        "polynomial": Profile(
            lambda u: u.add_(1).pow_(degree), lambda u: degree * (1 + u) ** (degree - 1)
        ),
    }[kernel.shape]


# --- features


def linear_features(
    samples: Float[Tensor, "n d"],
    points: Float[Tensor, "m d"],
    weight: Float[Tensor, "d u"],
    gain: Float[Tensor, "u"] | None,
) -> tuple[Tensor, Tensor]:
    """Return the units of samples and points; with a gain, standardised by the samples' moments."""
    phi, psi = samples @ weight, points @ weight
    if gain is None:
        return phi, psi
    variance, mean = torch.var_mean(phi, 0, correction=0)
    scale = gain * (variance + 1e-5).rsqrt()
    return (phi - mean) * scale, (psi - mean) * scale


def fourier_features(
    phi: Float[Tensor, "n d"],
    frequencies: Float[Tensor, "d f"],
    phases: Float[Tensor, "f"],
    width: Float[Tensor, ""],
    scaled: bool,
) -> Float[Tensor, "n f"]:
    """Return ψ(x) of each sample."""
    waves = (phi @ frequencies / width + phases).cos()
    return waves * math.sqrt(2 / len(phases)) if scaled else waves


def squared_distances(phi: Float[Tensor, "n d"], psi: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return ‖φ_n − ψ_m‖², in one matrix."""
    out = phi.square().sum(1)[:, None] + psi.square().sum(1)
    out.addmm_(phi, psi.T, alpha=-2).clamp_min_(0)
    return out.fill_diagonal_(0) if psi is phi else out  # The difference of squares only rounds.


def median_distance(phi: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return the median distance of two of the samples (of the first 1000)."""
    some = (phi - phi.mean(0))[:PAIRED]
    above = torch.ones(len(some), len(some), dtype=torch.bool, device=phi.device).triu_(1)
    return squared_distances(some, some)[above].median().sqrt()


# --- regression


class Ridge(ABC):
    """Ridge regression on N samples: a target y [N] is predicted as α(x)·y.

    Features, width and ridge may carry gradients: they reach `surrogate`, and never the weights.

    Attributes:
        phi: [N, D], features of the samples.
        ridge: λ, added to the diagonal without a factor N.
    """

    phi: Tensor
    ridge: Tensor

    @abstractmethod
    def weights(self, psi: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Return α(x) = (K + λI)⁻¹ k(X, x) of points with features ψ, detached."""

    @abstractmethod
    def surrogate(
        self,
        psi: Float[Tensor, "m d"],
        weights: Float[Tensor, "n m"],
        gradient: Float[Tensor, "n m"],
    ) -> Float[Tensor, ""]:
        """Return a number with the gradient of ⟨G, α⟩ by features, width and ridge.

        With B = (K + λI)⁻¹ G and A = α, both constant, that gradient is the one of

            ⟨B, k⟩ − ⟨B Aᵀ, K⟩ − λ tr(B Aᵀ),

        so nothing is differentiated through a factorisation.

        Args:
            psi: features of the points, with gradients.
            weights: A, their weights.
            gradient: G, the gradient of some loss by the weights.
        """


class ExactRidge(Ridge):
    """Ridge regression with the Gram matrix of the samples."""

    def __init__(
        self,
        phi: Float[Tensor, "n d"],
        kernel: Kernel,
        width: Float[Tensor, ""],
        ridge: Float[Tensor, ""],
    ) -> None:
        self.phi, self.width, self.ridge = phi.double(), width.double(), ridge.double()
        self.profile = profile(kernel)
        self.product = kernel.shape == "polynomial"
        with torch.no_grad():
            self.factor = cholesky(
                lambda: self.profile.value(self._scaled(self.phi)), self.ridge, self.width
            )

    def _scaled(self, psi: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Return u of all pairs."""
        u = self.phi @ psi.T if self.product else squared_distances(self.phi, psi)
        return u.div_(self.width.square())

    @torch.no_grad()
    def weights(self, psi: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Return (K + λI)⁻¹ k(X, x)."""
        return solve(self.factor, self.profile.value(self._scaled(psi.double())))

    def surrogate(
        self,
        psi: Float[Tensor, "m d"],
        weights: Float[Tensor, "n m"],
        gradient: Float[Tensor, "n m"],
    ) -> Float[Tensor, ""]:
        """Return a number with the gradient of ⟨G, α⟩; see `Ridge`."""
        with torch.no_grad():
            b = solve(self.factor, gradient.double())
            trace = (b * weights).sum()
        across = self._pairs(b, psi.double())
        return across - self._pairs(b @ weights.T, self.phi) - self.ridge * trace

    def _pairs(self, b: Float[Tensor, "n m"], psi: Tensor) -> Float[Tensor, ""]:
        """Return a number with the gradient of ⟨B, κ(u)⟩, linear in u: its slope is constant."""
        with torch.no_grad():
            u = self._scaled(psi)
            c = self.profile.slope(u).mul_(b)
            by_width = -2 * (c * u).sum() / self.width  # u falls with σ²
            c.div_(self.width.square())
        out = -2 * ((c @ psi) * self.phi).sum()
        if self.product:
            return -0.5 * out + by_width * self.width
        squares = self.phi.square().sum(1), psi.square().sum(1)
        return out + c.sum(1) @ squares[0] + c.sum(0) @ squares[1] + by_width * self.width


class FeatureRidge(Ridge):
    """Ridge regression with F explicit features: K = Φ Φᵀ, by a system of F equations."""

    def __init__(self, phi: Float[Tensor, "n f"], ridge: Float[Tensor, ""]) -> None:
        self.phi, self.ridge = phi.double(), ridge.double()
        with torch.no_grad():
            self.factor = cholesky(lambda: self.phi.T @ self.phi, self.ridge)

    @torch.no_grad()
    def weights(self, psi: Float[Tensor, "m f"]) -> Float[Tensor, "n m"]:
        """Return Φ (ΦᵀΦ + λI)⁻¹ ψ(x)."""
        return self.phi @ solve(self.factor, psi.double().T)

    def surrogate(
        self,
        psi: Float[Tensor, "m f"],
        weights: Float[Tensor, "n m"],
        gradient: Float[Tensor, "n m"],
    ) -> Float[Tensor, ""]:
        """Return a number with the gradient of ⟨G, α⟩; see `Ridge`."""
        with torch.no_grad():
            g = gradient.double()
            b = (g - self.phi @ solve(self.factor, self.phi.T @ g)) / self.ridge
            trace = (b * weights).sum()
        residual = psi.double() - weights.T @ self.phi
        return ((b.T @ self.phi) * residual).sum() - self.ridge * trace


def factor_in_place(
    matrix: Float[Tensor, "n n"],
) -> tuple[Float[Tensor, "n n"], Int[Tensor, ""]]:
    """Return the Cholesky factor of a matrix in its own memory, and LAPACK's info, 0 on success.

    Of the matrix only the lower triangle counts. LAPACK takes memory column by column, so the
    transpose is factored, after the lower triangle has been mirrored: the numbers are those of
    `torch.linalg.cholesky_ex(matrix)`, which would need a second matrix, bit for bit.

    >>> factor_in_place(torch.tensor([[4.0, 9.0], [2.0, 5.0]]))[0].tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    n = len(matrix)
    for start in range(0, n, MIRRORED):
        here, rest = slice(start, start + MIRRORED), slice(start + MIRRORED, n)
        matrix[here, rest] = matrix[rest, here].mT
        matrix[here, here] = matrix[here, here].tril().mT
    factor = matrix.mT
    info = torch.empty((), dtype=torch.int32, device=matrix.device)
    torch.linalg.cholesky_ex(factor, out=(factor, info))
    return factor, info


def cholesky(
    build: Callable[[], Float[Tensor, "n n"]],
    ridge: Float[Tensor, ""],
    width: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "n n"]:
    """Return the Cholesky factor of K + λI, with as little jitter as it takes.

    Args:
        build: returns K, once for each attempt; its factor takes its memory.
        ridge: λ.
        width: σ, for the message.

    Raises:
        ValueError: K + λI is not positive definite even with a jitter of 1e-4 of its mean diagonal.
    """
    for jitter in JITTER:
        matrix = build()  # The factor takes its memory.
        diagonal = matrix.diagonal()
        diagonal.add_(ridge + jitter * diagonal.mean())
        factor, info = factor_in_place(matrix)
        if int(info) == 0 and bool(factor.diagonal().isfinite().all()):
            return factor
    of_width = "" if width is None else f", σ = {float(width):.3g}"
    raise ValueError(
        f"the matrix of {len(matrix)} samples is not positive definite at λ = {float(ridge):.3g}"
        f"{of_width}, even with a jitter of {JITTER[-1]:g} of its mean diagonal; raise the ridge λ"
    )


def solve(factor: Float[Tensor, "n n"], b: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Return (L Lᵀ)⁻¹ B as `torch.cholesky_solve` does, which would copy the factor L."""
    half = torch.linalg.solve_triangular(factor, b, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)
