"""Gaussian variational auto-encoder, with any number of layers and random weights (IWAER).

Dims: K samples, B points, D observed units, H hidden units, Z latent units.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.models.layers import Linear, log_bernoulli
from hwbench.protocols import HelmholtzMachine, Inferred, Latents, TrainSplit

Size = Annotated[int, Field(ge=1)]
Net = Literal["generative", "recognition"]


class _Tanh(torch.autograd.Function):
    """tanh a = 2 σ(2a) − 1; torch's sigmoid takes a third of the time of its tanh."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        y = (2 * a).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, y)  # type: ignore[no-any-return]


def tanh(a: Tensor) -> Tensor:
    """Return tanh a; the error is at most 2e-7 in single precision."""
    return _Tanh.apply(a)  # type: ignore[no-any-return, no-untyped-call]


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": tanh,
    "relu": F.relu,
    "softplus": F.softplus,
}


class RandomLinear(nn.Module):
    """Linear layer whose weights are drawn anew for every data point and every sample.

    Hernández-Lobato et al. (2016): W ~ N(μ_W, diag σ²_W), b ~ N(μ_b, diag σ²_b), with one draw per
    sample and data point. Since each draw is used once, sampling the pre-activations is exact
    (Kingma et al., 2015):

        a W + b ~ N(a μ_W + μ_b, a² σ²_W + σ²_b),  independent over units.

    If `at_means` is set, there is no noise and the weights are μ.
    """

    def __init__(self, inputs: int, outputs: int, log_var: float) -> None:
        super().__init__()
        self.mean = Linear(inputs, outputs)
        self.weight_log_var = nn.Parameter(torch.full((outputs, inputs), log_var))
        self.bias_log_var = nn.Parameter(torch.full((outputs,), log_var))
        self.at_means = False

    def moments(
        self, a: Float[Tensor, "*s i"]
    ) -> tuple[Float[Tensor, "*s o"], Float[Tensor, "*s o"]]:
        """Return mean and variance of the pre-activations."""
        squares = F.linear(a.square(), self.weight_log_var.exp(), self.bias_log_var.exp())
        return self.mean(a), squares.to(self.bias_log_var.dtype)

    def forward(self, a: Float[Tensor, "*s i"], k: int) -> Float[Tensor, "*t o"]:
        """Return pre-activations with a separate weight draw for each of k samples and each point.

        Inputs are [B, I] (shared by the samples, moments computed once) or [K, B, I]. The result is
        [K, B, O]; at the means it has as many dimensions as the inputs.
        """
        if self.at_means:
            return cast(Tensor, self.mean(a))
        mean, var = self.moments(a)
        shape = mean.shape if mean.ndim == 3 else (k, *mean.shape)
        return torch.addcmul(
            mean, var.sqrt(), torch.randn(shape, dtype=mean.dtype, device=mean.device)
        )

    def kl(self) -> Float[Tensor, ""]:
        """Return KL(N(μ, σ²) ‖ N(0, 1)) summed over weights and biases, in nats."""
        total = torch.zeros((), device=self.weight_log_var.device)
        pairs = [(self.mean.weight, self.weight_log_var), (self.mean.bias, self.bias_log_var)]
        for mean, log_var in pairs:
            total = total + 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum()
        return total


class MLP(nn.Module):
    """Hidden layers and a linear head, either deterministic or with random weights everywhere."""

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        activation: str,
        log_var: float | None,
    ) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.activation = ACTIVATIONS[activation]
        self.layers = nn.ModuleList(
            Linear(i, o) if log_var is None else RandomLinear(i, o, log_var)
            for i, o in pairwise(sizes)
        )
        for layer in self.layers:
            linear = layer.mean if isinstance(layer, RandomLinear) else cast(nn.Linear, layer)
            nn.init.xavier_uniform_(
                linear.weight
            )  # The code of Burda et al. initialises so, too (Glorot & Bengio, 2010).
            nn.init.zeros_(linear.bias)

    @property
    def head_bias(self) -> nn.Parameter:
        """Return the bias of the head, or its mean if weights are random."""
        head = self.layers[-1]
        return cast(nn.Parameter, head.mean.bias if isinstance(head, RandomLinear) else head.bias)

    def forward(self, a: Float[Tensor, "*s i"], k: int) -> Float[Tensor, "*t o"]:
        """Return the head's output for inputs [B, I] or [K, B, I].

        With random weights it is [K, B, O].
        """
        for i, layer in enumerate(self.layers):
            if i:
                a = self.activation(a)
            a = layer(a, k) if isinstance(layer, RandomLinear) else layer(a)
        return a


class GaussianNet(nn.Module):
    """p(z | a) = N(μ(a), σ²(a)) with diagonal covariance; one head outputs μ and the log scale."""

    def __init__(self, net: MLP, scale: str) -> None:
        super().__init__()
        self.net = net
        self.per_log_std = 1.0 if scale == "log_std" else 0.5

    def forward(
        self, a: Float[Tensor, "*s i"], k: int
    ) -> tuple[Float[Tensor, "*t z"], Float[Tensor, "*t z"]]:
        """Return μ and log σ."""
        mean, log_scale = self.net(a, k).chunk(2, dim=-1)
        return mean, log_scale * self.per_log_std


def gaussian_log_prob(
    z: Float[Tensor, "*s z"], mean: Float[Tensor, "*t z"], log_std: Float[Tensor, "*t z"]
) -> Float[Tensor, "*u"]:
    """Return log N(z; μ, σ²), summed over units."""
    standard = (z - mean) * (-log_std).exp()
    return (-0.5 * standard.square() - log_std).sum(-1) - 0.5 * math.log(2 * math.pi) * z.shape[-1]


class VAE(HelmholtzMachine):
    """Variational auto-encoder over binary pixels (Kingma & Welling, 2014; Burda et al., 2016).

        p(x, h) = N(h_L; 0, I) Π_l N(h_{l-1}; μ_l(h_l), σ_l²(h_l)) · Bern(x; f(h_1)),
        q(h | x) = Π_l N(h_l; h_{l-1})

    Nets named in `random` have Gaussian weights, drawn for each data point and each sample
    (Hernández-Lobato et al., 2016). Then exp(`log_joint`) is an unbiased one-draw estimate of the
    joint density averaged over weights.

    Args:
        visible: observed units D.
        latent: units of each stochastic layer, the one next to the data first.
        hidden: units of the deterministic layers that lead up to each stochastic layer: one list
            for all, or one list per stochastic layer. The generative net mirrors them.
        random: which nets have random weights.
        activation: activation function of the deterministic layers.
        scale: whether a Gaussian head outputs log σ (Burda et al.) or log σ².
        weight_log_var: initial log σ² of random weights.
        output_bias: start the observed units' biases at the logit of the pixel means (clipped to
            [0.001, 0.999], as Burda et al. do), or at zero.

    Raises:
        ValueError: `hidden` consists of lists, but not of one per stochastic layer.

    >>> vae, x = VAE(visible=6, latent=[3, 2], hidden=[[8], [4]]), torch.zeros(5, 6)
    >>> h, log_q = vae.infer(x, k=7)
    >>> [tuple(h_l.shape) for h_l in h], tuple(vae.log_joint(x, h).shape)
    ([(7, 5, 3), (7, 5, 2)], (7, 5))
    """

    generative: nn.ModuleList
    recognition: nn.ModuleList

    def __init__(
        self,
        visible: int,
        latent: Size | Annotated[list[Size], Field(min_length=1)] = 20,
        hidden: list[Size] | list[list[Size]] | None = None,
        random: list[Net] | None = None,
        activation: Literal["tanh", "relu", "softplus"] = "tanh",
        scale: Literal["log_std", "log_var"] = "log_std",
        weight_log_var: float = -10.0,
        output_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__()
        sizes = [latent] if isinstance(latent, int) else list(latent)
        hidden = [400] if hidden is None else hidden
        if not hidden or isinstance(hidden[0], int):
            stacks = [cast(list[int], hidden)] * len(sizes)
        else:
            stacks = hidden
        if len(stacks) != len(sizes):
            raise ValueError(
                f"hidden has {len(stacks)} lists for {len(sizes)} stochastic layers; "
                "give one list, or one each"
            )
        self.visible = visible
        self.latent = sizes
        self.output_bias = output_bias
        self.random = frozenset(random or [])
        up = [visible, *sizes]

        def net(which: Net, inputs: int, stack: list[int], outputs: int) -> MLP:
            log_var = weight_log_var if which in self.random else None
            return MLP(inputs, stack, outputs, activation, log_var)

        self.recognition = nn.ModuleList(
            GaussianNet(net("recognition", up[i], stacks[i], 2 * sizes[i]), scale)
            for i in range(len(sizes))
        )
        pixels = net("generative", sizes[0], stacks[0][::-1], visible)
        above = [
            GaussianNet(net("generative", sizes[i], stacks[i][::-1], 2 * sizes[i - 1]), scale)
            for i in range(1, len(sizes))
        ]
        self.generative = nn.ModuleList([pixels, *above])

    @classmethod
    def tiny(cls) -> VAE:
        """Return one latent unit over 4 pixels, so that quadrature can compute log p(x)."""
        return cls(visible=4, latent=1, hidden=[3])

    def adapt(self, train: TrainSplit) -> None:
        """Start the output biases at the logit of the training pixels' means."""
        if self.output_bias == "data":
            with torch.no_grad():
                cast(MLP, self.generative[0]).head_bias.copy_(
                    train.means().clamp(1e-3, 1 - 1e-3).logit()
                )

    @contextlib.contextmanager
    def mean_weights(self) -> Iterator[None]:
        """Use the means of random weights instead of draws."""
        layers = [m for m in self.modules() if isinstance(m, RandomLinear)]
        for layer in layers:
            layer.at_means = True
        try:
            yield
        finally:
            for layer in layers:
                layer.at_means = False

    def weight_kl(self) -> Float[Tensor, ""]:
        """Return KL(q(θ) ‖ N(0, I)) of the random generative weights, in nats; 0 without any."""
        terms = [m.kl() for m in self.generative.modules() if isinstance(m, RandomLinear)]
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples per point.

        Their log q uses the same weight draws as the sample's mean and scale.
        """
        h: Latents = []
        log_q = torch.zeros((), device=x.device)
        a = x
        for layer in self.recognition:
            mean, log_std = layer(a, k)
            shape = (k, x.shape[0], mean.shape[-1])
            z = torch.addcmul(
                mean, log_std.exp(), torch.randn(shape, dtype=mean.dtype, device=mean.device)
            )
            z = z if pathwise else z.detach()
            log_q = log_q + gaussian_log_prob(z, mean, log_std)
            h.append(z)
            a = z
        return Inferred(h, log_q)

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(h | x) at latents [K, B, Z]; random weights are drawn anew for each."""
        log_q = torch.zeros((), device=x.device)
        for layer, below, z in zip(self.recognition, [x, *h], h, strict=False):
            mean, log_std = layer(below, z.shape[0])
            log_q = log_q + gaussian_log_prob(z, mean, log_std)
        return log_q

    def log_prior(self, h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(h) over all stochastic layers."""
        log_p = -0.5 * (h[-1].square() + math.log(2 * math.pi)).sum(-1)
        for net, above, below in zip(self.generative[1:], h[1:], h, strict=False):
            mean, log_std = net(above, above.shape[0])
            log_p = log_p + gaussian_log_prob(below, mean, log_std)
        return log_p

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x | h) = Σ_d x_d log f_d + (1 − x_d) log(1 − f_d).

        Latents [K, 1, Z] are shared by all points x [B, D], and so are the draws of the weights.
        """
        return log_bernoulli(x, self.generative[0](h[0], h[0].shape[0]))

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, h) = log p(h) + log p(x | h)."""
        return self.log_prior(h) + self.log_likelihood(x, h)

    def _descend(self, n: int) -> tuple[Float[Tensor, "1 n d"], Latents]:
        device = next(self.parameters()).device
        z = torch.randn(1, n, self.latent[-1], device=device)
        h = [z]
        for net in reversed(list(self.generative[1:])):
            mean, log_std = net(z, 1)
            z = torch.addcmul(mean, log_std.exp(), torch.randn_like(mean))
            h.insert(0, z)
        return self.generative[0](z, 1).sigmoid(), h

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples: x [n, D] and latents [n, Z]."""
        means, h = self._descend(n)
        return torch.bernoulli(means[0]), [z[0] for z in h]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the pixel means of n ancestral samples."""
        return self._descend(n)[0][0]
