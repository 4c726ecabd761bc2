"""Amortised learning by wake-sleep: gradients of log p(x) by kernel ridge regression on dreams.

Dims: N dreams, B points, V held-out dreams, D observed units, S statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.optim.adam import adam

from hwbench.kernels import (
    MOST,
    ExactRidge,
    FeatureRidge,
    Kernel,
    Ridge,
    fourier_features,
    linear_features,
    median_distance,
)
from hwbench.protocols import Dreamer, ExponentialDreamer, Latents, LogJointRule, TrainSplit

Positive = Annotated[float, Field(gt=0)]
START = 0.01  # standard deviation of initial weights of linear features
TRAINED = ("weight", "gain", "log_width", "log_ridge")  # of an adaptive kernel


class Targets(NamedTuple):
    """What is regressed: log p(x', h_n) = η_n·S(x') − Ψ_n, at dreams n, as a function of x'.

    Attributes:
        natural: η [N, S]; in the plain form there are no statistics, S = 0.
        normaliser: Ψ [N]; in the plain form −log p(x_n, h_n).
    """

    natural: Tensor
    normaliser: Tensor

    def at(self, statistics: Float[Tensor, "b s"]) -> Float[Tensor, "n b"]:
        """Return the target of each dream for each point."""
        return self.natural @ statistics.T - self.normaliser[:, None]


class AmortisedLearning(LogJointRule[Dreamer]):
    """Amortised learning by wake-sleep (Wenliang, Moskovitz, Kanagawa & Sahani, 2020).

    At every step the model dreams x_n, h_n ~ p_θ, n = 1 … N. Ridge regression of log p_θ(x, h) on x
    estimates its expectation under p_θ(h | x), whose gradient is that of log p_θ(x):

        α(x) = (K + λI)⁻¹ k(X, x),   K_nm = k(x_n, x_m)
        f̂_θ(x) = Σ_n α_n(x) log p_θ(x_n, h_n)                       plain
        f̂_θ(x) = Σ_n α_n(x) [η_θ(h_n)·S(x) − Ψ_θ(h_n) + log p_θ(h_n)]   exponential
        θ ascends mean_x ∇_θ f̂_θ(x),   α held constant

    The loss is −f̂, averaged over the batch. f̂ is an estimated log joint, no log-likelihood, and
    only valid at the θ that dreamt.

    An adaptive kernel takes a step of Adam by mean_v (f̂(x_v) − log p(x_v, h_v))², over V fresh
    dreams, after each estimate; the targets are constant. (In some of the authors' notebooks every
    target is compared with the mean prediction, a slip.) Its linear features, log σ and log λ are
    buffers of the rule, and the gradient for θ does not touch them.

    Args:
        samples: dreams N at each step.
        form: the exponential form needs an `ExponentialDreamer`.
        kernel: its shape and features; a Gaussian one on x itself by default.
        ridge: λ, without a factor N; where it starts if the kernel is adaptive.
        width: σ; `median` is the median distance of features of the dreams, taken at every step,
            or before the first one if the kernel is adaptive.
        adaptive: learn the kernel.
        validation: dreams V that an adaptive kernel is judged by.
        kernel_lr: its learning rate.

    Raises:
        ValueError: an argument is out of range or contradicts another.
    """

    rounds = False

    steps: Tensor
    weight: Tensor | None  # [D, units]
    gain: Tensor | None  # [units]
    frequencies: Tensor | None  # [D or units, F]
    phases: Tensor | None  # [F]
    log_width: Tensor | None
    log_ridge: Tensor

    def __init__(
        self,
        samples: Annotated[int, Field(ge=2)] = 2000,
        form: Literal["plain", "exponential"] = "plain",
        kernel: Kernel | None = None,
        ridge: Positive = 1e-3,
        width: Literal["median"] | Positive = "median",
        adaptive: bool = False,
        validation: Annotated[int, Field(ge=1)] | None = None,
        kernel_lr: Positive = 1e-3,
    ) -> None:
        super().__init__()
        kernel = kernel or Kernel()
        if samples < 2:
            raise ValueError(f"AmortisedLearning: samples must be at least 2 (found {samples})")
        if kernel.features is None and samples > MOST:
            raise ValueError(
                f"AmortisedLearning: an exact Gram matrix takes at most {MOST} samples (found "
                f"{samples}); for more, use kernel: {{shape: fourier, features: …}}"
            )
        if kernel.features is not None and kernel.features > samples:
            raise ValueError(
                f"AmortisedLearning: samples must be at least the kernel's features (found "
                f"{samples} samples, {kernel.features} features)"
            )
        if ridge <= 0:
            raise ValueError(f"AmortisedLearning: ridge must be above 0 (found {ridge})")
        if width != "median" and width <= 0:
            raise ValueError(f"AmortisedLearning: width must be above 0 (found {width})")
        if adaptive != (validation is not None):
            raise ValueError(
                "AmortisedLearning: adaptive needs validation, the number of held-out dreams, and "
                f"nothing else does (found {adaptive=}, {validation=})"
            )
        self.samples, self.form, self.kernel, self.width = samples, form, kernel, width
        self.adaptive, self.validation, self.kernel_lr = adaptive, validation or 0, kernel_lr
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("log_ridge", torch.tensor(ridge).log())
        for name in ("weight", "gain", "frequencies", "phases", "log_width"):
            self.register_buffer(name, None)

    @classmethod
    def tiny(cls) -> AmortisedLearning:
        """Return a rule with an adaptive kernel on two linear features."""
        return cls(samples=64, kernel=Kernel(units=2), adaptive=True, validation=16)

    def check(self, model: Dreamer) -> None:
        """Reject a model with random weights, or without the exponential form if that is required.

        Raises:
            ValueError: the model is not an `ExponentialDreamer`, or has random weights.
        """
        name = type(model).__name__
        if self.form == "exponential" and not isinstance(model, ExponentialDreamer):
            raise ValueError(
                f"form: exponential needs an ExponentialDreamer; {name} is none, so use form: plain"
            )
        if "generative" in getattr(model, "random", ()):
            raise ValueError(
                f"{name} draws its generative weights anew for each density, so a dream has no "
                "log joint to regress; use fixed generative weights"
            )

    @torch.no_grad()
    def begin(self, model: Dreamer, train: TrainSplit) -> None:
        """Draw the kernel's features; for an adaptive kernel, dream to find its first width.

        Raises:
            ValueError: see `check`; or all dreams are alike.
        """
        self.check(model)
        x, _ = model.dream(self.samples)
        size = self.kernel.units or model.visible
        if self.kernel.units:
            self.weight = START * torch.randn(model.visible, size).to(x)
            self.gain = x.new_ones(size) if self.kernel.normalised else None
        if self.kernel.features is not None:
            self.frequencies = torch.randn(size, self.kernel.features).to(x)
            self.phases = (2 * torch.pi * torch.rand(self.kernel.features)).to(x)
        if self.adaptive:
            self.log_width = self._width(self._linear(x, x)[0]).log().to(x)
            for name in self._trained():
                for moment in ("mean", "square"):
                    value = torch.zeros_like(getattr(self, name))
                    self.register_buffer(f"{name}_{moment}", value)

    def forward(self, model: Dreamer, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return −f̂, averaged over the batch.

        It never holds a tensor [N, B, S]: with α averaged over points, f̂ = ⟨α S(x), η⟩ − α·Ψ.
        """
        targets, weights = self._regress(model, x)
        weights = weights / len(x)
        by_statistics = weights @ self._statistics(model, x)  # [N, S]
        f = (by_statistics * targets.natural).sum() - weights.sum(1) @ targets.normaliser
        return -f

    def estimate(self, model: Dreamer, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return f̂ of each point."""
        targets, weights = self._regress(model, x)
        natural = weights.T @ targets.natural  # [B, S]
        return (natural * self._statistics(model, x)).sum(1) - weights.T @ targets.normaliser

    # --- sleep and regression

    def _regress(
        self, model: Dreamer, x: Float[Tensor, "b d"]
    ) -> tuple[Targets, Float[Tensor, "n b"]]:
        """Dream; return the targets, with gradients to θ, and the constant weights α(x)."""
        self.steps += 1
        dreams, h = model.dream(self.samples)
        targets = self._targets(model, dreams, h)
        if not self.adaptive:
            with torch.no_grad():
                regression, psi = self._regression(dreams, x)
            return targets, regression.weights(psi).to(x)
        held_out, h_v = model.dream(self.validation)
        kernel = [getattr(self, name) for name in self._trained()]
        with torch.enable_grad():
            for parameter in kernel:
                parameter.requires_grad_()
            regression, psi = self._regression(dreams, torch.cat([x, held_out]))
            weights = regression.weights(psi)
            wake, judged = weights.split([len(x), self.validation], dim=1)
            gradient = self._loss_gradient(model, targets, judged, held_out, h_v)
            loss = regression.surrogate(psi[len(x) :], judged, gradient)
            gradients = torch.autograd.grad(loss, kernel)
            for parameter in kernel:
                parameter.requires_grad_(False)
        self._step(kernel, gradients)
        return targets, wake.to(x)

    @torch.no_grad()
    def _loss_gradient(
        self, model: Dreamer, targets: Targets, weights: Tensor, x: Tensor, h: Latents
    ) -> Float[Tensor, "n v"]:
        """Return the gradient of mean_v (f̂(x_v) − log p(x_v, h_v))² by the weights α(x_v)."""
        own, statistics = self._targets(model, x, h), self._statistics(model, x)
        wanted = (own.natural * statistics).sum(1) - own.normaliser
        terms = targets.at(statistics)
        error = (weights * terms).sum(0) - wanted
        return terms * (2 / len(x) * error)

    def _targets(self, model: Dreamer, x: Float[Tensor, "n d"], h: Latents) -> Targets:
        if self.form == "exponential":
            assert isinstance(model, ExponentialDreamer)
            return Targets(model.natural(h), model.normaliser(h))
        log_p = model.log_joint(x, [h_l[None] for h_l in h])[0]
        return Targets(x.new_empty(len(x), 0), -log_p)

    def _statistics(self, model: Dreamer, x: Float[Tensor, "b d"]) -> Float[Tensor, "b s"]:
        if self.form == "exponential":
            assert isinstance(model, ExponentialDreamer)
            return model.statistics(x)
        return x.new_empty(len(x), 0)

    # --- the kernel

    def _linear(self, dreams: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.weight is None:
            return dreams, x
        return linear_features(dreams, x, self.weight, self.gain)

    def _width(self, phi: Tensor) -> Float[Tensor, ""]:
        """Return σ of a kernel on features φ of dreams.

        Raises:
            ValueError: the median distance is 0.
        """
        if self.log_width is not None:
            return self.log_width.exp()
        width = median_distance(phi) if self.width == "median" else phi.new_tensor(self.width)
        if not width > 0:
            raise ValueError(
                f"AmortisedLearning: at step {int(self.steps)} most of the {self.samples} dreams "
                "are alike, so their median distance is 0; give the width as a number, or start "
                "the model where its dreams differ"
            )
        return width

    def _regression(self, dreams: Tensor, x: Tensor) -> tuple[Ridge, Tensor]:
        """Return the regression on the dreams, and the features of points x."""
        phi, psi = (features.double() for features in self._linear(dreams, x))
        centre = phi.detach().mean(0) * (self.kernel.shape != "polynomial")  # for rounding only
        phi, psi = phi - centre, psi - centre
        width, ridge = self._width(phi), self.log_ridge.exp()
        if self.frequencies is None or self.phases is None:
            return ExactRidge(phi, self.kernel, width, ridge), psi
        frequencies, phases = self.frequencies.double(), self.phases.double()
        phi, psi = (
            fourier_features(features, frequencies, phases, width, self.kernel.scaled)
            for features in (phi, psi)
        )
        return FeatureRidge(phi, ridge), psi

    def _trained(self) -> list[str]:
        return [name for name in TRAINED if getattr(self, name) is not None]

    @torch.no_grad()
    def _step(self, kernel: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Take a step of Adam by the kernel's parameters, in place."""
        names = self._trained()
        adam(
            list(kernel),
            list(gradients),
            [getattr(self, f"{name}_mean") for name in names],
            [getattr(self, f"{name}_square") for name in names],
            [],
            [self.steps.float() - 1 for _ in names],  # steps before this one
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.kernel_lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
