"""Common base of binary machines that are learned greedily, one RBM at a time."""

# Dims: B points, D observed units, H units of a layer.

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.protocols import (
    Couplings,
    EnergyModel,
    GenerativeModel,
    Stack,
    TrainSplit,
    labelled_part,
)

Count = Annotated[int, Field(ge=1)]
T = TypeVar("T", bound="BinaryStack")


class BinaryStack(Stack, GenerativeModel):
    """Binary layers with weights W_l between h_{l−1} and h_l, which subclasses use differently.

    Args:
        layers: units of the hidden layers, the one next to the data first.
        init: standard deviation of the initial weights.
        visible_bias: start b_0 at the log odds of the training pixels, or at zero.
    """

    data_means: Tensor
    observed: Literal["binary", "real"] = "binary"

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        layers: list[Count],
        init: Annotated[float, Field(ge=0)] = 0.01,
        visible_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__()
        self.visible, self.layers, self.start_at = visible, layers, visible_bias
        sizes = [visible, *layers]
        self.weights = nn.ParameterList(init * torch.randn(a, b) for a, b in pairwise(sizes))
        self.add_biases(sizes)
        self.register_buffer("data_means", torch.full((visible,), 0.5))

    @abstractmethod
    def add_biases(self, sizes: list[int]) -> None:
        """Create the other parameters; `sizes` are the units of h_0, …, h_L.

        Raises:
            ValueError: these sizes are not valid for the machine.
        """

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return four visible units, and hidden layers of three and two."""
        return cls(visible=4, layers=[3, 2])

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Store the pixel means and start the visible biases from them.

        Raises:
            ValueError: a pixel is not between 0 and 1.
        """
        check_pixels(type(self).__name__, train)
        self.data_means.copy_(train.means())
        if self.start_at == "data":
            bias = self.pair(1).couplings().visible_bias
            bias.copy_(self.data_means.clamp(0.01, 0.99).logit())

    @abstractmethod
    def rbm(self, layer: int) -> tuple[Couplings, float, float]:
        """Return the parameters between h_{layer−1} and h_layer, and the scales s and s'.

        In pretraining the units above have log odds s (x W + c), and those below s' (h Wᵀ + b).
        """

    def pair(self, layer: int) -> _Pair:
        """Return the RBM between h_{layer−1} and h_layer in the form used by pretraining.

        Raises:
            ValueError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ValueError(
                f"{type(self).__name__}.pair: expected a layer from 1 to {len(self.layers)}; "
                f"{layer=}"
            )
        couplings, up, down = self.rbm(layer)
        return _Pair(couplings, self.data_means, scale_up=up, scale_down=down)

    def upwards(self, layer: int, below: Float[Tensor, "b d"]) -> Float[Tensor, "b h"]:
        """Return the log odds of h_layer in an upward pass; by default those of its RBM."""
        return self.pair(layer).up(below)

    @torch.no_grad()
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of h_layer, computed layer by layer from means; x for layer 0."""
        for number in range(1, layer + 1):
            x = self.upwards(number, x).sigmoid_()
        return x

    @torch.no_grad()
    def below(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Draw h_{layer−1} for points x, whose pixels are drawn first, anew each time."""
        x = bernoulli(x)
        return x if layer == 1 else bernoulli(self.ascend(x, layer - 1))


class _Pair(EnergyModel):
    """The RBM of one step of pretraining; its conditionals do not derive from a single energy.

    Its free energy −b·x − Σ_j softplus(s (c_j + x·W_j)) / s, s = `scale_up`, has the usual gradient
    −x σ(s (c + x W))ᵀ. For s = 2 this is the gradient of an RBM with two copies of x and tied
    weights.
    """

    def __init__(
        self,
        couplings: Couplings,
        data_means: Tensor,
        scale_up: float = 1.0,
        scale_down: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight, self.visible_bias, self.hidden_bias = couplings
        self.scale_up, self.scale_down, self.data_means = scale_up, scale_down, data_means
        self.visible = len(self.visible_bias)

    @classmethod
    def tiny(cls) -> _Pair:
        """Return four units below and three above."""
        return cls(Couplings(torch.zeros(4, 3), torch.zeros(4), torch.zeros(3)), torch.zeros(4))

    def couplings(self) -> Couplings:
        """Return W, b and c, before any doubling."""
        return Couplings(self.weight, self.visible_bias, self.hidden_bias)

    def up(self, x: Tensor) -> Tensor:
        """Return the log odds of the units above."""
        return self.scale_up * torch.addmm(self.hidden_bias, x, self.weight)

    def down(self, h: Tensor) -> Tensor:
        """Return the log odds of the units below."""
        return self.scale_down * torch.addmm(self.visible_bias, h, self.weight.t())

    def free_energy(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return the free energy of the class docstring, in the weights' precision."""
        x = x.to(self.weight.dtype)
        return -(x @ self.visible_bias) - F.softplus(self.up(x)).sum(1) / self.scale_up

    @torch.no_grad()
    def gibbs(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b d"]:
        """Return the units below after k sweeps up and down, detached, in the precision of x."""
        weight, b, c = (p.to(x.dtype) for p in self.couplings())
        for _ in range(k):
            h = draw(torch.addmm(c, x, weight), self.scale_up)
            x = draw(torch.addmm(b, h, weight.t()), self.scale_down)
        return x

    @torch.no_grad()
    def contrast(
        self, x: Float[Tensor, "b d"], negative: Float[Tensor, "n d"]
    ) -> Float[Tensor, ""]:
        """Add the gradient of mean F(x) − mean F(negative) to `.grad`; return it, detached.

        ∇_W F(x) = −x σ(s (c + x W))ᵀ, so one matrix product serves both.
        """
        both = torch.cat([x, negative]).to(self.weight.dtype)
        sign = signs(len(x), len(negative), both)
        logits = self.up(both)
        value = sign @ (both @ self.visible_bias + F.softplus(logits).sum(1) / self.scale_up)
        h = logits.sigmoid_().mul_(sign[:, None])
        add_grad(self.weight, both.t() @ h)
        add_grad(self.visible_bias, sign @ both)
        add_grad(self.hidden_bias, h.sum(0))
        return value

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return means of the units below after 1000 sweeps from fair coins."""
        start = self.weight.new_full((n, self.visible), 0.5).bernoulli()
        return self.down(draw(self.up(self.gibbs(start, 1000)))).sigmoid_()


def check_pixels(name: str, train: TrainSplit) -> None:
    """Reject points that cannot be means of binary units.

    Raises:
        ValueError: a pixel is not between 0 and 1.
    """
    parts = (train, labelled_part(train))  # Moving images are raw; images at rest are real.
    ends = torch.tensor([[float(v) / p.scale for v in p.values.aminmax()] for p in parts])
    low, high = ends[:, 0].min().item(), ends[:, 1].max().item()
    if low < 0 or high > 1:
        raise ValueError(
            f"{name}: its visible units are binary, so pixels lie between 0 and 1; found "
            f"{low:g} to {high:g}; scale the images, or put a Gaussian layer first"
        )


def bernoulli(means: Tensor) -> Tensor:
    """Return Bernoulli(means) draws; u < mean takes a third of the time of torch.bernoulli."""
    u = torch.rand_like(means)
    return torch.lt(u, means, out=u)


def draw(logits: Tensor, scale: float = 1.0) -> Tensor:
    """Return Bernoulli(σ(scale · logits)) draws of the same type; overwrites the logits.

    For bfloat16 logits, probabilities are rounded to multiples of 1/65536. Random numbers of 16
    bits, which the generator produces four at a time, suit their precision.
    """
    if logits.dtype != torch.bfloat16:
        return bernoulli(logits.mul_(scale).sigmoid_())
    means = logits.float().mul_(scale).sigmoid_()
    words = torch.empty(-(-means.numel() // 4), dtype=torch.int64, device=means.device)
    bits = words.random_(-(2**63), None).view(torch.int16)[: means.numel()].view_as(means)
    return (bits < means.mul_(2**16).sub_(2**15 + 0.5)).bfloat16()


def signs(positive: int, negative: int, like: Tensor) -> Tensor:
    """Return weights that turn a sum over both parts into −mean(positive) + mean(negative)."""
    sign = like.new_full((positive + negative,), 1 / negative)
    sign[:positive] = -1 / positive
    return sign


def add_grad(parameter: Tensor, gradient: Tensor) -> None:
    """Add to a parameter's gradient."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
