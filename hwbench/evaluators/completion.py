"""Pattern completion: a model fills in the half of an image that it does not see."""

# Dims: N points, B points of a chunk, C chains, D observed units, U of them unseen, K components,
# F free units of a machine's visible side (the unseen ones first), H units of its hidden side.

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.evaluators.points import Kind, evaluating, mean_metric, points_of
from hwbench.numerics import stream
from hwbench.protocols import (
    BoltzmannMachine,
    Completer,
    Evaluation,
    Half,
    HeldOut,
    Mixture,
    Model,
    PicturingEvaluator,
    Size,
    half_of,
)

M = TypeVar("M", bound=Model)
Count = Annotated[int, Field(ge=1)]
CHUNK = 1000  # points, or chains of a machine, per call of the model
NEAREST = 1 / 510  # half a grey level
WITHOUT = "mse without a chain"


class Filled(NamedTuple):
    """A model's values for the unseen units.

    Attributes:
        ways: completions [B, U] by name; the one called `completion` is the main one.
        chains: [C, B, U]; if the completion is an estimate from chains, it is their mean.
    """

    ways: dict[str, Tensor]
    chains: Tensor | None = None


class PatternCompletion(PicturingEvaluator[M]):
    """Squared error of a completion, `mse` = Σ_i (x_i − m_i)² / U over the unseen units i.

    The conditional means m_i = E[x_i | seen units] have the least expected error. A sample from the
    same distribution has twice that error, although it looks more like an image, so completions are
    means. `cross_entropy` is −Σ_i (x_i log m_i + (1 − x_i) log(1 − m_i)) / U in nats. Its m_i are
    kept half a grey level (1/510) away from 0 and 1, since means of few neighbours can reach these.
    It scores the units separately and is not a likelihood of the half.

    `squared_error` is the error of each point. Images of a few evenly spaced points are kept: the
    `original`, its `seen` part, and the completions.

    Args:
        seen: the half of an image that the model sees; the middle of an odd size is seen.
        size: [height, width] of an image; a square by default.
        points: number of random points; all by default.
        pictures: number of points whose images are kept.
    """

    better: Literal["higher", "lower"] = "lower"
    kind: Kind = "exact"
    chunk = CHUNK
    metrics: tuple[str, ...] = ("mse", "cross_entropy")
    images: tuple[str, ...] = ("original", "seen", "completion")

    def __init__(
        self,
        seen: Half = "left",
        size: Size = None,
        points: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> None:
        self.seen, self.size, self.points, self.pictures = seen, size, points, pictures

    @abstractmethod
    def fill(self, model: M, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Filled:
        """Return the model's values for the unseen units, without using those of x."""

    def __call__(
        self,
        model: M,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `mse` and `cross_entropy` of the main completion, and of the others by name.

        Raises:
            ValueError: the images have a different size.
        """
        split = points_of(points, self.points, seed)
        device = split.values.device
        seen = half_of(self.seen, split.visible, self.size).to(device)
        kept = torch.linspace(0, len(split) - 1, min(self.pictures, len(split)), device=device)
        kept = kept.round().long()
        errors: dict[str, list[Tensor]] = {}
        images: dict[str, list[Tensor]] = {}
        with evaluating(stream(seed, "evaluate", "completion"), device):
            for index in torch.arange(len(split), device=device).split(self.chunk):
                x = split.batch(index)
                filled = self.fill(model, x, seen)
                for name, values in _errors(x[:, ~seen], filled).items():
                    errors.setdefault(name, []).append(values)
                few = kept[(kept >= index[0]) & (kept <= index[-1])] - index[0]
                for name, values in _images(x[few], seen, filled, few).items():
                    images.setdefault(name, []).append(values)
                progress((int(index[-1]) + 1) / len(split))
        found = {name: torch.cat(parts).cpu().numpy() for name, parts in errors.items()}
        mc_se, excess = _jackknife(found.pop(WITHOUT, None), found["mse"])
        out = Evaluation(
            {
                name: mean_metric(
                    values,
                    "score" if name.startswith("cross_entropy") else self.kind,
                    mc_se if name == "mse" else math.nan,
                )
                for name, values in found.items()
            },
            {name: torch.cat(parts).cpu().numpy() for name, parts in images.items()},
        )
        out.per_point["squared_error"] = found["mse"].astype(np.float32)
        height, width = self.size or [math.isqrt(split.visible)] * 2
        out.diagnostics = {"image_height": float(height), "image_width": float(width)}
        if not math.isnan(excess):
            out.diagnostics["excess_mse"] = excess
        return out


class Completion(PatternCompletion[Completer]):
    """`PatternCompletion` by a model with its own `complete`."""

    @classmethod
    def tiny(cls) -> Completion:
        """Return an evaluation that keeps few images."""
        return cls(pictures=3)

    def fill(self, model: Completer, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Filled:
        """Return the model's completion."""
        return Filled({"completion": model.complete(x, seen)[:, ~seen]})


class MixtureCompletion(PatternCompletion[Mixture]):
    """`PatternCompletion` by the exact conditional means of a mixture of Bernoullis.

    E[x_i | x_S] = Σ_c p(c | x_S) μ_ci; with one component this is the mean image.
    """

    @classmethod
    def tiny(cls) -> MixtureCompletion:
        """Return an evaluation that keeps few images."""
        return cls(pictures=3)

    def fill(self, model: Mixture, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Filled:
        """Return the components' means, weighted by their probabilities given the seen units."""
        logits = model.logits[:, seen]
        constant = model.weights.log_softmax(0) - F.softplus(logits).sum(1)
        shares = torch.addmm(constant, x[:, seen], logits.t()).softmax(1)  # [B, K]
        return Filled({"completion": shares @ model.logits[:, ~seen].sigmoid()})


class BoltzmannCompletion(PatternCompletion[BoltzmannMachine]):
    """`PatternCompletion` by an RBM or a deep Boltzmann machine, with the seen units clamped.

    The completion is the conditional mean as estimated by Gibbs sampling (`Clamped.gibbs`). Two
    further completions are reported: `mean_field`, and `draw`, the last state of a chain. The
    Monte Carlo error of `mse` is a jackknife over chains. `excess_mse` is the expected contribution
    of the chains' noise to `mse`, which would vanish for infinitely many chains.

    Args:
        chains: C, chains for each point.
        burn_in: sweeps before averaging.
        sweeps: sweeps to average over.
        iterations: largest number of mean-field iterations.
        tolerance: end mean field once units move by less than this on average.
    """

    kind = "estimate"
    metrics = (
        "mse",
        "mse_mean_field",
        "mse_draw",
        "cross_entropy",
        "cross_entropy_mean_field",
    )
    images = ("original", "seen", "completion", "mean_field", "draw")

    def __init__(
        self,
        seen: Half = "left",
        size: Size = None,
        points: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=50)] = 10,
        chains: Count = 20,
        burn_in: Annotated[int, Field(ge=0)] = 50,
        sweeps: Count = 50,
        iterations: Count = 500,
        tolerance: Annotated[float, Field(ge=0)] = 1e-6,
    ) -> None:
        super().__init__(seen, size, points, pictures)
        self.chains, self.burn_in, self.sweeps = chains, burn_in, sweeps
        self.iterations, self.tolerance = iterations, tolerance
        self.chunk = max(1, CHUNK // chains)

    @classmethod
    def tiny(cls) -> BoltzmannCompletion:
        """Return short chains."""
        return cls(pictures=3, chains=3, burn_in=10, sweeps=10)

    def fill(
        self, model: BoltzmannMachine, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]
    ) -> Filled:
        """Return the means over chains, the mean-field means, and the first chain's last state."""
        machine = Clamped(model, x, seen)
        free, _ = machine.mean_field(self.iterations, self.tolerance)
        means, states = machine.gibbs(self.chains, self.burn_in, self.sweeps)
        unseen = slice(means.shape[-1])
        ways = {
            "completion": means.mean(0),
            "mean_field": free[:, unseen],
            "draw": states[0, :, unseen],
        }
        return Filled(ways, means)


class Clamped:
    """p(f, h | x_S) of a Boltzmann machine: free units f and hidden side h, given the seen units.

        p(f, h | x_S) ∝ exp(b_F·f + (c + x_S W_S)·h + f W_F h)

    So each point has a separate machine, and the machines differ only in the biases of h. The
    free units are the unseen pixels and, in a deep machine, the even hidden layers.

    Attributes:
        weight: W_F [F, H].
        free_bias: b_F [F].
        hidden_bias: c + x_S W_S [B, H].
        start: [B, F], initial means: those of the data for pixels, and those of an upward pass for
            hidden layers, with the input from pixels doubled to replace that from the layer above.
    """

    def __init__(
        self, model: BoltzmannMachine, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]
    ) -> None:
        weight, visible_bias, hidden_bias = model.couplings()
        clamped = F.pad(seen, (0, len(visible_bias) - len(seen)))
        self.weight, self.free_bias = weight[~clamped], visible_bias[~clamped]
        self.hidden_bias = torch.addmm(hidden_bias, x[:, seen], weight[clamped])
        self.unseen = int((~seen).sum())
        pixels = torch.where(seen, x, model.data_means)
        doubled = torch.addmm(hidden_bias, pixels, weight[: len(seen)], alpha=2).sigmoid_()
        self.start = self.free_means(doubled)
        self.start[:, : self.unseen] = pixels[:, ~seen]

    def hidden_means(self, f: Float[Tensor, "*c b f"]) -> Float[Tensor, "*c b h"]:
        """Return p(h_j = 1 | f, x_S)."""
        return (f @ self.weight).add_(self.hidden_bias).sigmoid_()

    def free_means(self, h: Float[Tensor, "*c b h"]) -> Float[Tensor, "*c b f"]:
        """Return p(f_i = 1 | h)."""
        return (h @ self.weight.t()).add_(self.free_bias).sigmoid_()

    @torch.no_grad()
    def mean_field(
        self, iterations: int, tolerance: float = 0.0
    ) -> tuple[Float[Tensor, "b f"], Float[Tensor, "b h"]]:
        """Return the means of a factorised q(f, h), at a fixed point if it converged.

        Both sides are updated in turn, so no iteration lowers E_q[−E] + H(q).
        """
        f = self.start
        for _ in range(iterations):
            h, old = self.hidden_means(f), f
            f = self.free_means(h)
            if tolerance > 0 and float((f - old).abs().mean()) < tolerance:
                break
        return f, h

    @torch.no_grad()
    def gibbs(
        self, chains: int, burn_in: int, sweeps: int
    ) -> tuple[Float[Tensor, "c b u"], Float[Tensor, "c b f"]]:
        """Return each chain's average of p(x_i = 1 | h) over `sweeps` sweeps, and its last state.

        They are preceded by `burn_in` sweeps from independent units with means `start`. The average
        of conditional means varies less than that of the states (Rao & Blackwell).
        """
        f = self.start.expand(chains, -1, -1).bernoulli()
        total = torch.zeros_like(f[..., : self.unseen])
        for sweep in range(burn_in + sweeps):
            means = self.free_means(_draw(self.hidden_means(f)))
            if sweep >= burn_in:
                total += means[..., : self.unseen]
            f = _draw(means)
        return total / sweeps, f


def _draw(means: Tensor) -> Tensor:
    """Return Bernoulli(means) draws."""
    return (torch.rand_like(means) < means).to(means.dtype)


def _errors(x: Float[Tensor, "b u"], filled: Filled) -> dict[str, Tensor]:
    """Return the errors of each point, [B], and its squared error without each chain, [B, C]."""
    errors = {}
    for name, means in filled.ways.items():
        suffix = "" if name == "completion" else f"_{name}"
        errors[f"mse{suffix}"] = (x - means).double().square().mean(1)
        if name != "draw":  # A draw of zeros and ones has no useful cross-entropy.
            inside = means.double().clamp(NEAREST, 1 - NEAREST)
            entropy = F.binary_cross_entropy(inside, x.double(), reduction="none")
            errors[f"cross_entropy{suffix}"] = entropy.mean(1)
    if filled.chains is not None and len(filled.chains) > 1:
        others = (filled.chains.sum(0) - filled.chains) / (len(filled.chains) - 1)
        errors[WITHOUT] = (x - others).double().square().mean(2).t()
    return errors


def _images(
    x: Float[Tensor, "n d"], seen: Bool[Tensor, "d"], filled: Filled, few: Integer[Tensor, "n"]
) -> dict[str, Tensor]:
    """Return the images to keep, as bytes; unseen pixels of the image `seen` are −1."""
    grey = (255 * x).round().to(torch.int16)
    images = {"original": grey.to(torch.uint8), "seen": torch.where(seen, grey, -1)}
    for name, means in filled.ways.items():
        whole = x.clone()
        whole[:, ~seen] = means[few].to(x.dtype)
        images[name] = (255 * whole).round().to(torch.uint8)
    return images


def _jackknife(without: np.ndarray | None, errors: np.ndarray) -> tuple[float, float]:
    """Return the Monte Carlo error of the mean squared error, and its bias due to noise.

    This is Quenouille's and Tukey's jackknife over C chains. The squared error of a mean of C
    independent chains is quadratic in them, so the estimate of its bias is unbiased.

    Args:
        without: [N, C], the squared error of each point when each chain is left out.
        errors: [N], the squared error with all chains.
    """
    if without is None:
        return math.nan, math.nan
    each = without.mean(0)
    chains = len(each)
    variance = (chains - 1) / chains * float(np.square(each - each.mean()).sum())
    return math.sqrt(variance), (chains - 1) * float(each.mean() - errors.mean())
