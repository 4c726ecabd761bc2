"""Float32 matrix products by oneDNN on processors for which MKL has no AVX-512 kernels.

MKL has them for Intel's processors alone. On others with AVX-512, oneDNN, which torch brings too,
takes about half the time for the same product.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from hwbench.runner.machine import processor

LARGE = 2**17  # multiplications of a product from which on calling oneDNN pays
NARROW = 20  # least side: NADE's narrow blocks vary in size, and oneDNN prepares for each size
_here = threading.local()
_once = threading.Lock()
_library: torch.library.Library | None = None


@functools.cache
def pays() -> bool:
    """Return whether products of this machine take less time by oneDNN than by MKL."""
    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and processor("vendor_id") not in (None, "GenuineIntel")
    )


@contextlib.contextmanager
def products() -> Iterator[None]:
    """Compute large float32 products of this thread by oneDNN, gradients included, where it pays.

    Results differ from MKL's by rounding, as between two processors.
    """
    before = active()
    if pays():
        _install()
        _here.active = True
    try:
        yield
    finally:
        _here.active = before


def active() -> bool:
    """Return whether this thread is within `products` and that has an effect."""
    return getattr(_here, "active", False)


def _install() -> None:
    """Put our kernels before torch's own, once; outside `products` they call those."""
    global _library
    with _once, warnings.catch_warnings():
        if _library is not None:
            return
        warnings.filterwarnings(
            "ignore", message=".*previously registered kernel|Warning only once"
        )
        library = torch.library.Library("aten", "IMPL")
        for name, kernel in (("mm", _mm), ("addmm", _addmm), ("addmm_", _addmm_)):
            own = torch.library.get_kernel(f"aten::{name}", "CPU").call_boxed
            library.impl(name, functools.partial(kernel, own), "CPU", with_keyset=True)
        _library = library


def _suits(a: Tensor, b: Tensor, *others: Tensor) -> bool:
    """Return whether to compute a b; what torch refuses is left to torch."""
    if not active() or any(t.dtype is not torch.float32 for t in (a, b, *others)):
        return False
    matching = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]
    narrow = min(*a.shape, *b.shape) < NARROW
    return matching and not narrow and a.numel() * b.shape[1] >= LARGE


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")  # type: ignore[no-any-return]


def _mm(own: Callable[..., Tensor], keys: Any, a: Tensor, b: Tensor) -> Tensor:
    return _product(a, b) if _suits(a, b) else own(keys, a, b)


def _addmm(
    own: Callable[..., Tensor],
    keys: Any,
    c: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    beta: int | float = 1,
    alpha: int | float = 1,
) -> Tensor:
    """Return β c + α a b."""
    if not _suits(a, b, c):
        return own(keys, c, a, b, beta=beta, alpha=alpha)
    if c.ndim == 1 and len(c) == b.shape[1] and beta == alpha == 1:
        return _product(a, b, c)
    found = _product(a, b)
    if alpha != 1:
        found.mul_(alpha)
    return found.add_(c, alpha=beta) if beta else found


def _addmm_(
    own: Callable[..., Tensor],
    keys: Any,
    c: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    beta: int | float = 1,
    alpha: int | float = 1,
) -> Tensor:
    """Set c to β c + α a b."""
    if not _suits(a, b, c) or c.shape != (a.shape[0], b.shape[1]):
        return own(keys, c, a, b, beta=beta, alpha=alpha)
    found = _product(a, b)
    return (c.mul_(beta) if beta else c.zero_()).add_(found, alpha=alpha)
