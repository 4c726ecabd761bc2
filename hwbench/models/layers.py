"""Directed layers of binary units: a layer is a module whose forward returns a distribution.

Dims: *S any leading dims (samples, batch), D units of the layer, H conditioning units.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Init = Literal["small", "glorot"]
PART = 2**16  # numbers scored together, so that they fit into a core's cache
CLAMP_SCALE, CLAMP_FLOOR = 0.9999, 0.000005  # constants of the authors' code


def glorot_bound(inputs: int, outputs: int, init: Init) -> float:
    """Return the bound of uniform initial weights, √(6 / (n_in + n_out)) (Glorot & Bengio, 2010).

    `small` divides it by n_in, as Bornschein & Bengio do.

    >>> round(glorot_bound(784, 200, "small"), 6)
    0.0001
    """
    bound = math.sqrt(6 / (inputs + outputs))
    return bound / inputs if init == "small" else bound


def weights(inputs: int, outputs: int, init: Init) -> nn.Parameter:
    """Return random initial weights [outputs, inputs]."""
    bound = glorot_bound(inputs, outputs, init)
    return nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))


def clamp_logits(logits: Float[Tensor, "*s d"]) -> Float[Tensor, "*s d"]:
    """Return the logit of 0.9999 σ(a) + 0.000005, a sigmoid that stays away from 0 and 1.

    The constants are those of Bornschein & Bengio's code. The largest value, 0.999905, is lower
    than 1 minus the smallest.
    """
    on = CLAMP_SCALE * logits.sigmoid() + CLAMP_FLOOR
    off = CLAMP_SCALE * (-logits).sigmoid() + (1 - CLAMP_SCALE - CLAMP_FLOOR)
    return on.log() - off.log()


def log_bernoulli(x: Float[Tensor, "*s d"], logits: Float[Tensor, "*t d"]) -> Float[Tensor, "*u"]:
    """Return Σ_d log Bern(x_d; σ(a_d)) at logits a, in nats; x and a broadcast.

    For samples shared by all points, a [K, 1, D] with x [B, D], a matrix product avoids an array
    of [K, B, D].

    >>> log_bernoulli(torch.ones(5, 3), torch.zeros(3)).exp().tolist()
    [0.125, 0.125, 0.125, 0.125, 0.125]
    """
    logits = logits.to(x.dtype)
    if not torch.is_grad_enabled():
        return _score(x, logits)
    if x.ndim == 2 and logits.ndim == 3 and logits.shape[1] == 1 < len(x):
        return logits[:, 0] @ x.t() - F.softplus(logits).sum(-1)
    x, logits = torch.broadcast_tensors(x, logits)
    if logits.requires_grad and not x.requires_grad:
        return _LogBernoulli.apply(x, logits)  # type: ignore[no-any-return]
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


class _LogBernoulli(torch.autograd.Function):
    """`log_bernoulli` with its gradient x − σ(a), part by part in a core's cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor) -> Tensor:
        value, residual = a.new_empty(a.shape[:-1]), a.new_empty(a.shape)
        parts = [(x, a, value, residual)]
        if a.ndim > 2 and a.numel() > PART:
            rows = max(1, PART // a[0].numel())
            parts = list(zip(*(t.split(rows) for t in parts[0]), strict=True))
        for x_p, a_p, value_p, residual_p in parts:
            value_p.copy_(_score_with_residual(x_p, a_p, residual_p))
        ctx.save_for_backward(x, a, residual)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        x, a, residual = ctx.saved_tensors
        if torch.is_grad_enabled():  # The gradient is differentiated again.
            residual = x - a.sigmoid()
        return None, residual * gradient[..., None]


def _score_with_residual(x: Tensor, a: Tensor, residual: Tensor) -> Tensor:
    """Return Σ_d (x_d a_d − softplus(a_d)), and write x − σ(a) to `residual`.

    With u = max(σ(a), σ(−a)) ≥ ½, softplus(a) = max(a, 0) − log u. One logarithm is taken of the
    product of up to eight of them, which cannot underflow: logarithms are the slowest part.
    """
    p = a.sigmoid()
    linear = (x * a).sub_(a.clamp_min(0)).sum(-1)
    torch.sub(x, p, out=residual)
    u = p.sub_(0.5).abs_().add_(0.5)
    for _ in range(3):
        if u.shape[-1] % 2 == 0:
            u = torch.mul(*u.chunk(2, -1))
    return linear + u.log_().sum(-1)


def _score(x: Tensor, logits: Tensor) -> Tensor:
    """Return Σ_d (x_d a_d − softplus(a_d)) without gradients: a product, and few logarithms.

    With e_d = exp(−|a_d|), softplus(a_d) = max(a_d, 0) + log(1 + e_d). One logarithm is taken of
    the product of eight of these factors, which is at most 2^8: (1 + e)(1 + f) − 1 = e + f + e f.
    """
    e = logits.abs().neg_().exp_()
    for _ in range(3):
        if e.shape[-1] % 2 == 0:
            e, f = e.chunk(2, -1)
            e.addcmul_(e, f).add_(f)
    softplus = logits.clamp_min(0).sum(-1) + e.log1p_().sum(-1)
    return torch.einsum("...d,...d->...", x, logits) - softplus


class BinaryUnits(ABC):
    """A distribution over x ∈ {0, 1}^D as a chain: p(x) = Π_d Bern(x_d; σ(a_d(x_{<d}))).

    It implements the part of the `torch.distributions` interface that rules and models use. Torch's
    own Bernoulli draws one scalar at a time: on a CPU this takes three times as long as comparing
    uniform numbers with the means.

    Args:
        clamped: pass means through 0.9999 p + 0.000005.
    """

    def __init__(self, clamped: bool = False) -> None:
        self.clamped = clamped

    def squash(self, logits: Tensor) -> Tensor:
        """Return the logits, clamped if `clamped` is set."""
        return clamp_logits(logits) if self.clamped else logits

    @abstractmethod
    def logits(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*t d"]:
        """Return the logit a_d(x_{<d}) of every unit given the preceding ones."""

    @abstractmethod
    def trace(self, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Draw `shape` samples; return x and the logits of the draws, detached."""

    def log_prob(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*t"]:
        """Return log p(x), in nats."""
        return log_bernoulli(x, self.logits(x))

    def sample(self, shape: tuple[int, ...] = ()) -> Float[Tensor, "*s d"]:
        """Draw samples, detached."""
        return self.trace(shape)[0]

    def draw(
        self, shape: tuple[int, ...] = ()
    ) -> tuple[Float[Tensor, "*s d"], Float[Tensor, "*s"]]:
        """Draw samples with their log-probability.

        It carries gradients if these are enabled. Otherwise it is computed from the logits of the
        draws, which avoids scoring the samples again.
        """
        x, logits = self.trace(shape)
        return x, self.log_prob(x) if torch.is_grad_enabled() else log_bernoulli(x, logits)


class SigmoidUnits(BinaryUnits):
    """Independent units: their logits do not depend on each other."""

    def __init__(self, logits: Float[Tensor, "*s d"], clamped: bool = False) -> None:
        super().__init__(clamped)
        self.fixed = self.squash(logits)

    def logits(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*t d"]:
        """Return the logits, which do not depend on x."""
        return self.fixed

    @torch.no_grad()
    def trace(self, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Draw `shape` samples; return x and the logits, which are not repeated per sample."""
        a = self.fixed.detach()
        uniform = torch.rand((*shape, *a.shape), dtype=a.dtype, device=a.device)
        return torch.lt(uniform, a.sigmoid(), out=uniform), a


class Linear(nn.Linear):
    """A linear layer whose outputs have the precision of its parameters, also under autocast.

    Random numbers are drawn in the precision of what they are compared with or added to.
    """

    def forward(self, a: Float[Tensor, "*s i"]) -> Float[Tensor, "*s o"]:
        """Return W a + b."""
        return super().forward(a).to(self.weight.dtype)


class Affine(nn.Module):
    """b + W h, or b alone if there are no units above (`above = 0`)."""

    def __init__(self, above: int, below: int, bias: float, init: Init) -> None:
        super().__init__()
        self.weight = weights(above, below, init) if above else None
        self.bias = nn.Parameter(torch.full((below,), float(bias)))

    def forward(self, h: Float[Tensor, "*s h"] | None = None) -> Float[Tensor, "*s d"]:
        """Return [*S, D], or [D] without h."""
        if self.weight is None:
            return self.bias
        assert h is not None, "a layer below others is called with what is above"
        return F.linear(h, self.weight, self.bias).to(self.bias.dtype)


class Layer(nn.Module):
    """A layer of D binary units given H units above; H = 0 makes a top layer, called without h."""

    affine: Affine

    @property
    def output_bias(self) -> nn.Parameter:
        """Return the units' biases [D]."""
        return self.affine.bias


class SigmoidLayer(Layer):
    """A layer of a sigmoid belief net (Neal, 1992): p(x | h) = Π_d Bern(x_d; σ(W h + b)_d).

    >>> layer = SigmoidLayer(above=3, below=2)
    >>> layer(torch.zeros(5, 3)).log_prob(torch.ones(5, 2)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        above: int,
        below: int,
        bias: float = -1.0,
        init: Init = "small",
        clamped: bool = False,
    ) -> None:
        super().__init__()
        self.clamped = clamped
        self.affine = Affine(above, below, bias, init)

    def forward(self, h: Float[Tensor, "*s h"] | None = None) -> SigmoidUnits:
        """Return p(x | h), or p(x) at the top."""
        return SigmoidUnits(self.affine(h), self.clamped)


class DeterministicLayer(Layer):
    """A sigmoid layer behind a deterministic one (DSBN): p(x | h) = Bern(x; σ(W σ(W' h + b') + b)).

    Args:
        above: units above, at least 1.
        below: units of the layer.
        hidden: deterministic units; H + D / 2 by default.
        bias: initial bias of both layers.
        init: initialisation of the weights.
        clamped: see `BinaryUnits`.
    """

    def __init__(
        self,
        above: int,
        below: int,
        hidden: int | None = None,
        bias: float = -1.0,
        init: Init = "small",
        clamped: bool = False,
    ) -> None:
        super().__init__()
        hidden = above + below // 2 if hidden is None else hidden
        self.clamped = clamped
        self.hidden = Affine(above, hidden, bias, init)
        self.affine = Affine(hidden, below, bias, init)

    def forward(self, h: Float[Tensor, "*s h"] | None = None) -> SigmoidUnits:
        """Return p(x | h)."""
        return SigmoidUnits(self.affine(self.hidden(h).sigmoid()), self.clamped)
