"""Pure functions of tensors and seeds: log-domain means, diagnostics of weights, random streams.

Dims: K samples, B points.
"""

from __future__ import annotations

import hashlib
import math

import torch
from jaxtyping import Float
from torch import Tensor


def set_arithmetic() -> None:
    """Let torch compute in float32 throughout, and take subnormal numbers for zero.

    Weights of a softmax that differ by hundreds of nats are subnormal, and a processor takes many
    times as long for such numbers. The setting is that of the calling thread.
    """
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(True)


def log_mean_exp(x: Float[Tensor, "*s"], dim: int = 0) -> Tensor:
    """Return log (1/K) Σ_k exp x_k along `dim`.

    >>> log_mean_exp(torch.zeros(5, 2)).tolist()
    [0.0, 0.0]
    """
    return x.logsumexp(dim) - math.log(x.shape[dim])


def stream(seed: int, *purpose: str | int) -> int:
    """Return the seed of an independent random stream for a purpose, the same on every machine.

    >>> stream(0, "init") == stream(0, "init"), stream(0, "init") == stream(0, "noise")
    (True, False)
    """
    digest = hashlib.sha256(repr((int(seed), *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # Torch requires a signed 64-bit number.


def generator(
    seed: int, *purpose: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a torch generator at the start of the stream for a purpose."""
    return torch.Generator(device=device).manual_seed(stream(seed, *purpose))


def effective_sample_size(log_w: Float[Tensor, "k b"]) -> Float[Tensor, "b"]:
    """Return the effective sample size (Σ w)² / Σ w² per point, from 1 to K (Kong, 1992)."""
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


def pareto_k(log_w: Float[Tensor, "k b"]) -> Float[Tensor, "b"]:
    """Return the shape k̂ of the generalised Pareto tail of the importance weights, per point.

    Below 0.7 the estimate is reliable; above 1 the weights have no mean (Vehtari et al., 2024).
    The tail consists of the min(K/5, 3√K) largest weights. The fit is that of Zhang & Stephens
    (2009) with the weak prior of Vehtari et al. With fewer than 25 samples the result is NaN, since
    no tail can be fitted.
    """
    k, b = log_w.shape
    m = int(min(0.2 * k, 3 * math.sqrt(k)))
    if m < 5:
        return torch.full((b,), math.nan, dtype=log_w.dtype, device=log_w.device)
    top = log_w.double().topk(m + 1, dim=0).values.flip(0)  # [m+1, B], ascending
    top = top - top[-1]
    x = (top[1:].exp() - top[0].exp()).clamp_min(0)  # exceedances over the threshold, ascending
    x = x.clamp_min(1e-300)
    n_theta = 30 + int(math.sqrt(m))
    j = torch.arange(1, n_theta + 1, dtype=x.dtype, device=x.device)[:, None]
    quartile = x[int(m / 4 + 0.5) - 1]
    theta = 1 / x[-1] + (1 - (n_theta / (j - 0.5)).sqrt()) / (3 * quartile)  # [T, B]
    shape = torch.log1p(-theta[:, None] * x).mean(1)  # [T, B]
    profile = m * ((-theta / shape).log() - shape - 1)
    weight = (profile - profile.logsumexp(0)).exp()
    theta_hat = (theta * weight).sum(0)
    k_hat = torch.log1p(-theta_hat * x).mean(0)
    return ((m * k_hat + 5) / (m + 10)).to(log_w.dtype)
