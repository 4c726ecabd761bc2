"""Matrix products in bfloat16 on CPUs that have none: in float32, of the same rounded factors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_PRODUCTS = {
    torch.addmm,
    torch.mm,
    torch.matmul,
    Tensor.addmm,
    Tensor.mm,
    Tensor.matmul,
    Tensor.__matmul__,
    F.linear,
}


def native(device: torch.device) -> bool:
    """Say whether products in bfloat16 are fast there: else torch takes 100 times float32's time.

    On a CPU oneDNN multiplies them where it can (on x86 from AVX-512 on).
    """
    if device.type != "cpu":
        return True
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fast(
    device: torch.device, low: bool
) -> contextlib.AbstractContextManager[RoundedProducts | None]:
    """Return a context in which low products, those in bfloat16, take about float32's time.

    Where there are none it does nothing: a mode delays each call of torch a little.
    """
    return RoundedProducts() if low and not native(device) else contextlib.nullcontext()


class RoundedProducts(TorchFunctionMode):
    """Take bfloat16 factors as float32, multiply and add them so, and round what comes out.

    Hardware does the same: it multiplies rounded factors, adds in float32 and rounds once.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, products by way of float32."""
        kwargs = kwargs or {}
        if func not in _PRODUCTS or "out" in kwargs:
            return func(*args, **kwargs)
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if any(value.dtype != torch.bfloat16 for value in given):
            return func(*args, **kwargs)
        return func(*map(_wide, args), **{k: _wide(v) for k, v in kwargs.items()}).bfloat16()


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
